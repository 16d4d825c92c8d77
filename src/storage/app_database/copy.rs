//! Copies of `station.db`: taken while a server writes, completed, and checked.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::migrations::KIND;
use super::{FILE_NAME, configure};
use crate::error::StoreError;
use crate::storage::sqlite::{self, DatabaseSnapshot};

/// The database of a data directory as it is now; `None` when there is none.
///
/// # Errors
/// When it cannot be read, is not ours, or was written by a newer version.
pub(crate) fn moment(directory: &Path) -> Result<Option<DatabaseSnapshot>, StoreError> {
    DatabaseSnapshot::of(directory, KIND)
}

/// Opens a copy that nobody else knows of, to read and to change.
///
/// # Errors
/// When it cannot be opened.
pub(crate) fn open_copy(path: &Path) -> Result<Connection, StoreError> {
    let failed = |error| sqlite::failed(FILE_NAME, "open a copy of station.db", error);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    configure(&connection).map_err(failed)?;
    Ok(connection)
}

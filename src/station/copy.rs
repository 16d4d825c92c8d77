//! Copies of `station.db`: taken while a server writes, completed, and checked.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::migrations::{APPLICATION_ID, MIGRATIONS};
use super::{FILE_NAME, configure};
use crate::error::{StoreError, StoreErrorKind};
use crate::sqlite::{self, Moment, Sort};

const SORT: Sort = Sort {
    file_name: FILE_NAME,
    application_id: APPLICATION_ID,
    version_max: MIGRATIONS.len() as i32,
};

/// The database of a data directory as it is now; `None` when there is none.
///
/// # Errors
/// When it cannot be read, is not ours, or was written by a newer version.
pub(crate) fn moment(directory: &Path) -> Result<Option<Moment>, StoreError> {
    Moment::of(directory, SORT)
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

/// Checks a copy: that it is ours, of a version that this program knows, and sound in its structure.
///
/// # Errors
/// [`StoreErrorKind::Damaged`] names the first thing that is wrong; [`StoreErrorKind::Unsupported`] when it is newer.
pub(crate) fn check_copy(path: &Path) -> Result<(), StoreError> {
    let connection = open_copy(path)?;
    if !SORT.check(&connection)? {
        return Err(sqlite::damaged(FILE_NAME, "there is nothing in it"));
    }
    let report: String = connection
        .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
        .map_err(|error| sqlite::failed(FILE_NAME, "check the structure", error))?;
    if report == "ok" {
        return Ok(());
    }
    Err(StoreError::new(
        StoreErrorKind::Damaged,
        format!("{FILE_NAME} is damaged: {report}"),
    ))
}

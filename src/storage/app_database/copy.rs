//! Copies of `station.db` for backups.

use std::path::Path;

use rusqlite::Connection;

use super::schema::DATABASE;
use crate::error::StoreError;
use crate::storage::database_snapshot::DatabaseSnapshot;

/// A snapshot of the database of a data directory; `None` when there is no database.
///
/// # Errors
/// When the file cannot be read, belongs to another program, or was written by a newer version.
pub(crate) fn snapshot(directory: &Path) -> Result<Option<DatabaseSnapshot>, StoreError> {
    DatabaseSnapshot::of(directory, &DATABASE)
}

/// Opens a copy to read and to change the rows. Nobody else may use the copy.
///
/// # Errors
/// When the copy cannot be opened.
pub(crate) fn open_copy(path: &Path) -> Result<Connection, StoreError> {
    DATABASE.open_as_it_is(path)
}

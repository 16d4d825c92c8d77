//! Copies of `readings.db`: taken while a server writes, and checked.

use std::path::Path;

use super::schema::{self, DATABASE};
use super::verify::{self, VerifyReport};
use crate::error::StoreError;
use crate::storage::database_snapshot::DatabaseSnapshot;

/// A snapshot of the database of a data directory, with every reading acknowledged before; `None` without a database.
///
/// # Errors
/// When the database cannot be read, is not ours, or was written by a newer version.
pub(crate) fn snapshot(directory: &Path) -> Result<Option<DatabaseSnapshot>, StoreError> {
    DatabaseSnapshot::of(directory, &DATABASE)
}

/// Checks a private copy in the same way as [`super::verify()`] checks a data directory. Changes nothing.
///
/// # Errors
/// When the copy cannot be opened. Damage is no error; the report names the damage.
pub(crate) fn check_copy(
    path: &Path,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<VerifyReport, StoreError> {
    let opened = DATABASE.open_reader(path).and_then(|connection| {
        schema::check_reader(&connection)?;
        Ok(connection)
    });
    verify::report(opened, progress)
}

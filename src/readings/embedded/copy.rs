//! Copies of `readings.db`: taken while a server writes, and checked.

use std::path::Path;

use super::schema::{self, DATABASE};
use super::verify::{self, VerifyReport};
use crate::error::StoreError;
use crate::storage::database_snapshot::DatabaseSnapshot;

/// A snapshot of the database of a data directory, with every reading that was acknowledged before; `None` when there is no database.
///
/// # Errors
/// When it cannot be read, is not ours, or was written by a newer version.
pub(crate) fn snapshot(directory: &Path) -> Result<Option<DatabaseSnapshot>, StoreError> {
    DatabaseSnapshot::of(directory, &DATABASE)
}

/// Does with a copy that nobody else knows of what [`super::verify()`] does with a data directory, and changes nothing.
///
/// # Errors
/// When it cannot be opened. Damage is not an error but in the report.
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

//! Copies of `readings.db`: taken while a server writes, and checked.

use std::path::Path;

use super::format::file::{FILE_NAME, damaged};
use super::verify::{self, VerifyReport};
use super::{database, schema};
use crate::error::StoreError;
use crate::storage::sqlite::{DatabaseKind, DatabaseSnapshot};

const KIND: DatabaseKind = DatabaseKind {
    file_name: FILE_NAME,
    application_id: schema::APPLICATION_ID,
    version_max: schema::VERSION,
};

/// The database of a data directory as it is now: with every reading that was acknowledged before. `None` when there is none.
///
/// # Errors
/// When it cannot be read, is not ours, or was written by a newer version.
pub(crate) fn moment(directory: &Path) -> Result<Option<DatabaseSnapshot>, StoreError> {
    DatabaseSnapshot::of(directory, KIND)
}

/// Does with a copy that nobody else knows of what [`super::verify()`] does with a data directory, and changes nothing.
///
/// # Errors
/// When it cannot be opened. Damage is not an error but in the report.
pub(crate) fn check_copy(
    path: &Path,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<VerifyReport, StoreError> {
    let opened = database::open_reader(path).and_then(|connection| {
        if !KIND.check(&connection)? {
            return Err(damaged("there is nothing in it"));
        }
        schema::check_reader(&connection)?;
        Ok(connection)
    });
    verify::report(opened, progress)
}

//! The file `readings.db`: its name, the errors that name it, and how its integers are read.

use super::codec::CodecError;
use crate::error::{StoreError, StoreErrorKind};
use crate::storage::sqlite;

/// The file's name in the data directory.
pub(crate) const FILE_NAME: &str = "readings.db";

/// SQLite's integers are signed; checksums and counters keep their bits.
pub(crate) fn signed(value: u64) -> i64 {
    value.cast_signed()
}

pub(crate) fn unsigned(value: i64) -> u64 {
    value.cast_unsigned()
}

/// What is on disk is not what was written.
pub(crate) fn damaged(what: impl AsRef<str>) -> StoreError {
    sqlite::damaged(FILE_NAME, what)
}

/// An error of SQLite while doing something.
pub(crate) fn failed(what: &str, error: rusqlite::Error) -> StoreError {
    sqlite::query_error(FILE_NAME, what, error)
}

/// Bytes that a codec does not read: damaged, or in a format that a later version has added.
pub(crate) fn unreadable(what: &str, error: CodecError) -> StoreError {
    match error {
        CodecError::Format(format) => StoreError::new(
            StoreErrorKind::Unsupported,
            format!(
                "{FILE_NAME} was written by a newer version of fieldstation: {what} is in format {format}, which this program does \
                 not know; use the version that wrote it, or a newer one"
            ),
        ),
        error => damaged(format!("in {what}, {error}")),
    }
}

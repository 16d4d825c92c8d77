//! The file `readings.db`: the file name, the errors with this name, and the conversion of integers.

use super::codec::CodecError;
use crate::error::{StoreError, StoreErrorKind};
use crate::storage::sqlite;

/// The file's name in the data directory.
pub(crate) const FILE_NAME: &str = "readings.db";

/// Converts to SQLite's signed integers. Checksums and counters keep their bits.
pub(crate) fn signed(value: u64) -> i64 {
    value.cast_signed()
}

pub(crate) fn unsigned(value: i64) -> u64 {
    value.cast_unsigned()
}

/// The error for damaged data: the data on disk differs from the written data.
pub(crate) fn damaged(what: impl AsRef<str>) -> StoreError {
    sqlite::damaged(FILE_NAME, what)
}

/// The error for a failed operation of SQLite; `what` names the operation.
pub(crate) fn failed(what: &str, error: rusqlite::Error) -> StoreError {
    sqlite::query_error(FILE_NAME, what, error)
}

/// The error for bytes that cannot be decoded: damaged, or in the format of a newer version.
pub(crate) fn decode_error(what: &str, error: CodecError) -> StoreError {
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

//! What the embedded databases have in common: what SQLite's errors mean, how rows are checked, and how a copy is taken.

pub(crate) mod checksums;
mod moment;

use rusqlite::ErrorCode;

pub(crate) use moment::{Moment, Sort};

use crate::error::{StoreError, StoreErrorKind};

/// What is on disk is not what was written. `file` is the database's name in the data directory.
pub(crate) fn damaged(file: &str, what: impl AsRef<str>) -> StoreError {
    StoreError::new(
        StoreErrorKind::Damaged,
        format!(
            "{file} is damaged: {}; run `fieldstation verify` for a full report, and restore a backup",
            what.as_ref()
        ),
    )
}

/// It is not for this program to touch what a later one has written.
pub(crate) fn newer(file: &str, version: i64, version_max: i32) -> StoreError {
    StoreError::new(
        StoreErrorKind::Unsupported,
        format!(
            "{file} was written by a newer version of fieldstation: it has schema version {version}, and this program knows \
             {version_max}; use the version that wrote it, or a newer one"
        ),
    )
}

/// An error of SQLite while doing something.
pub(crate) fn failed(file: &str, what: &str, error: rusqlite::Error) -> StoreError {
    use rusqlite::Error::{
        FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType, Utf8Error,
    };
    let unreadable = matches!(
        error,
        FromSqlConversionFailure(..)
            | IntegralValueOutOfRange(..)
            | InvalidColumnType(..)
            | Utf8Error(..)
    );
    if let Some(mismatch) = checksums::mismatch_of(&error) {
        return damaged(file, mismatch).with_source(error);
    }
    match error.sqlite_error_code() {
        _ if unreadable => damaged(file, format!("could not {what}: {error}")).with_source(error),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            damaged(file, format!("could not {what}: {error}")).with_source(error)
        }
        Some(ErrorCode::DiskFull) => StoreError::new(
            StoreErrorKind::StorageFull,
            "the disk is full; nothing of this was stored",
        )
        .with_source(error),
        _ => StoreError::new(
            StoreErrorKind::Internal,
            format!("could not {what}: {error}"),
        )
        .with_source(error),
    }
}

//! What the embedded databases have in common: what SQLite's errors mean, how they are read, and how a copy is taken.

mod moment;
mod readers;

use rusqlite::ErrorCode;

pub(crate) use moment::{Moment, Sort};
pub(crate) use readers::{Reader, ReaderPool, while_waited_for};

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
    match error.sqlite_error_code() {
        _ if unreadable => damaged(file, format!("could not {what}: {error}")).with_source(error),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            damaged(file, format!("could not {what}: {error}")).with_source(error)
        }
        Some(ErrorCode::OperationInterrupted) => readers::stopped().with_source(error),
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

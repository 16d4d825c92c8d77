//! What the embedded databases have in common: what SQLite's errors mean, how they are read, how a copy is taken, and the
//! write-ahead log.

mod moment;
mod readers;
pub(crate) mod write_ahead_log;

use std::ffi::c_int;
use std::time::Duration;

use rusqlite::{ErrorCode, ffi};

pub(crate) use moment::{Moment, Sort};
pub(crate) use readers::{Reader, ReaderPool, while_waited_for};

use crate::error::{StoreError, StoreErrorKind};

/// How long a connection waits for a lock that another one has for a moment.
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Errors of input and output that say nothing of the disk: there was no memory.
const NO_MEMORY: [c_int; 2] = [ffi::SQLITE_IOERR_NOMEM, ffi::SQLITE_IOERR_SHMMAP];

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
        Some(ErrorCode::OutOfMemory) => no_memory(what).with_source(error),
        Some(ErrorCode::SystemIoFailure) if !write_ahead_log::is_failure_of_disk(&error) => {
            no_memory(what).with_source(error)
        }
        // No more files may be open, or it is gone. The text of this one names the path.
        Some(ErrorCode::CannotOpen) => {
            StoreError::new(StoreErrorKind::Unavailable, format!("could not {what}"))
                .with_source(error)
        }
        _ => StoreError::new(
            StoreErrorKind::Internal,
            format!("could not {what}: {error}"),
        )
        .with_source(error),
    }
}

fn no_memory(what: &str) -> StoreError {
    StoreError::new(
        StoreErrorKind::Overloaded,
        format!("could not {what}: the server has no memory for it at the moment"),
    )
}

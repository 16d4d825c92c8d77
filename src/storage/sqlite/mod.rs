//! The common parts of the embedded databases: opening, migrations, reads, checksums of rows, the write-ahead log, and the meaning of
//! SQLite's errors.

pub(crate) mod checksums;
mod definition;
mod migrations;
mod readers;
mod untouched;
pub(crate) mod write_ahead_log;

use std::error::Error as _;
use std::ffi::c_int;
use std::time::Duration;

use rusqlite::{ErrorCode, ffi};

pub(crate) use self::definition::DatabaseDefinition;
pub(crate) use self::readers::{Reader, ReaderPool, while_waited_for};
pub(crate) use self::untouched::{can_open_untouched, open_untouched};

use crate::error::{StoreError, StoreErrorKind};

/// How long a connection waits for a lock of another connection.
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Errors of input and output for lack of memory. The disk has not failed.
const NO_MEMORY: [c_int; 2] = [ffi::SQLITE_IOERR_NOMEM, ffi::SQLITE_IOERR_SHMMAP];

/// The error for a damaged file: the content differs from the written content. `file` is the database's name in the data directory.
pub(crate) fn damaged(file: &str, what: impl AsRef<str>) -> StoreError {
    StoreError::new(
        StoreErrorKind::Damaged,
        format!(
            "{file} is damaged: {}; run `fieldstation verify` for a full report, and restore a backup",
            what.as_ref()
        ),
    )
}

/// A newer version of this program wrote the file, so this version must not touch it.
pub(crate) fn newer(file: &str, version: i64, version_max: usize) -> StoreError {
    StoreError::new(
        StoreErrorKind::Unsupported,
        format!(
            "{file} was written by a newer version of fieldstation: it has schema version {version}, and this program knows \
             {version_max}; use the version that wrote it, or a newer one"
        ),
    )
}

/// An error of SQLite. `what` completes "could not".
pub(crate) fn query_error(file: &str, what: &str, error: rusqlite::Error) -> StoreError {
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
        Some(ErrorCode::OperationInterrupted) => StoreError::shutting_down().with_source(error),
        Some(ErrorCode::DiskFull) => StoreError::new(
            StoreErrorKind::StorageFull,
            "the disk is full; nothing of this was stored",
        )
        .with_source(error),
        Some(ErrorCode::OutOfMemory) => no_memory(what).with_source(error),
        Some(ErrorCode::SystemIoFailure) if !write_ahead_log::is_failure_of_disk(&error) => {
            no_memory(what).with_source(error)
        }
        // Too many files are open, or the file is missing. The text of SQLite names the path, so the text goes only to the log.
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

/// Whether an error of input or output during a write may mean a lack of room. SQLite recognizes a full disk by a single error of the
/// system, and an exhausted quota gives another error. A failed flush never counts: the data of the flush is lost, and the content of the
/// disk is unknown.
pub(crate) fn may_lack_room(error: &StoreError) -> bool {
    let codes = [ffi::SQLITE_IOERR_WRITE, ffi::SQLITE_IOERR_TRUNCATE];
    extended_code(error).is_some_and(|code| codes.contains(&code))
}

/// Whether opening a database may have failed for lack of room. SQLite makes two files beside the database. The second file is shared
/// memory. An error of the shared memory counts only while opening: during a commit, the commit may be on the disk already.
pub(crate) fn may_lack_room_to_open(error: &StoreError) -> bool {
    let codes = [
        ffi::SQLITE_IOERR_SHMOPEN,
        ffi::SQLITE_IOERR_SHMSIZE,
        ffi::SQLITE_IOERR_SHMMAP,
        ffi::SQLITE_CANTOPEN,
        ffi::SQLITE_FULL,
    ];
    may_lack_room(error) || extended_code(error).is_some_and(|code| codes.contains(&code))
}

fn extended_code(error: &StoreError) -> Option<i32> {
    let below = error.source()?.downcast_ref::<rusqlite::Error>()?;
    Some(below.sqlite_error()?.extended_code)
}

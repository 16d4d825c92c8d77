//! The write-ahead log of a database: the flush of the log at a start, the checkpoints from the log into the database, and the rules after
//! a failed flush.
//!
//! When a flush fails, Linux marks the unwritten pages as clean. Reads still show these pages, no later flush writes the pages, and a power
//! cut loses the pages. A checkpoint from such pages could lose the copied commits. So after a failed flush this program makes no
//! checkpoint, not even when the database is closed. The next start writes and flushes the whole log again before SQLite recovers from the
//! log.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::hooks::Wal;
use rusqlite::wal::CheckpointMode;
use rusqlite::{Connection, ErrorCode};
use tracing::{info, warn};

use super::{BUSY_TIMEOUT, NO_MEMORY, query_error};
use crate::error::StoreError;
use crate::storage::durable_file;

/// How many bytes of a log are written at a time.
const PIECE_BYTES: usize = 256 * 1024;

/// How long the checkpoint of a start waits for readers, such as a backup. After this time a later checkpoint copies the log.
const CHECKPOINT_TIMEOUT: Duration = Duration::from_secs(1);

/// Writes and flushes the whole log of a database again. So the log is durable even if earlier flushes failed. To be called while no
/// process writes to the database, and before SQLite recovers from the log. `file` is the database's name in the data directory.
///
/// The bytes stay the same. So others may read meanwhile, and durable bytes survive a power cut.
///
/// # Errors
/// When the log cannot be read, written or flushed.
pub(crate) fn make_durable(file: &str, database: &Path) -> Result<(), StoreError> {
    let mut log = database.as_os_str().to_owned();
    log.push("-wal");
    rewrite(Path::new(&log)).map_err(|error| {
        let what = format!("flush the write-ahead log of {file}, {}", log.display());
        durable_file::io_error(&what, error)
    })
}

fn rewrite(log: &Path) -> io::Result<()> {
    let log = match File::options().read(true).write(true).open(log) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        log => log?,
    };
    let mut left_bytes = log.metadata()?.len();
    if left_bytes == 0 {
        return Ok(());
    }
    let mut piece = vec![0; PIECE_BYTES];
    let mut at = 0;
    while left_bytes > 0 {
        let length = usize::try_from(left_bytes).map_or(PIECE_BYTES, |left| left.min(PIECE_BYTES));
        let piece = piece.get_mut(..length).unwrap_or_default();
        log.read_exact_at(piece, at)?;
        log.write_all_at(piece, at)?;
        at += length as u64;
        left_bytes -= length as u64;
    }
    log.sync_all()
}

/// Copies the log into the database and truncates the log. If a reader still needs a part of the log, this part stays for a later
/// checkpoint.
///
/// # Errors
/// When the disk fails: the connection then makes no checkpoint any more. When the disk has no room: then nothing is lost.
pub(crate) fn checkpoint(file: &str, connection: &Connection) -> Result<(), StoreError> {
    let truncated = || {
        connection.busy_timeout(CHECKPOINT_TIMEOUT)?;
        let is_read = truncate(connection);
        connection.busy_timeout(BUSY_TIMEOUT)?;
        is_read
    };
    match truncated() {
        Ok(false) => Ok(()),
        Ok(true) => {
            info!(
                file,
                "a process reads the database; a later checkpoint empties its write-ahead log"
            );
            Ok(())
        }
        Err(error) => {
            if error.sqlite_error_code() != Some(ErrorCode::DiskFull) {
                forbid_checkpoint_on_close(connection);
            }
            let what = format!("copy the write-ahead log of {file} into it");
            Err(query_error(file, &what, error))
        }
    }
}

/// Copies the log into the database and truncates the log, as far as readers allow. Returns whether a reader prevented the end.
pub(crate) fn truncate(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))
}

/// Makes a checkpoint when the log has grown, in place of SQLite's `wal_autocheckpoint`. `wal_autocheckpoint` does not report a failure,
/// and continues after a failure. Pages copied before the failure, and not flushed yet, could be lost.
#[derive(Debug)]
pub(crate) struct Checkpointer {
    /// How many pages the log had after the last commit.
    pages: Arc<AtomicI32>,
    pages_max: i32,
}

impl Checkpointer {
    /// Counts the pages of the log from now on.
    ///
    /// # Errors
    /// When the connection refuses the hook.
    pub(crate) fn new(connection: &mut Connection, pages_max: i32) -> rusqlite::Result<Self> {
        let pages = Arc::new(AtomicI32::new(0));
        let seen = Arc::clone(&pages);
        connection.wal_hook(Some(move |_: &mut Wal, pages| {
            seen.store(pages, Ordering::Relaxed);
            Ok(())
        }))?;
        Ok(Self { pages, pages_max })
    }

    /// Makes a checkpoint if a checkpoint is due. To be called after each commit.
    ///
    /// # Errors
    /// When the disk has failed. Earlier commits are durable; later commits may be lost.
    pub(crate) fn after_commit(&self, connection: &Connection) -> rusqlite::Result<()> {
        if self.pages.load(Ordering::Relaxed) < self.pages_max {
            return Ok(());
        }
        match connection.wal_checkpoint_v2(None::<&str>, CheckpointMode::PASSIVE) {
            Err(error) if is_failure_of_disk(&error) => Err(error),
            // Another process makes a checkpoint, or the disk is full: the next commit tries again.
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

/// Forbids the checkpoint at the closing of a connection. After a failed flush, the flush of this checkpoint would report success.
pub(crate) fn forbid_checkpoint_on_close(connection: &Connection) {
    if let Err(error) = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true) {
        warn!(%error, "SQLite may make a checkpoint although the disk has failed");
    }
}

/// Whether the content of the disk is unknown after an error.
pub(crate) fn is_failure_of_disk(error: &rusqlite::Error) -> bool {
    let Some(found) = error.sqlite_error() else {
        return false;
    };
    found.code == ErrorCode::SystemIoFailure && !NO_MEMORY.contains(&found.extended_code)
}

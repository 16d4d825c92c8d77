//! The write-ahead log of a database, and what a flush that fails does to it.
//!
//! When a flush fails, Linux takes the pages that it could not write for clean: reads go on to show them, no later flush writes
//! them, and a power cut loses them. What is built on them is lost with them. So after a failure nothing is folded any more,
//! not even when the database is closed; and a start, which finds the log as reads show it, writes it again before it
//! recovers anything from it.

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

/// How much of a log is written at a time.
const PIECE_BYTES: usize = 256 * 1024;

/// How long the start waits for those who read, such as a backup: the log can be folded later as well.
const FOLD_PATIENCE: Duration = Duration::from_secs(1);

/// Makes the whole log of a database durable, whatever became of earlier flushes. To be called while no process writes to it,
/// and before SQLite recovers it. `file` is the database's name in the data directory.
///
/// The bytes stay the same, so that others may read meanwhile, and a power cut takes nothing away that was durable.
///
/// # Errors
/// When the log cannot be read, written or flushed.
pub(crate) fn write_again(file: &str, database: &Path) -> Result<(), StoreError> {
    let mut log = database.as_os_str().to_owned();
    log.push("-wal");
    written_again(Path::new(&log)).map_err(|error| {
        let what = format!("flush the write-ahead log of {file}, {}", log.display());
        durable_file::failed(&what, error)
    })
}

fn written_again(log: &Path) -> io::Result<()> {
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

/// Folds the log into the database and empties it. What somebody still reads stays for later, which loses nothing.
///
/// # Errors
/// When the disk fails: the connection then leaves the files as they are. When there is no room on it, which loses nothing either.
pub(crate) fn fold(file: &str, connection: &Connection) -> Result<(), StoreError> {
    let folding = || {
        connection.busy_timeout(FOLD_PATIENCE)?;
        let is_read = empty(connection);
        connection.busy_timeout(BUSY_TIMEOUT)?;
        is_read
    };
    match folding() {
        Ok(false) => Ok(()),
        Ok(true) => {
            info!(
                file,
                "somebody reads the database; its write-ahead log is folded later"
            );
            Ok(())
        }
        Err(error) => {
            if error.sqlite_error_code() != Some(ErrorCode::DiskFull) {
                leave(connection);
            }
            let what = format!("fold the write-ahead log of {file} into it");
            Err(query_error(file, &what, error))
        }
    }
}

/// Folds the log into the database and empties it, as far as readers let it; says whether they were in the way.
pub(crate) fn empty(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))
}

/// Folds the log into the database when it has grown, in place of SQLite's `wal_autocheckpoint`. That one keeps a failure to
/// itself and folds on behind it: what it had folded before while somebody was reading, which it flushes later, is lost then.
#[derive(Debug)]
pub(crate) struct Folding {
    /// How many pages the log had after the last commit.
    pages: Arc<AtomicI32>,
    pages_max: i32,
}

impl Folding {
    /// From now on the log is folded only by this.
    ///
    /// # Errors
    /// When the connection does not take it.
    pub(crate) fn of(connection: &mut Connection, pages_max: i32) -> rusqlite::Result<Self> {
        let pages = Arc::new(AtomicI32::new(0));
        let seen = Arc::clone(&pages);
        connection.wal_hook(Some(move |_: &mut Wal, pages| {
            seen.store(pages, Ordering::Relaxed);
            Ok(())
        }))?;
        Ok(Self { pages, pages_max })
    }

    /// To be called after each commit: folds the log if it is due.
    ///
    /// # Errors
    /// When the disk has failed. What was committed is durable, and nothing more may be.
    pub(crate) fn after_commit(&self, connection: &Connection) -> rusqlite::Result<()> {
        if self.pages.load(Ordering::Relaxed) < self.pages_max {
            return Ok(());
        }
        match connection.wal_checkpoint_v2(None::<&str>, CheckpointMode::PASSIVE) {
            Err(error) if is_failure_of_disk(&error) => Err(error),
            // Somebody else is at it, or the disk is full: the next commit tries again.
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

/// Keeps a connection from folding the log when it is closed. After a failure that flush would say that all is well.
pub(crate) fn leave(connection: &Connection) {
    if let Err(error) = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true) {
        warn!(%error, "the write-ahead log may be folded though the disk has failed");
    }
}

/// Whether nobody knows any more what is on the disk.
pub(crate) fn is_failure_of_disk(error: &rusqlite::Error) -> bool {
    let Some(found) = error.sqlite_error() else {
        return false;
    };
    found.code == ErrorCode::SystemIoFailure && !NO_MEMORY.contains(&found.extended_code)
}

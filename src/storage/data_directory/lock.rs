//! The lock of a data directory: the operating system's, which goes with the process that holds it, however that ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::Path;

use super::failed;
use crate::error::{StoreError, StoreErrorKind};
use crate::storage::disk;

pub(crate) const LOCK_FILE: &str = "lock";

/// Locks a directory for as long as the file is open.
pub(super) fn hold(path: &Path) -> Result<File, StoreError> {
    let mut lock = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path.join(LOCK_FILE))
        .map_err(|error| failed(path, "cannot write to the data directory", error))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(in_use(path, &mut lock)),
        Err(TryLockError::Error(error)) => {
            Err(failed(path, "cannot lock the data directory", error))
        }
    }
}

/// Keeps others from locking a directory to write to it, for as long as the file is open. `None` where there is no lock, or none to be
/// read: nobody can be told to hold it, and a copy may have been made without it.
pub(super) fn hold_against_writers(path: &Path) -> Result<Option<File>, StoreError> {
    let Ok(mut lock) = File::open(path.join(LOCK_FILE)) else {
        return Ok(None);
    };
    match lock.try_lock_shared() {
        Err(TryLockError::WouldBlock) => Err(in_use(path, &mut lock)),
        Ok(()) | Err(TryLockError::Error(_)) => Ok(Some(lock)),
    }
}

/// Writes into a lock which process holds it. Only people read that, so a full disk is no reason to go without the directory.
pub(super) fn write_holder(lock: &mut File) -> io::Result<()> {
    let mut write = || {
        lock.set_len(0)?;
        lock.rewind()?;
        write!(lock, "{}", std::process::id())
    };
    match write() {
        Err(error) if disk::is_lack_of_room(&error) => Ok(()),
        written => written,
    }
}

/// Refuses a data directory that a process holds. Changes nothing, and makes no promise for the moment after.
///
/// # Errors
/// [`StoreErrorKind::Unavailable`] when it is held.
pub(crate) fn refuse_held(path: &Path) -> Result<(), StoreError> {
    hold_against_writers(path).map(drop)
}

fn in_use(path: &Path, lock: &mut File) -> StoreError {
    let mut holder = String::new();
    // Only for the message; an unreadable file leaves it out.
    let _ = lock.read_to_string(&mut holder);
    let holder = match holder.trim() {
        "" => String::new(),
        process => format!(" (process {process})"),
    };
    StoreError::new(
        StoreErrorKind::Unavailable,
        format!(
            "the data directory {} is in use by another fieldstation{holder}; stop that one, or name another directory with \
             --data",
            path.display()
        ),
    )
}

//! The lock of a data directory. The lock belongs to the operating system and ends with the process, however the process ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::Path;

use super::io_error;
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
        .map_err(|error| io_error(path, "cannot write to the data directory", error))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(in_use(path, &mut lock)),
        Err(TryLockError::Error(error)) => {
            Err(io_error(path, "cannot lock the data directory", error))
        }
    }
}

/// Keeps other processes from writing to a directory for as long as the file is open. `None` when the lock file is missing or cannot be
/// read: a copy of a data directory may have no lock file.
pub(super) fn hold_against_writers(path: &Path) -> Result<Option<File>, StoreError> {
    let Ok(mut lock) = File::open(path.join(LOCK_FILE)) else {
        return Ok(None);
    };
    match lock.try_lock_shared() {
        Err(TryLockError::WouldBlock) => Err(in_use(path, &mut lock)),
        Ok(()) | Err(TryLockError::Error(_)) => Ok(Some(lock)),
    }
}

/// Writes the id of this process into the lock file. Only people read the id, so a full disk is no error.
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

/// Refuses a data directory held by another process. Changes nothing. A process may take the directory right after.
///
/// # Errors
/// [`StoreErrorKind::Unavailable`] when a process holds the directory.
pub(crate) fn refuse_held(path: &Path) -> Result<(), StoreError> {
    hold_against_writers(path).map(drop)
}

fn in_use(path: &Path, lock: &mut File) -> StoreError {
    let mut holder = String::new();
    // Only for the message. The message leaves the process out when the file cannot be read.
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

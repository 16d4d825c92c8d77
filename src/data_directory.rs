//! The directory under which everything embedded lives, held by one process at a time.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use crate::backup;
use crate::durable::sync_directory;
use crate::error::{StoreError, StoreErrorKind};

pub(crate) const LOCK_FILE: &str = "lock";

/// An open data directory. Another process that tries to open it is refused while this value lives, and no longer: the
/// lock is the operating system's and goes with the process, however that ends.
#[derive(Debug)]
pub struct DataDirectory {
    path: PathBuf,
    _lock: File,
}

impl DataDirectory {
    /// Creates the directory if it is missing, and locks it.
    ///
    /// # Errors
    /// When it cannot be created or written to, when another process holds it, or when it is a backup or not complete.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        refuse_others(path)?;
        create_durably(path)
            .map_err(|error| failed(path, "cannot create the data directory", error))?;
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path.join(LOCK_FILE))
            .map_err(|error| failed(path, "cannot write to the data directory", error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(in_use(path, &mut lock)),
            Err(TryLockError::Error(error)) => {
                return Err(failed(path, "cannot lock the data directory", error));
            }
        }
        // Once more, for what began to fill it while it was not locked.
        refuse_others(path)?;
        write_holder(&mut lock)
            .map_err(|error| failed(path, "cannot write to the data directory", error))?;
        Ok(Self {
            path: path.to_owned(),
            _lock: lock,
        })
    }

    /// A file in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// A directory in it, created if it is missing, and there for good when this returns.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn create_directory(&self, name: &str) -> Result<PathBuf, StoreError> {
        let path = self.join(name);
        create_durably(&path)
            .map_err(|error| failed(&path, "cannot create the directory", error))?;
        Ok(path)
    }

    /// Makes the names of files just created in it durable.
    ///
    /// # Errors
    /// When the directory cannot be flushed to disk.
    pub fn sync(&self) -> Result<(), StoreError> {
        File::open(&self.path)
            .and_then(|directory| directory.sync_all())
            .map_err(|error| failed(&self.path, "cannot flush the data directory", error))
    }
}

/// Refuses a data directory that a process holds. Changes nothing, and makes no promise for the moment after.
///
/// # Errors
/// [`StoreErrorKind::Unavailable`] when it is held.
pub(crate) fn refuse_held(path: &Path) -> Result<(), StoreError> {
    // Where there is no lock, or none to be read, nobody can be told to hold it.
    let Ok(mut lock) = File::open(path.join(LOCK_FILE)) else {
        return Ok(());
    };
    match lock.try_lock_shared() {
        Err(TryLockError::WouldBlock) => Err(in_use(path, &mut lock)),
        Ok(()) | Err(TryLockError::Error(_)) => Ok(()),
    }
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

/// A server that wrote to a backup would spoil it, and one that began with half of the data would seem to have lost the rest.
fn refuse_others(path: &Path) -> Result<(), StoreError> {
    let has = |name: &str| path.join(name).symlink_metadata().is_ok();
    let what = if has(backup::UNFINISHED) {
        "is not complete: a backup or restore into it did not end, or is still running"
    } else if has(backup::MANIFEST) {
        "is a backup; `fieldstation restore` makes a data directory from it"
    } else {
        return Ok(());
    };
    Err(StoreError::new(
        StoreErrorKind::Unavailable,
        format!("{} {what}", path.display()),
    ))
}

fn write_holder(lock: &mut File) -> io::Result<()> {
    lock.set_len(0)?;
    lock.rewind()?;
    write!(lock, "{}", std::process::id())
}

/// Creates a directory and those above it, each flushed into the one it stands in.
fn create_durably(path: &Path) -> io::Result<()> {
    let parent = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    if path.is_dir() {
        // A process that made it may have been killed before the flush.
        return match sync_directory(parent) {
            Err(error) if error.raw_os_error() == Some(libc::EIO) => Err(error),
            // Whoever made the directory for us need not let us at the one above it, and may have made that one read-only.
            _ => Ok(()),
        };
    }
    create_durably(parent)?;
    match fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    sync_directory(parent)
}

fn failed(path: &Path, what: &str, error: io::Error) -> StoreError {
    StoreError::new(
        StoreErrorKind::Internal,
        format!("{what} {}: {error}", path.display()),
    )
    .with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_held_once_and_free_again_afterwards() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/b");
        let held = DataDirectory::open(&path).unwrap();
        let refused = DataDirectory::open(&path).unwrap_err();
        assert_eq!(refused.kind(), StoreErrorKind::Unavailable);
        assert!(
            refused.message().contains(&std::process::id().to_string()),
            "{refused}"
        );
        drop(held);
        DataDirectory::open(&path).unwrap();
    }

    #[test]
    fn a_path_that_is_a_file_is_an_error_that_names_it() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("file");
        fs::write(&path, "").unwrap();
        let error = DataDirectory::open(&path).unwrap_err();
        assert!(error.message().contains("file"), "{error}");
    }
}

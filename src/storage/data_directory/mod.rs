//! The data directory holds all embedded data. Only a single process at a time uses the directory.

mod databases;
mod lock;
mod presence;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::RwLock;

pub(crate) use self::lock::{LOCK_FILE, refuse_held};
use self::presence::Presence;
use super::backup_names;
use super::disk::Disk;
use super::durable_file;
use super::sqlite;
use crate::error::{StoreError, StoreErrorKind};

/// An open data directory. Other processes cannot open the directory while this value lives. The lock belongs to the operating system and
/// ends with the process, however the process ends.
#[derive(Debug)]
pub struct DataDirectory {
    path: PathBuf,
    is_read_only: bool,
    disk: Disk,
    /// The other disks: a directory inside the data directory may be on another disk.
    other_disks: RwLock<Vec<Arc<Disk>>>,
    presence: Presence,
    /// Sentences for the operator about the state of the directory at the start.
    warnings: RwLock<Vec<String>>,
    _lock: Option<File>,
}

impl DataDirectory {
    /// Creates the directory if the directory is missing, and locks the directory.
    ///
    /// # Errors
    /// When the directory cannot be created or written to, when another process holds the directory, or when the directory is a backup or
    /// not complete.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        refuse_backups(path)?;
        durable_file::create_directory(path)
            .map_err(|error| io_error(path, "cannot create the data directory", error))?;
        let mut lock = lock::hold(path)?;
        // Checks again: a backup or a restore may have begun to fill the directory before the lock.
        refuse_backups(path)?;
        lock::write_holder(&mut lock)
            .map_err(|error| io_error(path, "cannot write to the data directory", error))?;
        let directory = Self::new(path, false, Some(lock));
        let presence = &directory.presence;
        presence
            .expect_directory(path.to_owned())
            .and_then(|()| presence.expect(path.join(LOCK_FILE)))
            .map_err(|error| io_error(path, "cannot look at the data directory", error))?;
        Ok(directory)
    }

    /// Opens a directory for reads only. Nothing in the directory is changed or created, so the directory may be on a read-only medium. If
    /// the directory can be locked, no server writes to the directory meanwhile.
    ///
    /// # Errors
    /// When the directory is missing, when another process writes to the directory, or when the directory is a backup or not complete.
    pub fn open_read_only(path: &Path) -> Result<Self, StoreError> {
        if !path.is_dir() {
            return Err(StoreError::new(
                StoreErrorKind::Unavailable,
                format!("there is no directory {}", path.display()),
            ));
        }
        refuse_backups(path)?;
        let lock = lock::hold_against_writers(path)?;
        Ok(Self::new(path, true, lock))
    }

    /// Opens a directory to read these databases. If no database needs a recovery, nothing is changed, so that a full or read-only disk can
    /// be read. Otherwise the directory is opened to write, and the databases are recovered.
    ///
    /// # Errors
    /// Those of [`Self::open_read_only`], or of [`Self::open`].
    pub(crate) fn open_to_read(path: &Path, databases: &[&str]) -> Result<Self, StoreError> {
        let can_be_read = |name: &&str| sqlite::can_open_untouched(&path.join(name));
        if databases.iter().all(can_be_read) {
            Self::open_read_only(path)
        } else {
            Self::open(path)
        }
    }

    fn new(path: &Path, is_read_only: bool, lock: Option<File>) -> Self {
        Self {
            path: path.to_owned(),
            is_read_only,
            disk: Disk::of(path, "the data directory", !is_read_only),
            other_disks: RwLock::default(),
            presence: Presence::default(),
            warnings: RwLock::default(),
            _lock: lock,
        }
    }

    /// The path of a file in the directory.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Whether the directory is only read.
    pub fn is_read_only(&self) -> bool {
        self.is_read_only
    }

    /// The disk of the directory.
    pub(crate) fn disk(&self) -> &Disk {
        &self.disk
    }

    /// Creates a directory inside the data directory if it is missing, and returns the path. On success the new directory is durable, and
    /// from then on the presence of the new directory is watched.
    ///
    /// # Errors
    /// When the directory cannot be created.
    pub fn create_directory(&self, name: &str) -> Result<PathBuf, StoreError> {
        let path = self.join(name);
        if self.is_read_only {
            return Ok(path);
        }
        durable_file::create_directory(&path)
            .and_then(|()| self.presence.expect_directory(path.clone()))
            .map_err(|error| io_error(&path, "cannot create the directory", error))?;
        Ok(path)
    }

    /// The disk of a directory inside the data directory, if the directory is on another disk: mounted there, or behind a link.
    pub(crate) fn other_disk(&self, path: &Path, role: &'static str) -> Option<Arc<Disk>> {
        use std::os::unix::fs::MetadataExt as _;
        let device = |path: &Path| fs::metadata(path).ok().map(|found| found.dev());
        if self.is_read_only || device(path) == device(&self.path) {
            return None;
        }
        let disk = Arc::new(Disk::of(path, role, false));
        self.other_disks.write().push(Arc::clone(&disk));
        Some(disk)
    }

    /// Makes the names of new files in the directory durable.
    ///
    /// # Errors
    /// When the directory cannot be flushed to disk.
    pub fn sync(&self) -> Result<(), StoreError> {
        File::open(&self.path)
            .and_then(|directory| directory.sync_all())
            .map_err(|error| io_error(&self.path, "cannot flush the data directory", error))
    }

    /// Whether data may be changed.
    ///
    /// # Errors
    /// [`StoreErrorKind::ReadOnly`] when the directory is only read; [`StoreErrorKind::Unavailable`] while the directory or a file in the
    /// directory is missing or replaced.
    pub(crate) fn check_changes(&self) -> Result<(), StoreError> {
        if self.is_read_only {
            return Err(StoreError::new(
                StoreErrorKind::ReadOnly,
                "this server only reads (--read-only): nothing of this was stored. Send it to a server that takes writes",
            ));
        }
        self.presence
            .absence()
            .map_or(Ok(()), |what| Err(unavailable(&what)))
    }

    /// Whether data may be added.
    ///
    /// # Errors
    /// Those of [`Self::check_changes`]; [`StoreErrorKind::StorageFull`] while the disk is full.
    pub(crate) fn check_additions(&self) -> Result<(), StoreError> {
        self.check_changes()?;
        self.disk.check()
    }

    /// Whether requests can be served: writes, or only reads when the directory is only read.
    ///
    /// # Errors
    /// Those of [`Self::check_additions`], unless the directory is only read.
    pub(crate) fn ready(&self) -> Result<(), StoreError> {
        if self.is_read_only {
            return Ok(());
        }
        self.check_additions()
    }

    /// Whether a write to a database went to the files in this directory. To be called before the write is acknowledged.
    ///
    /// # Errors
    /// [`StoreErrorKind::Unconfirmed`] when the write went to other files.
    pub(crate) fn confirm(&self, name: &str) -> Result<(), StoreError> {
        self.confirm_files(name).map_err(|what| {
            StoreError::new(
                StoreErrorKind::Unconfirmed,
                format!(
                    "{what}. What was sent may be stored in the files that were there, and is not in the data directory; send it again"
                ),
            )
        })
    }

    fn confirm_files(&self, name: &str) -> Result<(), String> {
        self.presence.confirm(|file| {
            file.strip_prefix(name)
                .is_some_and(|rest| matches!(rest, "" | "-wal"))
        })
    }

    /// Explains the error of a write. The write was rolled back. The cause may be a lack of room.
    pub(crate) fn explain(&self, error: StoreError) -> StoreError {
        let is_full = error.kind() == StoreErrorKind::StorageFull
            || (sqlite::may_lack_room(&error) && self.disk.lacks_room());
        if is_full {
            return self.disk.ran_out().with_source(error);
        }
        error
    }

    /// Explains the error of a write outside of the databases: the directory or a file in it may be missing.
    pub(crate) fn explain_absence(&self, error: StoreError) -> StoreError {
        self.presence.look(&self.path);
        match self.presence.absence() {
            Some(what) => unavailable(&what).with_source(error),
            None => error,
        }
    }

    /// Looks at the disk and at the directory. Blocks. To be called every second.
    pub(crate) fn look(&self) {
        if self.is_read_only {
            return;
        }
        self.presence.look(&self.path);
        if self.presence.absence().is_none() {
            self.disk.look();
            for disk in self.other_disks.read().iter() {
                disk.look();
            }
        }
    }

    /// The free bytes of the disk at the last look; `None` when the system does not know, or when the directory is only read.
    pub(crate) fn free_bytes(&self) -> Option<u64> {
        let free_bytes = self.disk.free_bytes();
        (!self.is_read_only && free_bytes != u64::MAX).then_some(free_bytes)
    }

    /// Adds and logs a warning for the operator.
    pub(crate) fn warn(&self, warning: String) {
        tracing::warn!("{warning}");
        self.warnings.write().push(warning);
    }

    /// Warnings for the operator.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let mut warnings = self.warnings.read().clone();
        if !self.is_read_only {
            warnings.extend(self.disk.warning());
            warnings.extend(
                self.other_disks
                    .read()
                    .iter()
                    .filter_map(|disk| disk.warning()),
            );
        }
        warnings
    }
}

fn unavailable(what: &str) -> StoreError {
    StoreError::new(
        StoreErrorKind::Unavailable,
        format!(
            "the data directory is not what it was: {what}. Nothing is written until the very same files are back, and then the \
             server goes on by itself; restart it if others are to be served"
        ),
    )
}

/// Refuses a backup, because a server would change the backup. Refuses an incomplete directory, because a server would seem to have lost
/// the missing data.
fn refuse_backups(path: &Path) -> Result<(), StoreError> {
    let has = |name: &str| path.join(name).symlink_metadata().is_ok();
    let what = if has(backup_names::UNFINISHED) {
        "is not complete: a backup or restore into it did not end, or is still running"
    } else if has(backup_names::MANIFEST) {
        "is a backup; `fieldstation restore` makes a data directory from it"
    } else {
        return Ok(());
    };
    Err(StoreError::new(
        StoreErrorKind::Unavailable,
        format!("{} {what}", path.display()),
    ))
}

fn io_error(path: &Path, what: &str, error: io::Error) -> StoreError {
    let message = format!("{what} {}: {error}", path.display());
    StoreError::new(durable_file::kind_of(&error), message).with_source(error)
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

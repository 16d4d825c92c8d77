//! The directory under which everything embedded lives, held by one process at a time: its disk, and whether it is still there.

mod lock;
mod presence;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::RwLock;
use rusqlite::Connection;

pub(crate) use self::lock::{LOCK_FILE, refuse_held};
use self::presence::Presence;
use super::backup_names;
use super::disk::Disk;
use super::durable_file::{self, sync_directory};
use super::sqlite::{self, DatabaseDefinition, write_ahead_log};
use crate::error::{StoreError, StoreErrorKind};

/// An open data directory. Another process that tries to open it is refused while this value lives, and no longer: the
/// lock is the operating system's and goes with the process, however that ends.
#[derive(Debug)]
pub struct DataDirectory {
    path: PathBuf,
    is_read_only: bool,
    disk: Disk,
    /// Those of directories in it that are elsewhere.
    other_disks: RwLock<Vec<Arc<Disk>>>,
    presence: Presence,
    /// What an operator should know of how it was found.
    warnings: RwLock<Vec<String>>,
    _lock: Option<File>,
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
        let mut lock = lock::hold(path)?;
        // Once more, for what began to fill it while it was not locked.
        refuse_others(path)?;
        lock::write_holder(&mut lock)
            .map_err(|error| failed(path, "cannot write to the data directory", error))?;
        let directory = Self::new(path, false, Some(lock));
        let presence = &directory.presence;
        presence
            .expect_directory(path.to_owned())
            .and_then(|()| presence.expect(path.join(LOCK_FILE)))
            .map_err(|error| failed(path, "cannot look at the data directory", error))?;
        Ok(directory)
    }

    /// Opens a directory that is only read: nothing in it is changed or created, so it may be on a medium that cannot be written
    /// to. Where it can be locked, no server writes to it meanwhile.
    ///
    /// # Errors
    /// When there is none, when another process holds it to write to it, or when it is a backup or not complete.
    pub fn open_read_only(path: &Path) -> Result<Self, StoreError> {
        if !path.is_dir() {
            return Err(StoreError::new(
                StoreErrorKind::Unavailable,
                format!("there is no directory {}", path.display()),
            ));
        }
        refuse_others(path)?;
        let lock = lock::hold_against_writers(path)?;
        Ok(Self::new(path, true, lock))
    }

    /// Opens a directory to read these databases of it. Nothing is changed where they can be read as they are: a disk that is full,
    /// or cannot be written to, can be read. What has to be made or recovered first is.
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

    /// A file in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Whether it is only read.
    pub fn is_read_only(&self) -> bool {
        self.is_read_only
    }

    /// The disk that it is on.
    pub(crate) fn disk(&self) -> &Disk {
        &self.disk
    }

    /// A directory in it, created if it is missing, and there for good when this returns. From then on it is watched to stay there.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn create_directory(&self, name: &str) -> Result<PathBuf, StoreError> {
        let path = self.join(name);
        if self.is_read_only {
            return Ok(path);
        }
        create_durably(&path)
            .and_then(|()| self.presence.expect_directory(path.clone()))
            .map_err(|error| failed(&path, "cannot create the directory", error))?;
        Ok(path)
    }

    /// The disk of a directory in it, when that is another one: mounted there, or linked to.
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

    /// Makes the names of files just created in it durable.
    ///
    /// # Errors
    /// When the directory cannot be flushed to disk.
    pub fn sync(&self) -> Result<(), StoreError> {
        File::open(&self.path)
            .and_then(|directory| directory.sync_all())
            .map_err(|error| failed(&self.path, "cannot flush the data directory", error))
    }

    /// Opens the connection that writes to a database, with an empty write-ahead log; creates the file if it is missing. Opening may take
    /// from the reserve if the disk is full. From then on the presence of the files is watched.
    ///
    /// # Errors
    /// Those of [`DatabaseDefinition::open_writer`]; when the disk is full or fails.
    pub(crate) fn open_writer(
        &self,
        database: &DatabaseDefinition,
    ) -> Result<Connection, StoreError> {
        let name = database.file_name;
        let path = self.join(name);
        let is_new = !fs::metadata(&path).is_ok_and(|found| found.len() > 0);
        let opened = self.disk.with_reserve(|| {
            let connection =
                database.open_writer(&path).map_err(
                    |error| match sqlite::may_lack_room_to_open(&error) {
                        true if self.disk.lacks_room() => self.disk.full().with_source(error),
                        _ => error,
                    },
                )?;
            match self.without_room(write_ahead_log::fold(name, &connection))? {
                // Until then the first page of a new file need not be flushed, and without that one its log counts for nothing.
                Some(error) if is_new => Err(error),
                _ => Ok(connection),
            }
        })?;
        let look_failed = |error| failed(&self.path, "cannot look at the data directory", error);
        self.presence.expect(path).map_err(look_failed)?;
        let log = self.join(&format!("{name}-wal"));
        if log.exists() {
            self.presence.expect(log).map_err(look_failed)?;
        }
        self.sync()?;
        Ok(opened)
    }

    /// Opens one more connection that only reads a database, if the database is still where it was opened first. In a directory that is
    /// only read, it makes and changes no file.
    ///
    /// # Errors
    /// [`StoreErrorKind::Unavailable`] when the database is not there; when it cannot be opened.
    pub(crate) fn open_reader(
        &self,
        database: &DatabaseDefinition,
    ) -> Result<Connection, StoreError> {
        let path = self.join(database.file_name);
        if self.is_read_only {
            return database.open_untouched(&path);
        }
        self.check_database(database.file_name)?;
        database.open_reader(&path)
    }

    /// Whether anything may be changed here.
    ///
    /// # Errors
    /// [`StoreErrorKind::ReadOnly`] when it is only read; [`StoreErrorKind::Unavailable`] while it is not what was opened.
    pub(crate) fn check_changes(&self) -> Result<(), StoreError> {
        if self.is_read_only {
            return Err(StoreError::new(
                StoreErrorKind::ReadOnly,
                "this server only reads (--read-only): nothing of this was stored. Send it to a server that takes writes",
            ));
        }
        self.presence
            .trouble()
            .map_or(Ok(()), |what| Err(away(&what)))
    }

    /// Whether something may be added here.
    ///
    /// # Errors
    /// Those of [`Self::check_changes`]; [`StoreErrorKind::StorageFull`] while the disk is full.
    pub(crate) fn check_additions(&self) -> Result<(), StoreError> {
        self.check_changes()?;
        self.disk.check()
    }

    /// Whether it is in the state that it was opened for.
    ///
    /// # Errors
    /// Those of [`Self::check_additions`], unless it was opened to be read only.
    pub(crate) fn ready(&self) -> Result<(), StoreError> {
        if self.is_read_only {
            return Ok(());
        }
        self.check_additions()
    }

    /// Whether a database is still where it was opened: asked before it is opened once more.
    ///
    /// # Errors
    /// [`StoreErrorKind::Unavailable`] when it is not.
    fn check_database(&self, name: &str) -> Result<(), StoreError> {
        self.confirm_files(name).map_err(|what| away(&what))
    }

    /// Whether what was just written to a database is in this directory: asked before anybody is told that it is stored.
    ///
    /// # Errors
    /// [`StoreErrorKind::Unconfirmed`] when it is not.
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

    /// What a write failed with, which is known to have left nothing: whether it is for lack of room, or because the directory is
    /// away.
    pub(crate) fn explain(&self, error: StoreError) -> StoreError {
        let is_full = error.kind() == StoreErrorKind::StorageFull
            || (sqlite::may_lack_room(&error) && self.disk.lacks_room());
        if is_full {
            return self.disk.ran_out().with_source(error);
        }
        error
    }

    /// What became of folding a write-ahead log: `Some` when there was no room to, which loses nothing. The log is folded later.
    ///
    /// # Errors
    /// When it failed for another reason.
    pub(crate) fn without_room(
        &self,
        folded: Result<(), StoreError>,
    ) -> Result<Option<StoreError>, StoreError> {
        match folded.map_err(|error| self.explain(error)) {
            Ok(()) => Ok(None),
            Err(error) if error.kind() == StoreErrorKind::StorageFull => Ok(Some(error)),
            Err(error) => Err(error),
        }
    }

    /// Says of a write that failed outside of the databases whether it did because the directory is away.
    pub(crate) fn explain_absence(&self, error: StoreError) -> StoreError {
        self.presence.look(&self.path);
        match self.presence.trouble() {
            Some(what) => away(&what).with_source(error),
            None => error,
        }
    }

    /// Looks at the disk and at the directory. Blocks. Wants to be called every second.
    pub(crate) fn look(&self) {
        if self.is_read_only {
            return;
        }
        self.presence.look(&self.path);
        if self.presence.trouble().is_none() {
            self.disk.look();
            for disk in self.other_disks.read().iter() {
                disk.look();
            }
        }
    }

    /// How much room its disk had at the last look; none when the system does not tell, or when the directory is only read.
    pub(crate) fn free_bytes(&self) -> Option<u64> {
        let free_bytes = self.disk.free_bytes();
        (!self.is_read_only && free_bytes != u64::MAX).then_some(free_bytes)
    }

    /// Adds something that an operator should know.
    pub(crate) fn warn(&self, warning: String) {
        tracing::warn!("{warning}");
        self.warnings.write().push(warning);
    }

    /// What an operator should know although it works.
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

fn away(what: &str) -> StoreError {
    StoreError::new(
        StoreErrorKind::Unavailable,
        format!(
            "the data directory is not what it was: {what}. Nothing is written until the very same files are back, and then the \
             server goes on by itself; restart it if others are to be served"
        ),
    )
}

/// A server that wrote to a backup would spoil it, and one that began with half of the data would seem to have lost the rest.
fn refuse_others(path: &Path) -> Result<(), StoreError> {
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

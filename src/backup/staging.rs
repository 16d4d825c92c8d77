//! Makes a directory appear complete or not at all.
//!
//! If the target does not exist, a directory beside the target is filled and then renamed. If the target exists and is empty, the target
//! keeps owner and mode, and a disk may be mounted there. In this case a directory inside the target is filled, and then each entry moves
//! up. While the directory inside exists, the target counts as not complete.

use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, File, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::error::{StoreError, StoreErrorKind};
use crate::storage::backup_names::UNFINISHED;
use crate::storage::durable_file::{self, sync_directory};

const BESIDE_PREFIX: &str = ".fieldstation-";
const BESIDE_SUFFIX: &str = UNFINISHED;

/// The only directory that a new file system may have.
const LOST_AND_FOUND: &str = "lost+found";

/// How many names are tried for the directory beside the target.
const NAMES_MAX: u32 = 100;

/// An unfinished directory. Dropping this value removes the directory, unless the directory was published.
#[derive(Debug)]
pub(super) struct Staging {
    path: PathBuf,
    target: PathBuf,
    is_inside: bool,
    /// The entries already moved to the target.
    moved: Vec<PathBuf>,
    is_published: bool,
    /// Shows other processes that the directory is in use. The lock ends with the process, however the process ends.
    _lock: File,
}

impl Staging {
    /// Begins to fill a missing or empty target.
    ///
    /// # Errors
    /// [`StoreErrorKind::Unavailable`] when the target is not empty, or the directory cannot be created.
    pub(super) fn begin(target: &Path) -> Result<Self, StoreError> {
        let not_made = |error| not_made(target, &error);
        let is_inside = match target.symlink_metadata() {
            Ok(_) => true,
            Err(error) if error.kind() == ErrorKind::NotFound => false,
            Err(error) => return Err(not_made(error)),
        };
        let (path, lock) = if is_inside {
            refuse_unless_empty(target, &names(target).map_err(not_made)?)?;
            let path = target.join(UNFINISHED);
            let lock = make(&path).map_err(not_made)?;
            (path, lock.ok_or_else(|| occupied(target))?)
        } else {
            let parent = target.parent().unwrap_or(Path::new("/"));
            remove_abandoned(parent);
            make_beside(parent).map_err(not_made)?
        };
        let staging = Self {
            path,
            target: target.to_owned(),
            is_inside,
            moved: Vec::new(),
            is_published: false,
            _lock: lock,
        };
        // A server may have started meanwhile. Either the server has seen the directory inside, or this check sees the lock file of the
        // server.
        if is_inside && names(target).map_err(not_made)?.len() > 1 {
            return Err(occupied(target));
        }
        Ok(staging)
    }

    /// The directory to fill.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the content appear in the target, durably. The entry `last` appears after all others.
    ///
    /// # Errors
    /// When another entry has appeared in the target meanwhile, or the disk fails.
    pub(super) fn publish(mut self, last: Option<&str>) -> Result<(), StoreError> {
        let done = if self.is_inside {
            self.move_up(last)
        } else {
            self.rename()
        };
        done.map_err(|error| {
            let what = format!("move the files to {}", self.target.display());
            durable_file::io_error(&what, error)
        })?;
        self.is_published = true;
        Ok(())
    }

    fn rename(&mut self) -> io::Result<()> {
        sync_directory(&self.path)?;
        fs::rename(&self.path, &self.target)?;
        self.path.clone_from(&self.target);
        sync_directory(self.target.parent().unwrap_or(Path::new("/")))
    }

    fn move_up(&mut self, last: Option<&str>) -> io::Result<()> {
        let mut names = names(&self.path)?;
        names.retain(|name| last.is_none_or(|last| name != last));
        for name in &names {
            self.move_one(name)?;
        }
        sync_directory(&self.target)?;
        if let Some(last) = last {
            self.move_one(OsStr::new(last))?;
            sync_directory(&self.target)?;
        }
        fs::remove_dir(&self.path)?;
        sync_directory(&self.target)
    }

    fn move_one(&mut self, name: &OsStr) -> io::Result<()> {
        let target = self.target.join(name);
        // A rename would replace a file.
        if target.symlink_metadata().is_ok() {
            return Err(ErrorKind::AlreadyExists.into());
        }
        fs::rename(self.path.join(name), &target)?;
        self.moved.push(target);
        Ok(())
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if self.is_published {
            return;
        }
        // An error cannot be reported here. Remaining files are never taken for complete, and the next backup removes them.
        for moved in self.moved.iter().rev() {
            let _ = match moved.is_dir() {
                true => fs::remove_dir_all(moved),
                false => fs::remove_file(moved),
            };
        }
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// The entries of a directory, except `lost+found`.
fn names(directory: &Path) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)? {
        names.push(entry?.file_name());
    }
    names.retain(|name| name != LOST_AND_FOUND);
    Ok(names)
}

/// Refuses a directory with entries. But a process may have been killed while it filled the directory: the files of such a process are
/// removed.
fn refuse_unless_empty(target: &Path, names: &[OsString]) -> Result<(), StoreError> {
    match names {
        [] => Ok(()),
        [only] if only == UNFINISHED && remove_if_abandoned(&target.join(UNFINISHED)) => Ok(()),
        names if names.iter().any(|name| name == UNFINISHED) => Err(StoreError::new(
            StoreErrorKind::Unavailable,
            format!(
                "{} holds what a backup or restore that did not end, or is still running, has put there; empty it, or name \
                 another directory",
                target.display()
            ),
        )),
        _ => Err(occupied(target)),
    }
}

/// Creates a directory with read permission for the owner only, and locks the directory. `None` when the name is taken.
fn make(path: &Path) -> io::Result<Option<File>> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(None),
        made => made?,
    }
    // Before the lock, another process may take the directory for abandoned and remove it.
    let lock = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        lock => lock?,
    };
    match lock.try_lock() {
        Err(TryLockError::WouldBlock) => Ok(None),
        // On a file system without locks no process takes the directory for abandoned.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(Some(lock)),
    }
}

fn make_beside(parent: &Path) -> io::Result<(PathBuf, File)> {
    for number in 0..NAMES_MAX {
        let name = format!(
            "{BESIDE_PREFIX}{}-{number}{BESIDE_SUFFIX}",
            std::process::id()
        );
        let path = parent.join(name);
        if let Some(lock) = make(&path)? {
            return Ok((path, lock));
        }
    }
    Err(ErrorKind::AlreadyExists.into())
}

/// Removes the directories of killed processes, because the next backup needs the room.
fn remove_abandoned(parent: &Path) {
    // A failed removal does no harm.
    let Ok(entries) = fs::read_dir(parent) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let is_ours = name
            .to_str()
            .is_some_and(|name| name.starts_with(BESIDE_PREFIX) && name.ends_with(BESIDE_SUFFIX));
        if is_ours && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_if_abandoned(&entry.path());
        }
    }
}

fn remove_if_abandoned(path: &Path) -> bool {
    let Ok(directory) = File::open(path) else {
        return false;
    };
    directory.try_lock().is_ok() && fs::remove_dir_all(path).is_ok()
}

fn occupied(target: &Path) -> StoreError {
    StoreError::new(
        StoreErrorKind::Unavailable,
        format!(
            "{} is not empty; name a directory that is, or that does not exist",
            target.display()
        ),
    )
}

fn not_made(target: &Path, error: &io::Error) -> StoreError {
    StoreError::new(
        StoreErrorKind::Unavailable,
        format!("cannot write to {}: {error}", target.display()),
    )
}

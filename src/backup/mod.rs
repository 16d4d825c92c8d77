//! Backups of a data directory, taken while a server writes to it, and restored into a new data directory.
//!
//! A backup is a directory with a snapshot of `readings.db`, a snapshot of `station.db`, the device files named in `station.db`, and a
//! manifest with the length and digest of each file. The directory is filled under another name, so that an incomplete directory is never
//! taken for a backup.

mod manifest;
mod restore;
mod staging;
mod take;

use std::io;
use std::path::{Path, PathBuf};

pub use restore::{Restored, restore};
pub use take::{Taken, take};

use crate::error::{StoreError, StoreErrorKind};
use crate::verify::{self, Report, verify_copies};

/// The progress of a backup or a restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The number of copied bytes, and the expected number of all bytes.
    Copied(u64, u64),
    /// The progress of the check.
    Checked(verify::Progress),
}

/// The canonical path of a directory. The directory need not exist, but the parent directory has to exist.
fn canonical(path: &Path) -> Result<PathBuf, StoreError> {
    match path.canonicalize() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        resolved => return resolved.map_err(|error| unusable(path, &error)),
    }
    let (Some(name), Some(parent)) = (path.file_name(), path.parent()) else {
        return Err(missing(path));
    };
    let parent = match parent {
        parent if parent == Path::new("") => Path::new("."),
        parent => parent,
    };
    match parent.canonicalize() {
        Ok(parent) => Ok(parent.join(name)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(missing(parent)),
        Err(error) => Err(unusable(parent, &error)),
    }
}

/// The canonical path of an existing directory.
fn existing(path: &Path) -> Result<PathBuf, StoreError> {
    let resolved = canonical(path)?;
    if resolved.is_dir() {
        return Ok(resolved);
    }
    Err(missing(path))
}

/// Refuses to copy a directory into itself.
fn check_apart(from: &Path, to: &Path) -> Result<(), StoreError> {
    if !from.starts_with(to) && !to.starts_with(from) {
        return Ok(());
    }
    Err(StoreError::new(
        StoreErrorKind::Unsupported,
        format!(
            "one of {} and {} is in the other; name a directory elsewhere",
            from.display(),
            to.display()
        ),
    ))
}

/// Checks the copies of the databases. A problem is an error here.
fn check_copies(
    directory: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, StoreError> {
    let report = verify_copies(directory, &mut |checked| {
        progress(Progress::Checked(checked));
    })?;
    let Some(problem) = report.problems.first() else {
        return Ok(report);
    };
    let more = match report.problem_count {
        1 => String::new(),
        count => format!(", and {} more problems", count - 1),
    };
    Err(StoreError::new(
        StoreErrorKind::Damaged,
        format!("what is stored is damaged: {problem}{more}"),
    ))
}

fn missing(path: &Path) -> StoreError {
    StoreError::new(
        StoreErrorKind::Unavailable,
        format!("there is no directory {}", path.display()),
    )
}

fn unusable(path: &Path, error: &io::Error) -> StoreError {
    StoreError::new(
        StoreErrorKind::Unavailable,
        format!("cannot use {}: {error}", path.display()),
    )
}

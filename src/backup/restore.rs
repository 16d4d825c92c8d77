//! Restores a data directory from a backup.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::path::Path;

use super::manifest::{Entry, Manifest, damaged};
use super::staging::Staging;
use super::{Progress, canonical, check_apart, check_copies, existing};
use crate::error::StoreError;
use crate::files::folder;
use crate::storage::app_database;
use crate::storage::data_directory;
use crate::storage::durable_file;
use crate::verify::Report;

/// The result of a restore.
#[derive(Clone, Debug)]
pub struct Restored {
    /// The data directory holds every write acknowledged before this time, in RFC 3339.
    pub began: String,
    /// The number of files, databases and device files.
    pub files: u64,
    /// The bytes of all files.
    pub bytes: u64,
    /// The result of the check.
    pub report: Report,
}

/// Restores the backup `from` into the data directory `data`. The data directory must be missing or empty. The backup is not changed. Every
/// byte is compared with the manifest, and the copies are verified, before the data directory appears under the final name.
///
/// # Errors
/// [`crate::error::StoreErrorKind::Unsupported`] when one directory is in the other, or a newer version wrote the backup;
/// [`crate::error::StoreErrorKind::Unavailable`] when either directory cannot be used;
/// [`crate::error::StoreErrorKind::Damaged`] names the problem of the backup. After an error, no file is left.
pub fn restore(
    from: &Path,
    data: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<Restored, StoreError> {
    let (from, data) = (existing(from)?, canonical(data)?);
    check_apart(&from, &data)?;
    let manifest = Manifest::read(&from)?;
    data_directory::refuse_held(&data)?;
    let staging = Staging::begin(&data)?;
    let directory = staging.path();
    copy_all(&from, directory, &manifest, progress)?;
    if manifest.holds(app_database::FILE_NAME) {
        let contents: HashMap<_, _> = manifest
            .files
            .iter()
            .map(|file| (file.name.as_str(), file.content()))
            .collect();
        folder::check_blobs(directory, &|name| contents.get(name).copied().flatten())?;
    }
    let report = check_copies(directory, progress)?;
    staging.publish(None)?;
    Ok(Restored {
        files: manifest.files.len() as u64,
        bytes: manifest.bytes_total(),
        began: manifest.began,
        report,
    })
}

fn copy_all(
    from: &Path,
    directory: &Path,
    manifest: &Manifest,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), StoreError> {
    let total = manifest.bytes_total();
    let mut done = 0;
    for file in &manifest.files {
        copy_one(from, directory, file, &mut |more| {
            done += more;
            progress(Progress::Copied(done, total));
        })?;
    }
    // The directory of the device files, if there is one.
    let flushed = fs::read_dir(directory).and_then(|entries| {
        for entry in entries {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                durable_file::sync_directory(&entry.path())?;
            }
        }
        Ok(())
    });
    flushed.map_err(|error| durable_file::io_error("write what is restored", error))
}

fn copy_one(
    from: &Path,
    directory: &Path,
    file: &Entry,
    progress: &mut dyn FnMut(u64),
) -> Result<(), StoreError> {
    let name = &file.name;
    let failed = |error| durable_file::io_error(&format!("copy {name}"), error);
    let mut source = match File::open(from.join(name)) {
        Ok(source) => source,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(damaged(format!("{name} is missing")));
        }
        Err(error) => return Err(failed(error)),
    };
    let target = directory.join(name);
    if let Some(parent) = target.parent().filter(|parent| !parent.is_dir()) {
        fs::create_dir(parent).map_err(failed)?;
    }
    let content = durable_file::copy(&mut source, &target, progress).map_err(failed)?;
    if Some(content) == file.content() {
        return Ok(());
    }
    Err(damaged(format!(
        "{name} is not what was backed up: its digest or its length is another one"
    )))
}

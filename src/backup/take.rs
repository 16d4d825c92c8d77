//! Takes a backup.

use std::fs::File;
use std::path::Path;

use super::manifest::Manifest;
use super::staging::Staging;
use super::{Progress, canonical, check_apart, check_copies, existing};
use crate::error::{StoreError, StoreErrorKind};
use crate::files::folder;
use crate::readings::embedded;
use crate::storage::app_database;
use crate::storage::backup_names;
use crate::storage::durable_file::{self, Content};
use crate::timestamp::Timestamp;
use crate::verify::Report;

/// The result of a backup.
#[derive(Clone, Debug)]
pub struct Taken {
    /// The backup holds every write acknowledged before this time.
    pub began: Timestamp,
    /// The number of files, databases and device files.
    pub files: u64,
    /// The bytes of all files.
    pub bytes: u64,
    /// The result of the check; `None` without a check.
    pub report: Option<Report>,
}

/// Copies the data directory `data` to the directory `to`. This directory must be missing or empty. A server may write to `data` meanwhile.
/// The copy of each database is a snapshot with every write acknowledged before the call. With `check` the copies are verified first.
///
/// # Errors
/// [`StoreErrorKind::Unsupported`] when one directory is in the other, or a newer version wrote the data;
/// [`StoreErrorKind::Unavailable`] when either directory cannot be used; [`StoreErrorKind::Damaged`] when the stored data is damaged.
/// After an error there is no backup, and no file is left.
pub fn take(
    data: &Path,
    to: &Path,
    check: bool,
    progress: &mut dyn FnMut(Progress),
) -> Result<Taken, StoreError> {
    let began = Timestamp::now();
    let (data, to) = (existing(data)?, canonical(to)?);
    check_apart(&data, &to)?;
    let app_snapshot = app_database::snapshot(&data)?;
    let readings_snapshot = embedded::snapshot(&data)?;
    if app_snapshot.is_none() && readings_snapshot.is_none() {
        return Err(StoreError::new(
            StoreErrorKind::Unavailable,
            format!(
                "there is neither {} nor {} in {}: nothing to back up",
                embedded::FILE_NAME,
                app_database::FILE_NAME,
                data.display()
            ),
        ));
    }
    let staging = Staging::begin(&to)?;
    let directory = staging.path();
    let mut total = 0;
    for snapshot in app_snapshot.iter().chain(&readings_snapshot) {
        total += snapshot.bytes()?;
    }
    let mut files: Vec<(String, Content)> = Vec::new();
    let mut done = 0;
    let mut copied = |more: u64, total: u64| {
        done += more;
        progress(Progress::Copied(done, total.max(done)));
    };
    // The readings first: their write-ahead log grows fast, and cannot be truncated while a snapshot lasts.
    if let Some(snapshot) = readings_snapshot {
        let path = directory.join(embedded::FILE_NAME);
        snapshot.copy(&path, &mut |more| copied(more, total))?;
        files.push((embedded::FILE_NAME.to_owned(), content(&path)?));
    }
    if let Some(snapshot) = app_snapshot {
        let path = directory.join(app_database::FILE_NAME);
        snapshot.copy(&path, &mut |more| copied(more, total))?;
        total += folder::bytes_total(directory)?;
        folder::copy_blobs(
            &data,
            directory,
            &mut |more| copied(more, total),
            &mut |name, content| files.push((name, content)),
        )?;
        // Last: when a file was replaced meanwhile, copying the files may change the row of this file.
        files.push((app_database::FILE_NAME.to_owned(), content(&path)?));
    }
    let report = match check {
        false => None,
        true => Some(check_copies(directory, progress)?),
    };
    let counted = report
        .as_ref()
        .and_then(|report| report.readings.as_ref())
        .map(|readings| (readings.stats.count(), readings.sensors));
    let manifest = Manifest::new(began.to_string(), counted, files);
    manifest.write(directory)?;
    staging.publish(Some(backup_names::MANIFEST))?;
    Ok(Taken {
        began,
        files: manifest.files.len() as u64,
        bytes: manifest.bytes_total(),
        report,
    })
}

fn content(path: &Path) -> Result<Content, StoreError> {
    File::open(path)
        .and_then(|mut file| durable_file::content(&mut file))
        .map_err(|error| durable_file::io_error(&format!("read {}", path.display()), error))
}

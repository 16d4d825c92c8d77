//! Taking a backup.

use std::fs::File;
use std::path::Path;

use super::manifest::Manifest;
use super::staging::Staging;
use super::{Progress, check_apart, check_copies, existing, resolve};
use crate::error::{StoreError, StoreErrorKind};
use crate::files::folder;
use crate::readings::embedded;
use crate::storage::app_database;
use crate::storage::backup_names;
use crate::storage::durable_file::{self, Content};
use crate::timestamp::Timestamp;
use crate::verify::Report;

/// A backup that was taken.
#[derive(Clone, Debug)]
pub struct Taken {
    /// What was acknowledged before this is in it.
    pub began: Timestamp,
    /// How many files it holds, databases and device files.
    pub files: u64,
    /// How many bytes they have.
    pub bytes: u64,
    /// What the check has found; `None` when it was not checked.
    pub report: Option<Report>,
}

/// Copies the data directory `data` to `to`, which must not exist or be empty. A server may be writing to it: each database is
/// copied as of one moment, with everything that was acknowledged before this was called. With `check` the copies are
/// verified before they count as a backup.
///
/// # Errors
/// [`StoreErrorKind::Unsupported`] when one directory is in the other, or a newer version wrote the data;
/// [`StoreErrorKind::Unavailable`] when either directory is not to be had; [`StoreErrorKind::Damaged`] when what is stored is
/// not what was written. After any error there is no backup, and nothing is left of it.
pub fn take(
    data: &Path,
    to: &Path,
    check: bool,
    progress: &mut dyn FnMut(Progress),
) -> Result<Taken, StoreError> {
    let began = Timestamp::now();
    let (data, to) = (existing(data)?, resolve(to)?);
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
    for moment in app_snapshot.iter().chain(&readings_snapshot) {
        total += moment.bytes()?;
    }
    let mut files: Vec<(String, Content)> = Vec::new();
    let mut done = 0;
    let mut copied = |more: u64, total: u64| {
        done += more;
        progress(Progress::Copied(done, total.max(done)));
    };
    // The readings first: while a moment lasts, the write-ahead log it began with cannot be used again from its start.
    if let Some(moment) = readings_snapshot {
        let path = directory.join(embedded::FILE_NAME);
        moment.copy(&path, &mut |more| copied(more, total))?;
        files.push((embedded::FILE_NAME.to_owned(), content(&path)?));
    }
    if let Some(moment) = app_snapshot {
        let path = directory.join(app_database::FILE_NAME);
        moment.copy(&path, &mut |more| copied(more, total))?;
        total += folder::bytes_total(directory)?;
        folder::copy_blobs(
            &data,
            directory,
            &mut |more| copied(more, total),
            &mut |name, content| files.push((name, content)),
        )?;
        // Last, since it may have had to learn of files that were replaced meanwhile.
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
        .map_err(|error| durable_file::failed(&format!("read {}", path.display()), error))
}

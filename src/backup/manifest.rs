//! The manifest of a backup: the list of files, with their lengths and digests.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{StoreError, StoreErrorKind};
use crate::files::{Digest, folder};
use crate::readings::embedded;
use crate::storage::app_database;
use crate::storage::backup_names::MANIFEST as FILE_NAME;
use crate::storage::durable_file::{self, Content};

/// The file with the digest of the manifest, in the format of `sha256sum`.
const DIGEST_FILE_NAME: &str = "backup.json.sha256";

/// The format of the backups of this program. The program refuses newer formats.
const FORMAT: u32 = 1;

/// The limit for the size of a manifest. A manifest of ten million device files is smaller.
const BYTES_MAX: u64 = 2 << 30;

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Manifest {
    format: u32,
    /// The name and the version of the program that took the backup.
    program: String,
    /// The backup holds every write that was acknowledged before this time.
    pub(super) began: String,
    /// The numbers of readings and sensors, if the backup was checked.
    readings: Option<u64>,
    sensors: Option<u64>,
    pub(super) files: Vec<Entry>,
}

/// A file of a backup.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Entry {
    /// The path in the backup and in a data directory.
    pub(super) name: String,
    pub(super) bytes: u64,
    /// Hexadecimal digits.
    sha256: String,
}

/// The part of a manifest in every format.
#[derive(Deserialize)]
struct AnyFormat {
    format: u64,
}

impl Manifest {
    pub(super) fn new(
        began: String,
        counted: Option<(u64, u64)>,
        files: Vec<(String, Content)>,
    ) -> Self {
        Self {
            format: FORMAT,
            program: format!("fieldstation {}", env!("CARGO_PKG_VERSION")),
            began,
            readings: counted.map(|(readings, _)| readings),
            sensors: counted.map(|(_, sensors)| sensors),
            files: files
                .into_iter()
                .map(|(name, content)| Entry {
                    name,
                    bytes: content.bytes,
                    sha256: Digest(content.sha256).to_string(),
                })
                .collect(),
        }
    }

    /// The bytes of all files.
    pub(super) fn bytes_total(&self) -> u64 {
        self.files
            .iter()
            .fold(0, |total, file| total.saturating_add(file.bytes))
    }

    /// Whether the backup holds a file.
    pub(super) fn holds(&self, name: &str) -> bool {
        self.files.iter().any(|file| file.name == name)
    }

    /// Writes the manifest into a backup. All other files of the backup have to be complete.
    pub(super) fn write(&self, directory: &Path) -> Result<(), StoreError> {
        let write = || -> io::Result<()> {
            let mut text = serde_json::to_vec_pretty(self)?;
            text.push(b'\n');
            for (name, bytes) in [
                (FILE_NAME, text.as_slice()),
                (DIGEST_FILE_NAME, digest_line(&text)?.as_bytes()),
            ] {
                let mut file = File::options()
                    .write(true)
                    .create_new(true)
                    .open(directory.join(name))?;
                file.write_all(bytes)?;
                file.sync_all()?;
            }
            Ok(())
        };
        write().map_err(|error| durable_file::io_error(&format!("write {FILE_NAME}"), error))
    }

    /// Reads the manifest of a backup.
    pub(super) fn read(directory: &Path) -> Result<Self, StoreError> {
        let Some(text) = read(directory, FILE_NAME)? else {
            return Err(StoreError::new(
                StoreErrorKind::Unavailable,
                format!(
                    "there is no {FILE_NAME} in {}: it is not a backup, or one that was not completed",
                    directory.display()
                ),
            ));
        };
        let Some(digest) = read(directory, DIGEST_FILE_NAME)? else {
            return Err(damaged(format!("{DIGEST_FILE_NAME} is missing")));
        };
        let expected =
            digest_line(&text).map_err(|error| durable_file::io_error("read the backup", error))?;
        if digest != expected.as_bytes() {
            return Err(damaged(format!(
                "{FILE_NAME} does not match its digest in {DIGEST_FILE_NAME}"
            )));
        }
        let odd = |error: serde_json::Error| damaged(format!("{FILE_NAME}: {error}"));
        let AnyFormat { format } = serde_json::from_slice(&text).map_err(odd)?;
        if format > u64::from(FORMAT) {
            return Err(StoreError::new(
                StoreErrorKind::Unsupported,
                format!(
                    "the backup has format {format}, and this program knows {FORMAT}; use the version of fieldstation that \
                     wrote it, or a newer one"
                ),
            ));
        }
        let manifest: Self = serde_json::from_slice(&text).map_err(odd)?;
        manifest.check()?;
        Ok(manifest)
    }

    /// Refuses names that this program never writes. So every path to a file outside of the directory is refused.
    fn check(&self) -> Result<(), StoreError> {
        let mut names = HashSet::new();
        for file in &self.files {
            let name = file.name.as_str();
            let is_ours = [embedded::FILE_NAME, app_database::FILE_NAME].contains(&name)
                || folder::is_blob(name);
            if !is_ours || !names.insert(name) || Digest::from_hex(&file.sha256).is_none() {
                return Err(damaged(format!(
                    "{FILE_NAME} tells of {name:?} in a way that this program does not"
                )));
            }
        }
        // Device files are of no use without `station.db`, because this database names the files.
        if names.contains(app_database::FILE_NAME)
            || (names.len() == 1 && names.contains(embedded::FILE_NAME))
        {
            return Ok(());
        }
        Err(damaged(format!("{FILE_NAME} tells of no database")))
    }
}

impl Entry {
    /// The expected content of the file; `None` when the digest is malformed.
    pub(super) fn content(&self) -> Option<Content> {
        Digest::from_hex(&self.sha256).map(|digest| Content {
            bytes: self.bytes,
            sha256: digest.0,
        })
    }
}

/// The error of a damaged backup.
pub(super) fn damaged(what: impl std::fmt::Display) -> StoreError {
    StoreError::new(
        StoreErrorKind::Damaged,
        format!("the backup is damaged: {what}"),
    )
}

fn digest_line(mut text: &[u8]) -> io::Result<String> {
    let content = durable_file::content(&mut text)?;
    Ok(format!("{}  {FILE_NAME}\n", Digest(content.sha256)))
}

fn read(directory: &Path, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
    let mut bytes = Vec::new();
    match File::open(directory.join(name))
        .and_then(|file| file.take(BYTES_MAX).read_to_end(&mut bytes))
    {
        Ok(_) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(durable_file::io_error(&format!("read {name}"), error)),
    }
}

//! The default backend: a folder of blobs in the data directory, and a row in `station.db` per device.
//!
//! A blob has a name of its own, which nothing that a client sends has a part in. It is written under `NAME.part`, flushed,
//! renamed, and the folder flushed; then one transaction makes the device's row name it. That commit is the publication. The
//! blob before it is removed afterwards. A blob that no row names is what a crash left, and is swept.

mod blobs;
mod catalog;
mod check;
mod content;
mod copies;
mod disk;
mod upload;

use std::sync::Arc;

use async_trait::async_trait;

pub(crate) use self::catalog::check_rows;
pub(crate) use self::check::{bytes_to_check, check_files, unnamed};
pub(crate) use self::copies::{bytes_total, check_blobs, copy_blobs, is_blob};

use self::blobs::Blobs;
use self::catalog::Catalog;
use self::content::FolderContent;
use self::disk::Room;
use self::upload::FolderUpload;
use super::{Condition, DeviceId, FileInfo, FileStore, OpenFile, Page, Removal, Upload};
use crate::error::{StoreError, StoreErrorKind};
use crate::storage::app_database::AppDatabase;
use crate::storage::data_directory::DataDirectory;

/// Where blobs are in the data directory.
pub(crate) const DIRECTORY_NAME: &str = "files";

/// How often a file is looked up again when its blob was replaced between the look-up and the opening.
const OPENINGS_MAX: usize = 10;

/// How many names of blobs are looked up at a time by a sweep.
const SWEEP_BATCH: usize = 500;

/// Files in a folder.
#[derive(Debug)]
pub struct FolderStore {
    blobs: Arc<Blobs>,
    catalog: Catalog,
    room: Room,
}

impl FolderStore {
    /// Opens the folder, creating it if it is missing.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn open(
        directory: Arc<DataDirectory>,
        app_database: Arc<AppDatabase>,
    ) -> Result<Self, StoreError> {
        let path = directory.create_directory(DIRECTORY_NAME)?;
        Ok(Self {
            room: Room::of(directory, &path),
            blobs: Arc::new(Blobs::new(path)),
            catalog: Catalog::new(app_database),
        })
    }
}

#[async_trait]
impl FileStore for FolderStore {
    async fn begin(&self, device: &DeviceId) -> Result<Box<dyn Upload>, StoreError> {
        // A disk that has failed takes no more writes: better said before the bytes come than after.
        self.catalog.open_for_additions()?;
        self.room.check()?;
        Ok(Box::new(FolderUpload::new(
            device.clone(),
            Arc::clone(&self.blobs),
            self.catalog.clone(),
            self.room.clone(),
        )))
    }

    async fn info(&self, device: &DeviceId) -> Result<Option<FileInfo>, StoreError> {
        let found = self.catalog.find(device).await?;
        Ok(found.map(|entry| entry.info))
    }

    async fn open(&self, device: &DeviceId) -> Result<Option<OpenFile>, StoreError> {
        for _ in 0..OPENINGS_MAX {
            let Some(entry) = self.catalog.find(device).await? else {
                return Ok(None);
            };
            let blobs = Arc::clone(&self.blobs);
            let blob = entry.blob.clone();
            match blobs::blocking(move || blobs.open(&blob)).await? {
                Some((_, bytes)) if bytes != entry.info.file.size_bytes => {
                    return Err(StoreError::new(
                        StoreErrorKind::Damaged,
                        format!(
                            "the file of the device `{device}` is not what was stored: it has {bytes} bytes, and had {}; send it \
                             again, or remove it",
                            entry.info.file.size_bytes
                        ),
                    ));
                }
                Some((file, _)) => {
                    return Ok(Some(OpenFile {
                        info: entry.info,
                        content: Box::new(FolderContent::new(file)),
                    }));
                }
                // Replaced meanwhile, unless it stays so.
                None => continue,
            }
        }
        Err(StoreError::new(
            StoreErrorKind::Damaged,
            format!(
                "the file of the device `{device}` is missing from the folder {DIRECTORY_NAME}; send it again, or remove it"
            ),
        ))
    }

    async fn list(
        &self,
        after: Option<&DeviceId>,
        limit: usize,
    ) -> Result<Page<DeviceId>, StoreError> {
        self.catalog.list(after, limit).await
    }

    async fn remove(
        &self,
        device: &DeviceId,
        condition: &Condition,
    ) -> Result<Removal, StoreError> {
        let (removal, blob) = self.catalog.remove(device, condition.clone()).await?;
        if let Some(blob) = blob {
            self.blobs.discard(blob);
        }
        Ok(removal)
    }

    async fn sweep(&self) -> Result<u64, StoreError> {
        if self.room.is_read_only() {
            return Ok(0);
        }
        // A blob whose row is damaged or gone would seem to be what a crash left.
        self.catalog.refuse_if_damaged().await?;
        let mut removed = 0;
        let blobs = Arc::clone(&self.blobs);
        let mut entries = blobs::blocking(move || blobs.entries()).await?;
        loop {
            let blobs = Arc::clone(&self.blobs);
            let (names, rest) = blobs::blocking(move || {
                let names = blobs.idle_names(&mut entries, SWEEP_BATCH)?;
                Ok((names, entries))
            })
            .await?;
            entries = rest;
            if names.is_empty() {
                return Ok(removed);
            }
            // In this order: a name that was idle before the look-up, and has no row at the look-up, never gets one.
            let unknown = self.catalog.without_row(names).await?;
            let blobs = Arc::clone(&self.blobs);
            removed += blobs::blocking(move || blobs.remove_all(&unknown)).await?;
        }
    }

    fn backend(&self) -> &'static str {
        "folder"
    }

    async fn ready(&self) -> Result<(), StoreError> {
        self.catalog.ready()?;
        self.room.check()
    }
}

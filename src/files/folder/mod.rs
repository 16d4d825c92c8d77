//! The default backend: a folder of blobs in the data directory, and one row in `station.db` for each device.
//!
//! A blob has a unique name without any text from a client. The server writes `NAME.part`, flushes the file, renames it and flushes the
//! folder. Then one transaction writes the name of the blob into the device's row. The commit publishes the file. After the commit the
//! server removes the replaced blob. A blob without a row comes from a crash, and a sweep removes the blob.

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
use self::disk::FolderDisk;
use self::upload::FolderUpload;
use super::{Condition, DeviceId, FileInfo, FileStore, OpenFile, Page, Removal, Upload};
use crate::error::{StoreError, StoreErrorKind};
use crate::storage::app_database::AppDatabase;
use crate::storage::data_directory::DataDirectory;

/// The name of the folder in the data directory.
pub(crate) const DIRECTORY_NAME: &str = "files";

/// How often a file is looked up again after a replacement of the blob between the look-up and the opening.
const OPEN_ATTEMPTS_MAX: usize = 10;

/// The number of blobs in each look-up of a sweep.
const SWEEP_BATCH: usize = 500;

/// Files in a folder.
#[derive(Debug)]
pub struct FolderStore {
    blobs: Arc<Blobs>,
    catalog: Catalog,
    disk: FolderDisk,
}

impl FolderStore {
    /// Opens the folder, or creates a missing folder.
    ///
    /// # Errors
    /// When the folder cannot be created.
    pub fn open(
        directory: Arc<DataDirectory>,
        app_database: Arc<AppDatabase>,
    ) -> Result<Self, StoreError> {
        let path = directory.create_directory(DIRECTORY_NAME)?;
        Ok(Self {
            disk: FolderDisk::new(directory, &path),
            blobs: Arc::new(Blobs::new(path)),
            catalog: Catalog::new(app_database),
        })
    }
}

#[async_trait]
impl FileStore for FolderStore {
    async fn begin(&self, device: &DeviceId) -> Result<Box<dyn Upload>, StoreError> {
        // After a failure of the disk no write succeeds. The client should get the error before the transfer of the file.
        self.catalog.open_for_additions()?;
        self.disk.check()?;
        Ok(Box::new(FolderUpload::new(
            device.clone(),
            Arc::clone(&self.blobs),
            self.catalog.clone(),
            self.disk.clone(),
        )))
    }

    async fn info(&self, device: &DeviceId) -> Result<Option<FileInfo>, StoreError> {
        let found = self.catalog.find(device).await?;
        Ok(found.map(|entry| entry.info))
    }

    async fn open(&self, device: &DeviceId) -> Result<Option<OpenFile>, StoreError> {
        for _ in 0..OPEN_ATTEMPTS_MAX {
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
                            "the file of the device `{device}` is not what was stored: it has {bytes} bytes, and had {}; send the \
                             file again, or remove it",
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
                // The file was replaced since the look-up. If the blob stays missing, the file is damaged.
                None => continue,
            }
        }
        Err(StoreError::new(
            StoreErrorKind::Damaged,
            format!(
                "the file of the device `{device}` is missing from the folder {DIRECTORY_NAME}; send the file again, or remove it"
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
        if self.disk.is_read_only() {
            return Ok(0);
        }
        // With a damaged row, a blob would look like a blob without a row.
        self.catalog.refuse_if_damaged().await?;
        let mut removed = 0;
        let blobs = Arc::clone(&self.blobs);
        let mut entries = blobs::blocking(move || blobs.entries()).await?;
        loop {
            let blobs = Arc::clone(&self.blobs);
            let (names, remaining) = blobs::blocking(move || {
                let names = blobs.idle_names(&mut entries, SWEEP_BATCH)?;
                Ok((names, entries))
            })
            .await?;
            entries = remaining;
            if names.is_empty() {
                return Ok(removed);
            }
            // The order matters. If no upload was writing a blob before the look-up, and the look-up finds no row, the blob never gets a
            // row.
            let unnamed = self.catalog.without_row(names).await?;
            let blobs = Arc::clone(&self.blobs);
            removed += blobs::blocking(move || blobs.remove_all(&unnamed)).await?;
        }
    }

    fn backend(&self) -> &'static str {
        "folder"
    }

    async fn ready(&self) -> Result<(), StoreError> {
        self.catalog.ready()?;
        self.disk.check()
    }
}

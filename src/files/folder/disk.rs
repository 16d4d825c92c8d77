//! The disk of the folder. This disk may differ from the disk of the data directory.

use std::path::Path;
use std::sync::Arc;

use crate::error::{StoreError, StoreErrorKind};
use crate::storage::data_directory::DataDirectory;
use crate::storage::disk::Disk;

/// The disk of the folder.
#[derive(Clone, Debug)]
pub(super) struct FolderDisk {
    directory: Arc<DataDirectory>,
    /// The disk of the folder, when the data directory is on another disk.
    own_disk: Option<Arc<Disk>>,
}

impl FolderDisk {
    pub(super) fn new(directory: Arc<DataDirectory>, folder: &Path) -> Self {
        let own_disk = directory.other_disk(folder, "the folder of device files");
        Self {
            directory,
            own_disk,
        }
    }

    fn disk(&self) -> &Disk {
        self.own_disk.as_deref().unwrap_or(self.directory.disk())
    }

    /// Whether the server only reads the data directory.
    pub(super) fn is_read_only(&self) -> bool {
        self.directory.is_read_only()
    }

    /// Checks that the disk has free space.
    ///
    /// # Errors
    /// [`StoreErrorKind::StorageFull`] when the disk is full.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        if self.is_read_only() {
            return Ok(());
        }
        self.disk().check()
    }

    /// Adds the state of the disk or of the directory to the error of a write. When a file does not fit, smaller files may still fit: the
    /// disk does not count as full.
    pub(super) fn explain(&self, error: StoreError) -> StoreError {
        match error.kind() {
            StoreErrorKind::StorageFull => self.disk().too_little().with_source(error),
            _ => self.directory.explain_absence(error),
        }
    }
}

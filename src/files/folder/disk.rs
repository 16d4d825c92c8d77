//! Where the folder is: in the data directory, and perhaps on a disk of its own.

use std::path::Path;
use std::sync::Arc;

use crate::error::{StoreError, StoreErrorKind};
use crate::storage::data_directory::DataDirectory;
use crate::storage::disk::Disk;

#[derive(Clone, Debug)]
pub(super) struct Room {
    directory: Arc<DataDirectory>,
    /// When it is not that of the data directory.
    disk: Option<Arc<Disk>>,
}

impl Room {
    pub(super) fn of(directory: Arc<DataDirectory>, folder: &Path) -> Self {
        let disk = directory.other_disk(folder, "the folder of device files");
        Self { directory, disk }
    }

    fn disk(&self) -> &Disk {
        self.disk.as_deref().unwrap_or(self.directory.disk())
    }

    pub(super) fn is_read_only(&self) -> bool {
        self.directory.is_read_only()
    }

    /// Whether there is room for more.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        if self.is_read_only() {
            return Ok(());
        }
        self.disk().check()
    }

    /// What writing a file failed with. One that finds no room says nothing of others.
    pub(super) fn explain(&self, error: StoreError) -> StoreError {
        match error.kind() {
            StoreErrorKind::StorageFull => self.disk().too_little().with_source(error),
            _ => self.directory.explain_absence(error),
        }
    }
}

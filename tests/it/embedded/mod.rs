//! Behaviour of the embedded store alone: recovery, sealing, damage.

mod damage;
mod damaged_chunks;
mod late;
mod log;
mod opening;
mod properties;
mod upgrade;
mod windows;

use std::path::Path;
use std::sync::Arc;

use fieldstation::error::StoreError;
use fieldstation::readings::ReadingStore;
use fieldstation::readings::embedded::{EmbeddedOptions, EmbeddedStore};
use fieldstation::storage::data_directory::DataDirectory;

/// A store in a temporary directory.
pub struct Backend {
    store: EmbeddedStore,
    directory: tempfile::TempDir,
}

impl Backend {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = open(directory.path(), small());
        Self { store, directory }
    }

    pub fn store(&self) -> &dyn ReadingStore {
        &self.store
    }

    pub async fn close(self) {
        self.store.close().await.unwrap();
        drop(self.store);
        let report =
            fieldstation::readings::embedded::verify(self.directory.path(), &mut |_, _| {})
                .unwrap();
        assert!(report.is_sound(), "{report:?}");
    }
}

pub fn open(directory: &Path, options: EmbeddedOptions) -> EmbeddedStore {
    try_open(directory, options).unwrap()
}

pub fn try_open(directory: &Path, options: EmbeddedOptions) -> Result<EmbeddedStore, StoreError> {
    EmbeddedStore::open(Arc::new(DataDirectory::open(directory)?), options)
}

/// Small bounds, so the store logs, seals and folds a few dozen readings.
pub fn small() -> EmbeddedOptions {
    EmbeddedOptions {
        tail_points_max: 24,
        chunk_points_max: 8,
        chunk_points_min: 3,
        commit_readings_max: 40,
        period_readings_min: 1,
        uncounted_seconds_max: 8,
        ..EmbeddedOptions::default()
    }
}

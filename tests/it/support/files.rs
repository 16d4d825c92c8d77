//! Backends of files. Each backend is empty and for a single test.

use std::fs;
use std::sync::Arc;

use fieldstation::files::FileStore;
use fieldstation::files::folder::FolderStore;
use fieldstation::storage::app_database::AppDatabase;
use fieldstation::storage::data_directory::DataDirectory;
use tempfile::TempDir;

/// A backend with content visible to tests.
pub trait FileBackend {
    fn store(&self) -> Arc<dyn FileStore>;

    /// All objects with bytes of files, complete or not.
    fn blobs(&self) -> Vec<String>;

    /// Objects outside of the storage of the backend.
    fn outside(&self) -> Vec<String>;

    /// Adds a leftover object of a crash.
    fn plant_leftover(&self);

    /// How many such objects a sweep removes at once.
    fn leftovers_swept(&self) -> u64;
}

pub struct FolderBackend {
    directory: TempDir,
    app_database: Arc<AppDatabase>,
    store: Arc<FolderStore>,
}

impl FolderBackend {
    pub async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let data = DataDirectory::open(&directory.path().join("data")).unwrap();
        let data = Arc::new(data);
        let app_database = AppDatabase::open(Arc::clone(&data)).unwrap();
        let store = FolderStore::open(Arc::clone(&data), Arc::clone(&app_database)).unwrap();
        Self {
            directory,
            app_database,
            store: Arc::new(store),
        }
    }

    pub async fn close(&self) {
        self.app_database.close().await;
    }

    fn names(&self, below: &str) -> Vec<String> {
        fs::read_dir(self.directory.path().join(below))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }
}

impl FileBackend for FolderBackend {
    fn store(&self) -> Arc<dyn FileStore> {
        Arc::clone(&self.store) as _
    }

    fn blobs(&self) -> Vec<String> {
        self.names("data/files")
    }

    fn outside(&self) -> Vec<String> {
        let mut names = self.names("data");
        names.extend(self.names(""));
        names.retain(|name| {
            !(["data", "files", "lock"].contains(&name.as_str()) || name.starts_with("station.db"))
        });
        names
    }

    fn plant_leftover(&self) {
        let files = self.directory.path().join("data/files");
        for name in ["", ".part"] {
            fs::write(files.join(format!("{:032x}{name}", 7)), "x").unwrap();
        }
    }

    fn leftovers_swept(&self) -> u64 {
        2
    }
}

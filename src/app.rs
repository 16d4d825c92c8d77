//! The stores, opened from the configuration.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tracing::{info, warn};

use crate::config::{Config, StoreName};
use crate::error::StoreError;
use crate::files::{self, FileStore};
use crate::greeting::{self, GreetingStore};
use crate::health::Check;
use crate::readings::embedded::EmbeddedOptions;
use crate::readings::{self, ReadingStore};
use crate::storage::app_database::{self, AppDatabase};
use crate::storage::data_directory::DataDirectory;
use crate::todos::{self, TodoStore};

/// How often the data directory is checked.
const DIRECTORY_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// The open stores.
#[derive(Clone)]
pub struct App {
    /// The store of readings.
    pub readings: Arc<dyn ReadingStore>,
    /// The store of device files.
    pub files: Arc<dyn FileStore>,
    /// The store of todos.
    pub todos: Arc<dyn TodoStore>,
    /// The store of the greeting.
    pub greeting: Arc<dyn GreetingStore>,
    /// The shared database of the embedded stores of files, todos and the greeting. `None` when none of these stores is embedded.
    app_database: Option<Arc<AppDatabase>>,
    /// The data directory. `None` when no store is embedded.
    directory: Option<Arc<DataDirectory>>,
}

/// Makes the check of a store for `/health` and `/readyz`.
macro_rules! check {
    ($name:literal, $store:expr, $is_needed:expr) => {{
        let (asked, store) = (Arc::clone(&$store), Arc::clone(&$store));
        Check::new(
            $name,
            store.backend(),
            $is_needed,
            move || {
                let store = Arc::clone(&asked);
                Box::pin(async move { store.ready().await })
            },
            move || store.warnings(),
        )
    }};
}

impl App {
    /// Opens the stores on the runtime of the caller. The runtime has to run until [`App::close`] has returned. Returns when the stores are
    /// recovered.
    ///
    /// # Errors
    /// When a store cannot be opened; the message names the store and the reason.
    pub async fn open(config: &Config) -> Result<Self, StoreError> {
        let databases = [readings::embedded::FILE_NAME, app_database::FILE_NAME];
        let found = databases.map(|name| config.data.join(name).exists());
        let shared = Arc::new(Shared::new(config));
        let of_readings = Arc::clone(&shared);
        let options = EmbeddedOptions {
            sensors_max: usize::try_from(config.sensors_max).unwrap_or(usize::MAX),
            // More readers than exports, so that other reads always get a reader.
            readers_max: config.exports_max as u32 + 4,
            ..EmbeddedOptions::default()
        };
        let readings = readings::start(
            &config.readings,
            move || of_readings.directory(),
            options,
            // Less than the timeout of the request, so that the answer can name the missing readings.
            config.request_timeout_seconds.duration().mul_f64(0.75),
        )
        .await?;
        let files = files::open(
            &config.files,
            || shared.directory(),
            || shared.app_database(),
        )
        .await?;
        let todos = todos::open(config.todos.as_ref(), Path::new(""), || {
            shared.app_database()
        })
        .await?;
        let greeting = greeting::open(&config.greeting, || shared.app_database())?;
        let app = Self {
            readings,
            files,
            todos,
            greeting,
            app_database: shared.app_database.get().cloned(),
            directory: shared.directory.get().cloned(),
        };
        if let (true, Some(_), Some(directory)) = (
            app.readings.backend() == "sqlite",
            &app.app_database,
            &app.directory,
        ) && let Some(warning) = missing_database_warning(&config.data, databases, found)
        {
            directory.warn(warning);
        }
        Ok(app)
    }

    /// The data directory, when a store is embedded.
    pub(crate) fn directory(&self) -> Option<&Arc<DataDirectory>> {
        self.directory.as_ref()
    }

    /// The checks of all stores. `needed` names the stores without which the server is not ready.
    pub fn checks(&self, needed: &[StoreName]) -> Vec<Check> {
        let is_needed = |name| needed.contains(&name);
        vec![
            check!("readings", self.readings, is_needed(StoreName::Readings)),
            check!("files", self.files, is_needed(StoreName::Files)),
            check!("todos", self.todos, is_needed(StoreName::Todos)),
            check!("greeting", self.greeting, is_needed(StoreName::Greeting)),
        ]
    }

    /// Closes the stores, and then the shared database. Acknowledged writes are safe without the closing, but the next start takes longer.
    ///
    /// # Errors
    /// Those of the stores.
    pub async fn close(&self) -> Result<(), StoreError> {
        // Closes each store, even if closing another store fails.
        let closed = [self.todos.close().await, self.readings.close().await];
        // After all stores in the database: files, todos, the greeting.
        if let Some(app_database) = &self.app_database {
            app_database.close().await;
        }
        closed.into_iter().collect()
    }

    /// Resolves when a store has failed for good. The process should then drain and stop.
    pub async fn failed(&self) -> StoreError {
        let app_database = async {
            match &self.app_database {
                Some(app_database) => app_database.failed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            failure = self.readings.failed() => failure,
            failure = app_database => failure,
        }
    }

    /// Maintains the stores as long as the server runs: removes the leftover files of a crash, and watches the backend of the greeting, the
    /// disk and the data directory.
    pub async fn tend(&self) {
        tokio::join!(self.sweep(), self.greeting.watch(), self.watch_directory());
    }

    /// Checks the disk and the presence of the data directory every second.
    async fn watch_directory(&self) {
        let Some(directory) = &self.directory else {
            return;
        };
        loop {
            let looked_at = Arc::clone(directory);
            // A network file system may block for long.
            let looked = tokio::task::spawn_blocking(move || looked_at.look()).await;
            if looked.is_err() {
                warn!("cannot look at the data directory");
            }
            tokio::time::sleep(DIRECTORY_CHECK_INTERVAL).await;
        }
    }

    /// Removes the leftover files of a crash.
    async fn sweep(&self) {
        match self.files.sweep().await {
            Ok(0) => {}
            Ok(removed) => info!(removed, "files that were never completed are removed"),
            Err(error) => warn!(%error, "cannot remove files that were never completed"),
        }
    }
}

/// The warning about a data directory with only a single database: the other database was missing.
fn missing_database_warning(data: &Path, databases: [&str; 2], found: [bool; 2]) -> Option<String> {
    let (there, missing) = match found {
        [true, false] => (databases[0], databases[1]),
        [false, true] => (databases[1], databases[0]),
        _ => return None,
    };
    Some(format!(
        "{} had {there}, and no {missing}: an empty one was made. If there was one before, stop the server, look for it, and put it \
         back or restore a backup",
        data.display()
    ))
}

/// The data directory and the database of the embedded backends. Each is opened when the first backend asks for the directory or the
/// database.
struct Shared {
    data: PathBuf,
    read_only: bool,
    directory: OnceLock<Arc<DataDirectory>>,
    app_database: OnceLock<Arc<AppDatabase>>,
}

impl Shared {
    fn new(config: &Config) -> Self {
        Self {
            data: config.data.clone(),
            read_only: config.read_only,
            directory: OnceLock::new(),
            app_database: OnceLock::new(),
        }
    }

    fn directory(&self) -> Result<Arc<DataDirectory>, StoreError> {
        opened(&self.directory, || {
            let opened = match self.read_only {
                true => DataDirectory::open_read_only(&self.data),
                false => DataDirectory::open(&self.data),
            };
            opened.map(Arc::new)
        })
    }

    fn app_database(&self) -> Result<Arc<AppDatabase>, StoreError> {
        opened(&self.app_database, || AppDatabase::open(self.directory()?))
    }
}

fn opened<T>(
    cell: &OnceLock<Arc<T>>,
    open: impl FnOnce() -> Result<Arc<T>, StoreError>,
) -> Result<Arc<T>, StoreError> {
    if let Some(value) = cell.get() {
        return Ok(Arc::clone(value));
    }
    let value = open()?;
    Ok(Arc::clone(cell.get_or_init(|| value)))
}

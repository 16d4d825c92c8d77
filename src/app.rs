//! The stores, opened from the configuration.

use std::cell::OnceCell;
use std::path::Path;
use std::sync::Arc;

use tracing::{info, warn};

use crate::config::{Config, StoreName};
use crate::data_directory::DataDirectory;
use crate::error::StoreError;
use crate::files::{self, FileStore};
use crate::greeting::{self, GreetingStore};
use crate::health::Check;
use crate::readings::embedded::EmbeddedOptions;
use crate::readings::{self, ReadingStore};
use crate::station::StationDatabase;
use crate::todos::{self, TodoStore};

/// Everything that requests are served from.
#[derive(Clone)]
pub struct App {
    /// Where readings live.
    pub readings: Arc<dyn ReadingStore>,
    /// Where device files live.
    pub files: Arc<dyn FileStore>,
    /// Where todos live.
    pub todos: Arc<dyn TodoStore>,
    /// Where the word of the greeting lives.
    pub greeting: Arc<dyn GreetingStore>,
    /// What the embedded stores other than readings share, when there are any.
    station: Option<Arc<StationDatabase>>,
}

/// A store of the app as `/health` and `/readyz` see it.
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
    /// Opens the stores. Blocks until they are recovered.
    ///
    /// # Errors
    /// When a store cannot be opened; the message says which and why.
    pub fn open(config: &Config) -> Result<Self, StoreError> {
        let embedded = Embedded::new(config);
        let options = EmbeddedOptions {
            sensors_max: usize::try_from(config.sensors_max).unwrap_or(usize::MAX),
            // More than exports can hold, so that other reads always get their turn.
            readers_max: config.exports_max as u32 + 4,
            ..EmbeddedOptions::default()
        };
        let readings = readings::start(
            &config.readings,
            || embedded.directory(),
            options,
            // Before the request ends by itself, so that what was not stored can be named.
            config.request_timeout_seconds.duration().mul_f64(0.75),
        )?;
        let files = files::open(
            &config.files,
            || embedded.directory(),
            || embedded.station(),
        )?;
        let todos = todos::open(config.todos.as_ref(), Path::new(""), || embedded.station())?;
        let greeting = greeting::open(&config.greeting, || embedded.station())?;
        Ok(Self {
            readings,
            files,
            todos,
            greeting,
            station: embedded.station.into_inner(),
        })
    }

    /// What to ask for the health of the whole; the server is not ready without those stores that are needed.
    pub fn checks(&self, needed: &[StoreName]) -> Vec<Check> {
        let is_needed = |name| needed.contains(&name);
        vec![
            check!("readings", self.readings, is_needed(StoreName::Readings)),
            check!("files", self.files, is_needed(StoreName::Files)),
            check!("todos", self.todos, is_needed(StoreName::Todos)),
            check!("greeting", self.greeting, is_needed(StoreName::Greeting)),
        ]
    }

    /// Closes the stores. What was acknowledged is safe without it, but the next start has more to do.
    ///
    /// # Errors
    /// Those of the stores.
    pub async fn close(&self) -> Result<(), StoreError> {
        // Each of them, whatever becomes of the others.
        let closed = [self.todos.close().await, self.readings.close().await];
        if let Some(station) = &self.station {
            station.close().await;
        }
        closed.into_iter().collect()
    }

    /// Resolves once a store has failed for good: the process should drain and stop.
    pub async fn failed(&self) -> StoreError {
        let station = async {
            match &self.station {
                Some(station) => station.broke().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            failure = self.readings.failed() => failure,
            failure = station => failure,
        }
    }

    /// Looks after the stores beside the requests, as long as the server runs: removes what a crash left behind, and keeps an eye on
    /// what is on other machines.
    pub async fn tend(&self) {
        tokio::join!(self.sweep(), self.greeting.watch());
    }

    /// Removes what a crash left behind.
    async fn sweep(&self) {
        match self.files.sweep().await {
            Ok(0) => {}
            Ok(removed) => info!(removed, "files that were never completed are removed"),
            Err(error) => warn!(%error, "cannot remove files that were never completed"),
        }
    }
}

/// What the embedded backends share, opened when the first of them asks for it.
struct Embedded<'a> {
    config: &'a Config,
    directory: OnceCell<Arc<DataDirectory>>,
    station: OnceCell<Arc<StationDatabase>>,
}

impl<'a> Embedded<'a> {
    fn new(config: &'a Config) -> Self {
        Self {
            config,
            directory: OnceCell::new(),
            station: OnceCell::new(),
        }
    }

    fn directory(&self) -> Result<Arc<DataDirectory>, StoreError> {
        opened(&self.directory, || {
            DataDirectory::open(&self.config.data).map(Arc::new)
        })
    }

    fn station(&self) -> Result<Arc<StationDatabase>, StoreError> {
        opened(&self.station, || StationDatabase::open(self.directory()?))
    }
}

fn opened<T>(
    cell: &OnceCell<Arc<T>>,
    open: impl FnOnce() -> Result<Arc<T>, StoreError>,
) -> Result<Arc<T>, StoreError> {
    if let Some(value) = cell.get() {
        return Ok(Arc::clone(value));
    }
    let value = open()?;
    Ok(Arc::clone(cell.get_or_init(|| value)))
}

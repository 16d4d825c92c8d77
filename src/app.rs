//! The stores, opened from the configuration.

use std::cell::OnceCell;
use std::sync::Arc;

use tracing::{info, warn};

use crate::config::Config;
use crate::data_directory::DataDirectory;
use crate::error::StoreError;
use crate::files::{self, FileStore};
use crate::readings::embedded::EmbeddedOptions;
use crate::readings::{self, ReadingStore};
use crate::station::StationDatabase;

/// Everything that requests are served from.
#[derive(Clone)]
pub struct App {
    /// Where readings live.
    pub readings: Arc<dyn ReadingStore>,
    /// Where device files live.
    pub files: Arc<dyn FileStore>,
    /// What the embedded stores beside the readings share, where there are any.
    station: Option<Arc<StationDatabase>>,
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
            // One more than exports can hold, so that other reads always get their turn.
            readers_max: config.exports_max as usize + 4,
            ..EmbeddedOptions::default()
        };
        Ok(Self {
            readings: readings::open(&config.readings, || embedded.directory(), options)?,
            files: files::open(
                &config.files,
                || embedded.directory(),
                || embedded.station(),
            )?,
            station: embedded.station.into_inner(),
        })
    }

    /// Closes the stores. What was acknowledged is safe without it, but the next start has more to do.
    ///
    /// # Errors
    /// Those of the stores.
    pub async fn close(&self) -> Result<(), StoreError> {
        if let Some(station) = &self.station {
            station.close().await;
        }
        self.readings.close().await
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
            error = self.readings.failed() => error,
            error = station => error,
        }
    }

    /// Removes what a crash left behind, beside the requests.
    pub async fn sweep(&self) {
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

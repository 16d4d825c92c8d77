//! The stores, opened from the configuration.

use std::cell::OnceCell;
use std::sync::Arc;

use crate::config::Config;
use crate::data_directory::DataDirectory;
use crate::error::StoreError;
use crate::readings::embedded::EmbeddedOptions;
use crate::readings::{self, ReadingStore};
use crate::station::StationDatabase;

/// Everything that requests are served from.
#[derive(Clone)]
pub struct App {
    /// Where readings live.
    pub readings: Arc<dyn ReadingStore>,
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
            readings: readings::open(
                &config.readings,
                || embedded.directory(),
                options,
                // Before the request ends by itself, so that what was not stored can be named.
                config.request_timeout_seconds.duration().mul_f64(0.75),
            )?,
        })
    }

    /// Closes the stores. What was acknowledged is safe without it, but the next start has more to do.
    ///
    /// # Errors
    /// Those of the stores.
    pub async fn close(&self) -> Result<(), StoreError> {
        self.readings.close().await
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

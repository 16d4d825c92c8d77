//! The stores, opened from the configuration.

use std::sync::Arc;

use crate::config::Config;
use crate::data_directory::DataDirectory;
use crate::error::StoreError;
use crate::readings::embedded::EmbeddedOptions;
use crate::readings::{self, ReadingStore};

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
        let directory = || DataDirectory::open(&config.data).map(Arc::new);
        let options = EmbeddedOptions {
            sensors_max: usize::try_from(config.sensors_max).unwrap_or(usize::MAX),
            // One more than exports can hold, so that other reads always get their turn.
            readers_max: config.exports_max as usize + 4,
            ..EmbeddedOptions::default()
        };
        Ok(Self {
            readings: readings::open(&config.readings, directory, options)?,
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

//! Temperature readings: the values of the domain, the trait of the backends, the routes, the backends.

#[cfg(feature = "cloud")]
pub mod dynamodb;
pub mod embedded;
pub(crate) mod encode;
mod grid;
pub mod http;
pub mod ingest;
mod model;
mod stats;
mod temperature;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::BoxStream;

pub(crate) use grid::Grid;
pub use model::{
    Batch, BatchBuilder, BatchReading, Bucket, Page, Point, Selection, SensorId, SensorIdError,
    SensorSummary, Series, Window,
};
pub use stats::Stats;
pub use temperature::{Temperature, TemperatureError};

use crate::backend_url::BackendUrl;
use crate::error::StoreError;
use crate::storage::data_directory::DataDirectory;
pub use crate::timestamp::{Timestamp, TimestampError};

/// The treatment of a batch with refused readings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordMode {
    /// The whole batch is refused, and no reading is stored.
    AllOrNothing,
    /// The other readings are stored, and the refused readings are named.
    Partial,
}

/// The result of recording a batch. The counts and the refusals add up to the number of readings in the batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// New readings: none with the same sensor and timestamp was stored.
    pub recorded: u64,
    /// Readings already stored with the same temperature.
    pub unchanged: u64,
    /// Readings already stored with another temperature. The new temperature replaced the old temperature.
    pub replaced: u64,
    /// Refused readings ([`RecordMode::Partial`] only), in the order of the batch.
    pub refused: Vec<Refusal>,
}

/// A refused reading. The store does not hold this reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The index of the reading in the batch.
    pub index: usize,
    /// The reason, for a person.
    pub reason: String,
}

/// A part of an export: readings of a single sensor, in order of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportBlock {
    /// The sensor.
    pub sensor: SensorId,
    /// The readings; at most a few thousand.
    pub points: Vec<Point>,
}

/// An export: blocks in order of sensor id (as bytes of UTF-8), then of time. The export needs a bounded amount of memory at any size.
pub type Export = BoxStream<'static, Result<ExportBlock, StoreError>>;

/// A store of readings. The sensor and the timestamp identify a reading.
///
/// Every backend keeps these promises, and the conformance suite checks the promises:
/// * Success: a write that returned `Ok` is durable. A read started afterwards sees the write, on every replica.
/// * Concurrent readers: every read is a snapshot. A read sees all readings of a batch or none, and each reading once. A read sees only
///   durable writes.
/// * Statistics equal a recount of the stored readings, to the last digit, for every order of arrival.
/// * Repetition: a reading with the sensor, timestamp and temperature of a stored reading changes nothing. With another temperature the new
///   reading replaces the stored reading.
/// * Failure: after an error nothing is stored. The only exception is [`crate::error::StoreErrorKind::Unavailable`]: then nobody knows
///   whether the write is stored, and sending the same write again is safe.
///
/// A backend may have a limit for the size of a transaction. The backend documents the limit. A larger batch is stored in parts, and each
/// part keeps these promises: a concurrent read may see some parts and not the others. When such a write fails after some parts,
/// [`StoreError::unstored`] names the missing readings.
#[async_trait]
pub trait ReadingStore: Send + Sync {
    /// Stores a batch. If two readings of the batch have the same sensor and timestamp, the later reading is stored.
    async fn record(&self, batch: Batch, mode: RecordMode) -> Result<Outcome, StoreError>;

    /// Statistics of the selected readings; empty for an unknown sensor.
    async fn stats(&self, selection: &Selection) -> Result<Stats, StoreError>;

    /// The number of sensors with readings.
    async fn sensor_count(&self) -> Result<u64, StoreError>;

    /// At most `limit` sensors after the id `after`, in order of their ids (as bytes of UTF-8).
    async fn sensors(
        &self,
        after: Option<&SensorId>,
        limit: usize,
    ) -> Result<Page<SensorSummary>, StoreError>;

    /// The summary of a sensor, or `None` when the sensor has no reading.
    async fn sensor(&self, sensor: &SensorId) -> Result<Option<SensorSummary>, StoreError>;

    /// The first `limit` readings of a sensor in a window, in order of time; `None` for an unknown sensor.
    async fn readings(
        &self,
        sensor: &SensorId,
        window: Window,
        limit: usize,
    ) -> Result<Option<Page<Point>>, StoreError>;

    /// The readings of a sensor in `points` buckets of equal width over a window; `None` for an unknown sensor. A window without a begin
    /// begins with the first reading of the sensor. A window without an end ends a microsecond after the last reading.
    async fn series(
        &self,
        sensor: &SensorId,
        window: Window,
        points: usize,
    ) -> Result<Option<Series>, StoreError>;

    /// All selected readings, as a single snapshot.
    async fn export(&self, selection: &Selection) -> Result<Export, StoreError>;

    /// The kind of the backend, in one word, such as `sqlite`.
    fn backend(&self) -> &'static str;

    /// Whether the store is open. After [`start`] the store may still be opening. Until the store is open, reads fail with
    /// [`crate::error::StoreErrorKind::Unavailable`].
    fn is_open(&self) -> bool {
        true
    }

    /// Whether a write would be accepted now. Cheap enough for a call every second.
    async fn ready(&self) -> Result<(), StoreError>;

    /// Warnings for the operator while the backend works: sentences with advice.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }

    /// Resolves when opening the store has failed for good, or when the store takes no more writes, for example after a failed flush. The
    /// process should then drain and stop. Never resolves otherwise.
    async fn failed(&self) -> StoreError;

    /// Finishes the writes under way, refuses further writes, and releases all resources. Safe to call twice.
    async fn close(&self) -> Result<(), StoreError>;
}

/// Opens the backend for the scheme of a URL, on the runtime of the caller, and returns when the backend is ready. `directory` is called
/// only for a backend in the data directory, so that a wrong URL leaves no trace. The call may block. A backend on another machine gives up
/// a write after `write_deadline`.
///
/// # Errors
/// When no backend takes the URL ([`crate::error::StoreErrorKind::Unsupported`]), or the backend cannot be opened.
pub async fn open(
    url: &BackendUrl,
    directory: impl FnOnce() -> Result<Arc<DataDirectory>, StoreError> + Send + 'static,
    options: embedded::EmbeddedOptions,
    write_deadline: Duration,
) -> Result<Arc<dyn ReadingStore>, StoreError> {
    open_when(url, directory, options, write_deadline, false).await
}

/// Opens a backend for a server. The server listens before the backend is ready. An unavailable backend is no error, and a backend with a
/// long start delays nothing.
///
/// # Errors
/// As [`open`].
pub async fn start(
    url: &BackendUrl,
    directory: impl FnOnce() -> Result<Arc<DataDirectory>, StoreError> + Send + 'static,
    options: embedded::EmbeddedOptions,
    write_deadline: Duration,
) -> Result<Arc<dyn ReadingStore>, StoreError> {
    open_when(url, directory, options, write_deadline, true).await
}

async fn open_when(
    url: &BackendUrl,
    directory: impl FnOnce() -> Result<Arc<DataDirectory>, StoreError> + Send + 'static,
    options: embedded::EmbeddedOptions,
    write_deadline: Duration,
    may_be_unavailable: bool,
) -> Result<Arc<dyn ReadingStore>, StoreError> {
    match (url.scheme(), url.rest()) {
        ("sqlite", "") => {
            let open = match may_be_unavailable {
                true => embedded::EmbeddedStore::start,
                false => embedded::EmbeddedStore::open,
            };
            // Opening blocks on the disk.
            let opened = tokio::task::spawn_blocking(move || open(directory()?, options)).await;
            let opened = opened
                .unwrap_or_else(|error| Err(StoreError::cut_off("opening the readings", error)));
            Ok(Arc::new(opened?))
        }
        ("sqlite", _) => Err(url.path_not_taken("the store of readings")),
        ("dynamodb", _) => {
            open_dynamodb(
                url,
                options.sensors_max as u64,
                write_deadline,
                may_be_unavailable,
            )
            .await
        }
        _ => Err(url.unknown_scheme("readings", "sqlite: and dynamodb:")),
    }
}

#[cfg(feature = "cloud")]
async fn open_dynamodb(
    url: &BackendUrl,
    sensors_max: u64,
    write_deadline: Duration,
    may_be_unavailable: bool,
) -> Result<Arc<dyn ReadingStore>, StoreError> {
    let options = dynamodb::DynamoOptions {
        sensors_max,
        write_deadline,
        ..dynamodb::DynamoOptions::default()
    };
    let location = dynamodb::DynamoUrl::parse(url)?;
    let store = match may_be_unavailable {
        true => dynamodb::DynamoStore::start(&location, options).await?,
        false => dynamodb::DynamoStore::open(&location, options).await?,
    };
    Ok(Arc::new(store))
}

#[cfg(not(feature = "cloud"))]
async fn open_dynamodb(
    url: &BackendUrl,
    _sensors_max: u64,
    _write_deadline: Duration,
    _may_be_unavailable: bool,
) -> Result<Arc<dyn ReadingStore>, StoreError> {
    Err(url.feature_missing())
}

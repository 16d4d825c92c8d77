//! Temperature readings: the words of the domain, the promise every backend keeps, the routes, the backends.

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
use crate::error::{StoreError, StoreErrorKind};
use crate::storage::data_directory::DataDirectory;
pub use crate::timestamp::{Timestamp, TimestampError};

/// What becomes of a batch that holds readings the store cannot take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordMode {
    /// The whole batch is refused and nothing of it stored.
    AllOrNothing,
    /// The others are stored, and the refused ones named.
    Partial,
}

/// What became of the readings of a batch. The counts and the refusals add up to the batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// New: no reading of that sensor and moment was stored.
    pub recorded: u64,
    /// Stored already, with the same temperature.
    pub unchanged: u64,
    /// Stored already, with another temperature, which it took the place of.
    pub replaced: u64,
    /// Not stored ([`RecordMode::Partial`] only), in the order of the batch.
    pub refused: Vec<Refusal>,
}

/// A reading that was not stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Its index in the batch.
    pub index: usize,
    /// Why, for a person.
    pub reason: String,
}

/// Some readings of one sensor, in order of time: a piece of an export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportBlock {
    /// Whose readings.
    pub sensor: SensorId,
    /// The readings; at most a few thousand.
    pub points: Vec<Point>,
}

/// An export: blocks ordered by sensor id (as bytes of UTF-8), then by time, with bounded memory at any size.
pub type Export = BoxStream<'static, Result<ExportBlock, StoreError>>;

/// Where readings live. A reading is identified by its sensor and its moment.
///
/// What every backend promises, and the conformance suite checks:
/// * A write that returned `Ok` is durable and is seen by every read that starts afterwards, on every replica. A write
///   that is not durable yet is seen by nobody.
/// * Every read is consistent with one moment: it sees all of a batch or nothing of it, and each reading once.
/// * Statistics equal a recount of the readings that are stored, to the last digit, whatever the order of arrival.
/// * Recording a reading again with the same temperature changes nothing; with another one it replaces it.
/// * A write that failed with an error left nothing behind, with one exception: after
///   [`StoreErrorKind::Unavailable`] it may or may not be stored, and sending
///   it again is safe.
///
/// A backend that cannot hold a batch of any size in one transaction says up to which size a batch is one; a larger one is stored
/// in pieces, each of which keeps these promises, and [`StoreError::unstored`] names what is missing when it ended half-way.
#[async_trait]
pub trait ReadingStore: Send + Sync {
    /// Stores a batch. Of two readings in it for the same sensor and moment the later stands.
    async fn record(&self, batch: Batch, mode: RecordMode) -> Result<Outcome, StoreError>;

    /// Statistics over a part of the readings; empty for an unknown sensor.
    async fn stats(&self, selection: &Selection) -> Result<Stats, StoreError>;

    /// How many sensors have readings.
    async fn sensor_count(&self) -> Result<u64, StoreError>;

    /// Sensors in order of their ids (as bytes of UTF-8), beginning after `after`, at most `limit`.
    async fn sensors(
        &self,
        after: Option<&SensorId>,
        limit: usize,
    ) -> Result<Page<SensorSummary>, StoreError>;

    /// One sensor, or `None` when it has no reading.
    async fn sensor(&self, sensor: &SensorId) -> Result<Option<SensorSummary>, StoreError>;

    /// A sensor's readings in a window, in order of time, at most `limit`; `None` for an unknown sensor.
    async fn readings(
        &self,
        sensor: &SensorId,
        window: Window,
        limit: usize,
    ) -> Result<Option<Page<Point>>, StoreError>;

    /// A sensor's readings in `points` buckets of equal width over a window; `None` for an unknown sensor. An open end of
    /// the window is the sensor's first reading, or the microsecond after its last.
    async fn series(
        &self,
        sensor: &SensorId,
        window: Window,
        points: usize,
    ) -> Result<Option<Series>, StoreError>;

    /// All selected readings as they are at one moment.
    async fn export(&self, selection: &Selection) -> Result<Export, StoreError>;

    /// What kind of store it is, in a word.
    fn backend(&self) -> &'static str;

    /// Whether it has been opened: one that a server has [`start`]ed may still be at it. Until then reads fail as
    /// [`StoreErrorKind::Unavailable`].
    fn is_open(&self) -> bool {
        true
    }

    /// Whether a write would be taken now. Cheap enough to be asked every second.
    async fn ready(&self) -> Result<(), StoreError>;

    /// What an operator should know of the backend although it works: each a sentence that says what to do.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }

    /// Resolves once the store has failed for good and takes no more writes (a failed flush to disk, say), or cannot be opened: the
    /// process should drain and stop. Never resolves otherwise.
    async fn failed(&self) -> StoreError;

    /// Finishes what is under way and lets go of everything. Writes are refused from then on.
    async fn close(&self) -> Result<(), StoreError>;
}

/// Opens the backend that a URL's scheme picks, on the runtime of the caller, and returns when the backend is ready. `directory` is
/// called only for a backend that lives in the data directory, so that a URL with a mistake in it leaves no trace; the call may
/// block. `write_deadline` is for a backend that may have to wait for others: how long until a write is given up.
///
/// # Errors
/// When the scheme or the rest of the URL is none of ours ([`StoreErrorKind::Unsupported`]), or the backend cannot be opened.
pub async fn open(
    url: &BackendUrl,
    directory: impl FnOnce() -> Result<Arc<DataDirectory>, StoreError> + Send + 'static,
    options: embedded::EmbeddedOptions,
    write_deadline: Duration,
) -> Result<Arc<dyn ReadingStore>, StoreError> {
    open_when(url, directory, options, write_deadline, false).await
}

/// Opens a backend for a server, which does not need it at once: one that is away for the moment is no error, nor one that takes long to
/// read what it has stored.
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
    may_be_away: bool,
) -> Result<Arc<dyn ReadingStore>, StoreError> {
    match (url.scheme(), url.rest()) {
        ("sqlite", "") => {
            let open = match may_be_away {
                true => embedded::EmbeddedStore::start,
                false => embedded::EmbeddedStore::open,
            };
            // Opening waits for the disk.
            let opened = tokio::task::spawn_blocking(move || open(directory()?, options)).await;
            let opened = opened.unwrap_or_else(|error| {
                let message = "the thread that opens the readings has stopped";
                Err(StoreError::new(StoreErrorKind::Internal, message).with_source(error))
            });
            Ok(Arc::new(opened?))
        }
        ("sqlite", _) => Err(StoreError::new(
            StoreErrorKind::Unsupported,
            format!(
                "readings are kept in the data directory: write sqlite: instead of {url}, and name the directory with --data"
            ),
        )),
        ("dynamodb", _) => {
            open_dynamodb(url, options.sensors_max as u64, write_deadline, may_be_away).await
        }
        (scheme, _) => Err(StoreError::new(
            StoreErrorKind::Unsupported,
            format!(
                "there is no backend for readings with the scheme {scheme}; this binary knows sqlite: and dynamodb:"
            ),
        )),
    }
}

#[cfg(feature = "cloud")]
async fn open_dynamodb(
    url: &BackendUrl,
    sensors_max: u64,
    write_deadline: Duration,
    may_be_away: bool,
) -> Result<Arc<dyn ReadingStore>, StoreError> {
    let options = dynamodb::DynamoOptions {
        sensors_max,
        write_deadline,
        ..dynamodb::DynamoOptions::default()
    };
    let location = dynamodb::DynamoUrl::parse(url)?;
    let store = match may_be_away {
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
    _may_be_away: bool,
) -> Result<Arc<dyn ReadingStore>, StoreError> {
    Err(StoreError::new(
        StoreErrorKind::Unsupported,
        format!("{url}: this binary was built without the feature `cloud`, which DynamoDB takes"),
    ))
}

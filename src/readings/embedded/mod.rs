//! The embedded store: an ingest log and sealed chunks, both in one SQLite file, and the tail in memory.
//!
//! A write goes through the queue to the committer, which answers once it is on disk and visible. A read takes a snapshot:
//! the chunks as one read transaction sees them, and the tails that go with it.

mod cache;
mod chunks;
mod codec;
mod committer;
mod copy;
mod database;
#[cfg(fuzzing)]
pub mod fuzzing;
mod index;
mod log;
mod options;
mod pending;
mod queue;
mod reads;
mod recovery;
mod sealing;
mod snapshot;
mod stored;
mod verify;
mod window;
mod writer;

use std::sync::Arc;
use std::thread::JoinHandle;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tracing::info;

pub(crate) use copy::{check_copy, moment};
pub(crate) use database::FILE_NAME;
pub use options::EmbeddedOptions;
pub(crate) use verify::verify_held;
pub use verify::{VerifyReport, verify};

use self::committer::{Committer, Shared};
use self::queue::{Closed, Submission};
use self::reads::{ExportCursor, series_of, visit_points};
use self::snapshot::Snapshot;
use self::writer::Writer;
use super::{
    Batch, Export, Outcome, Page, Point, ReadingStore, RecordMode, Selection, SensorId,
    SensorSummary, Series, Stats, Window,
};
use crate::data_directory::DataDirectory;
use crate::error::{StoreError, StoreErrorKind};
use crate::sqlite::write_ahead_log::Folding;
use crate::sqlite::{Reader, ReaderPool, while_waited_for};

/// Readings in one SQLite file in the data directory.
#[derive(Debug)]
pub struct EmbeddedStore {
    shared: Arc<Shared>,
    readers: Arc<ReaderPool>,
    committer: Mutex<Option<JoinHandle<()>>>,
    /// Held for as long as the store lives.
    directory: Arc<DataDirectory>,
}

impl EmbeddedStore {
    /// Opens the store, creating it if it is missing, and recovers what was acknowledged before. Blocks until that is done.
    ///
    /// # Errors
    /// [`StoreErrorKind::Damaged`] names what does not match its checksum.
    pub fn open(
        directory: Arc<DataDirectory>,
        options: EmbeddedOptions,
    ) -> Result<Self, StoreError> {
        if directory.is_read_only() {
            return Self::open_read_only(directory, &options);
        }
        let mut connection = directory.open_database(FILE_NAME, database::open_writer)?;
        let folding = Folding::of(&mut connection, database::WAL_PAGES)
            .map_err(|error| database::failed("set up readings.db", error))?;
        directory.sync()?;
        let recovered = recovery::recover(&connection)?;
        let last_data = chunks::last_data(&connection)?;
        info!(
            sensors = recovered.index.len(),
            readings = recovered.index.totals.count(),
            log_rows = recovered.log_rows,
            "readings are open"
        );
        let readers = readers(&directory, &options);
        let shared = Arc::new(Shared::new(&options, recovered.index.totals));
        let writer = Writer::new(
            options.clone(),
            Arc::clone(&directory),
            connection,
            folding,
            &recovered,
            last_data,
        );
        let committer = Committer::new(Arc::clone(&shared), options, writer);
        *shared.index.write() = recovered.index;
        let committer = std::thread::Builder::new()
            .name("committer".to_owned())
            .spawn(move || committer.run())
            .map_err(|error| {
                StoreError::new(
                    StoreErrorKind::Internal,
                    "cannot start the committer's thread",
                )
                .with_source(error)
            })?;
        Ok(Self {
            shared,
            readers,
            committer: Mutex::new(Some(committer)),
            directory,
        })
    }

    /// Opens what is there to be read, and changes nothing.
    fn open_read_only(
        directory: Arc<DataDirectory>,
        options: &EmbeddedOptions,
    ) -> Result<Self, StoreError> {
        let connection = database::open_reader_of(&directory)?;
        database::check_file(&connection)?;
        let recovered = recovery::recover(&connection)?;
        info!(
            sensors = recovered.index.len(),
            readings = recovered.index.totals.count(),
            "readings are open, to be read only"
        );
        let shared = Shared::new(options, recovered.index.totals);
        *shared.index.write() = recovered.index;
        Ok(Self {
            shared: Arc::new(shared),
            readers: readers(&directory, options),
            committer: Mutex::default(),
            directory,
        })
    }

    /// Moves what is in the log into chunks, rather than when its time comes.
    ///
    /// # Errors
    /// [`StoreErrorKind::Unavailable`] when the store is closed, or closes or fails meanwhile.
    pub async fn seal(&self) -> Result<(), StoreError> {
        self.directory.check_changes()?;
        self.shared.queue.seal()?.await.map_err(|_| self.closed())
    }

    /// Why an answer did not come.
    fn closed(&self) -> StoreError {
        self.shared.queue.closed().unwrap_or(Closed::Failed).error()
    }

    fn snapshot_of(
        reader: Reader,
        shared: &Shared,
        sensor: &SensorId,
    ) -> Result<Snapshot<Option<SensorView>>, StoreError> {
        Snapshot::take(reader, shared, |index| {
            let number = index.number(sensor.as_str())?;
            let sensor = index.get(number)?;
            Some(SensorView {
                number,
                tail: Arc::clone(&sensor.tail),
                summary: sensor.summary(),
            })
        })
    }
}

/// One sensor as a snapshot sees it.
#[derive(Debug)]
struct SensorView {
    number: u32,
    tail: Arc<Vec<Point>>,
    summary: SensorSummary,
}

fn readers(directory: &Arc<DataDirectory>, options: &EmbeddedOptions) -> Arc<ReaderPool> {
    let directory = Arc::clone(directory);
    ReaderPool::new(options.readers_max, move || {
        database::open_reader_of(&directory)
    })
}

#[async_trait]
impl ReadingStore for EmbeddedStore {
    async fn record(&self, batch: Batch, mode: RecordMode) -> Result<Outcome, StoreError> {
        if batch.is_empty() {
            return Ok(Outcome::default());
        }
        self.directory.check_additions()?;
        let (reply, answer) = oneshot::channel();
        self.shared
            .queue
            .submit(Submission { batch, mode, reply })?;
        answer.await.unwrap_or_else(|_| Err(self.closed()))
    }

    async fn stats(&self, selection: &Selection) -> Result<Stats, StoreError> {
        match &selection.sensor {
            None if selection.window == Window::ALL => Ok(*self.shared.totals.lock()),
            Some(sensor) if selection.window == Window::ALL => {
                let index = self.shared.index.read();
                let found = index
                    .number(sensor.as_str())
                    .and_then(|number| index.get(number));
                Ok(found.map_or(Stats::EMPTY, |sensor| sensor.stats))
            }
            _ => {
                let (shared, selection) = (Arc::clone(&self.shared), selection.clone());
                self.readers
                    .read(move |reader| reads::stats(reader, &shared, &selection))
                    .await
            }
        }
    }

    async fn sensor_count(&self) -> Result<u64, StoreError> {
        Ok(self.shared.index.read().len() as u64)
    }

    async fn sensors(
        &self,
        after: Option<&SensorId>,
        limit: usize,
    ) -> Result<Page<SensorSummary>, StoreError> {
        let index = self.shared.index.read();
        let mut sensors = index.ordered_after(after);
        let items: Vec<_> = sensors
            .by_ref()
            .take(limit)
            .map(|(_, sensor)| sensor.summary())
            .collect();
        Ok(Page {
            items,
            more: sensors.next().is_some(),
        })
    }

    async fn sensor(&self, sensor: &SensorId) -> Result<Option<SensorSummary>, StoreError> {
        let index = self.shared.index.read();
        let found = index
            .number(sensor.as_str())
            .and_then(|number| index.get(number));
        Ok(found.map(|sensor| sensor.summary()))
    }

    async fn readings(
        &self,
        sensor: &SensorId,
        window: Window,
        limit: usize,
    ) -> Result<Option<Page<Point>>, StoreError> {
        let (shared, sensor) = (Arc::clone(&self.shared), sensor.clone());
        let read = self.readers.read(move |reader| {
            let snapshot = Self::snapshot_of(reader, &shared, &sensor)?;
            let Some(view) = &snapshot.seen else {
                return Ok(None);
            };
            let mut items = Vec::with_capacity(limit.min(1024));
            visit_points(
                snapshot.connection()?,
                view.number,
                &view.tail,
                window,
                &mut |points| {
                    let room = (limit + 1).saturating_sub(items.len());
                    items.extend_from_slice(&points[..points.len().min(room)]);
                    items.len() <= limit
                },
            )?;
            let more = items.len() > limit;
            items.truncate(limit);
            Ok(Some(Page { items, more }))
        });
        read.await
    }

    async fn series(
        &self,
        sensor: &SensorId,
        window: Window,
        points: usize,
    ) -> Result<Option<Series>, StoreError> {
        let (shared, sensor) = (Arc::clone(&self.shared), sensor.clone());
        let read = self.readers.read(move |reader| {
            let snapshot = Self::snapshot_of(reader, &shared, &sensor)?;
            let Some(view) = &snapshot.seen else {
                return Ok(None);
            };
            let SensorView {
                number,
                tail,
                summary,
            } = view;
            series_of(
                snapshot.connection()?,
                *number,
                tail,
                summary,
                window,
                points,
            )
            .map(Some)
        });
        read.await
    }

    async fn export(&self, selection: &Selection) -> Result<Export, StoreError> {
        let (shared, selection) = (Arc::clone(&self.shared), selection.clone());
        let open = move |reader| ExportCursor::open(reader, &shared, &selection);
        let cursor = self.readers.read(open).await?;
        Ok(Box::pin(futures_util::stream::try_unfold(
            cursor,
            async |mut cursor| {
                let stop = cursor.stop().clone();
                let next = move || Ok(cursor.next()?.map(|block| (block, cursor)));
                while_waited_for(&stop, next).await
            },
        )))
    }

    fn backend(&self) -> &'static str {
        "sqlite"
    }

    async fn ready(&self) -> Result<(), StoreError> {
        match self.shared.queue.closed() {
            Some(closed) => Err(closed.error()),
            None => self.directory.ready(),
        }
    }

    async fn failed(&self) -> StoreError {
        let mut failed = self.shared.failed.subscribe();
        // The sender lives as long as this store, so waiting ends with the failure.
        match failed.wait_for(|&failed| failed).await {
            Ok(_) | Err(_) => Closed::Failed.error(),
        }
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.readers.close().await;
        self.shared.queue.close(Closed::Shutdown);
        let Some(committer) = self.committer.lock().take() else {
            return Ok(());
        };
        // The last connection to close removes the write-ahead log: the readers have gone first.
        match tokio::task::spawn_blocking(move || committer.join()).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(StoreError::new(
                StoreErrorKind::Internal,
                "the committer's thread has panicked",
            )),
        }
    }
}

impl Drop for EmbeddedStore {
    /// A store that was not closed loses nothing, but leaves the next start more to do.
    fn drop(&mut self) {
        self.readers.stop();
        self.shared.queue.close(Closed::Shutdown);
        if let Some(committer) = self.committer.lock().take() {
            // A panic there has been reported by its thread.
            let _ = committer.join();
        }
    }
}

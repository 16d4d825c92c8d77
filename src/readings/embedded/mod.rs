//! The embedded store: a SQLite file with an ingest log and sealed chunks. The newest readings of each sensor (the sensor's tail)
//! are in memory.
//!
//! A write goes through the queue to the committer, which answers once the write is on disk and visible. A read takes a snapshot:
//! a read transaction on the chunks, and the matching tails.
//!
//! The layers, from the bottom up; each layer uses only the layers before: `format` (bytes and rows), `sensor` (a single sensor),
//! `periods` (totals of all sensors by calendar periods), `index` (all sensors in memory), `shared` (queue, index and status),
//! `seal` (tail into chunks), `write` (commits), `start` (recovery), `read` (snapshots).

mod copy;
mod database;
mod format;
#[cfg(fuzzing)]
pub mod fuzzing;
mod index;
mod options;
mod periods;
mod progress;
mod read;
mod schema;
mod seal;
mod sensor;
mod shared;
mod start;
mod verify;
mod write;

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread::JoinHandle;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tracing::info;

pub(crate) use copy::{check_copy, snapshot};
pub(crate) use format::file::FILE_NAME;
pub use options::EmbeddedOptions;
pub(crate) use verify::verify_held;
pub use verify::{VerifyReport, verify};

use self::read::export::ExportCursor;
use self::read::series::series_of;
use self::read::snapshot::Snapshot;
use self::sensor::view::SensorView;
use self::shared::Shared;
use self::shared::queue::{CloseReason, Submission};
use self::write::committer::Committer;
use super::{
    Batch, Export, Outcome, Page, Point, ReadingStore, RecordMode, Selection, SensorId,
    SensorSummary, Series, Stats, Window,
};
use crate::error::{StoreError, StoreErrorKind};
use crate::storage::data_directory::DataDirectory;
use crate::storage::sqlite::{ReaderPool, while_waited_for};

/// Readings in a SQLite file in the data directory.
#[derive(Debug)]
pub struct EmbeddedStore {
    shared: Arc<Shared>,
    readers: Arc<ReaderPool>,
    committer: Mutex<Option<JoinHandle<()>>>,
    /// Locked until the store is dropped.
    directory: Arc<DataDirectory>,
}

impl EmbeddedStore {
    /// Opens the store and recovers the acknowledged readings. Creates the file if missing. Blocks until the store is open.
    ///
    /// # Errors
    /// [`StoreErrorKind::Damaged`] if something on disk does not match its checksum; the message names the damaged part.
    pub fn open(
        directory: Arc<DataDirectory>,
        options: EmbeddedOptions,
    ) -> Result<Self, StoreError> {
        let (store, opened) = Self::launch(directory, options)?;
        opened.recv().unwrap_or_else(|_| Err(panicked()))?;
        Ok(store)
    }

    /// Opens the store for a server: returns after [`EmbeddedOptions::start_timeout`] at the latest. Until the store is open,
    /// reads fail as unavailable and writes wait in the queue. If opening fails later, [`ReadingStore::failed`] reports the error.
    ///
    /// # Errors
    /// As [`EmbeddedStore::open`].
    pub fn start(
        directory: Arc<DataDirectory>,
        options: EmbeddedOptions,
    ) -> Result<Self, StoreError> {
        let timeout = options.start_timeout;
        let (store, opened) = Self::launch(directory, options)?;
        match opened.recv_timeout(timeout) {
            Ok(opened) => opened?,
            Err(RecvTimeoutError::Timeout) => {
                info!(
                    "recovery goes on while the server listens; reads are answered when it has ended"
                );
            }
            Err(RecvTimeoutError::Disconnected) => return Err(panicked()),
        }
        Ok(store)
    }

    /// Starts the thread that opens the store and then commits. Returns the store, and a channel with the result of opening. A
    /// read-only store has no committer after opening.
    fn launch(
        directory: Arc<DataDirectory>,
        options: EmbeddedOptions,
    ) -> Result<(Self, Receiver<Result<(), StoreError>>), StoreError> {
        let shared = Arc::new(Shared::new(&options));
        let read = Arc::clone(&directory);
        let readers = ReaderPool::new(options.readers_max, move || database::open_reader_of(&read));
        let (ended, opened) = sync_channel(1);
        let (committing, held) = (Arc::clone(&shared), Arc::clone(&directory));
        let committer = std::thread::Builder::new()
            .name("committer".to_owned())
            .spawn(move || {
                let opened = self::start::opening::open(held, &options, &committing);
                match opened {
                    Ok(writer) => {
                        committing.opening.succeeded();
                        // The receiver may be gone.
                        let _ = ended.send(Ok(()));
                        if let Some(writer) = writer {
                            Committer::new(committing, options, writer).run();
                        }
                    }
                    Err(error) => {
                        committing.not_opened(&error);
                        let _ = ended.send(Err(error));
                    }
                }
            })
            .map_err(|error| {
                StoreError::new(
                    StoreErrorKind::Internal,
                    "cannot start the committer's thread",
                )
                .with_source(error)
            })?;
        let store = Self {
            shared,
            readers,
            committer: Mutex::new(Some(committer)),
            directory,
        };
        Ok((store, opened))
    }

    /// Moves the readings in the log into chunks now, and waits until this is done.
    ///
    /// # Errors
    /// [`StoreErrorKind::Unavailable`] if the store is closed, closes, or fails.
    pub async fn seal(&self) -> Result<(), StoreError> {
        self.directory.check_changes()?;
        self.shared.queue.seal()?.await.map_err(|_| self.closed())
    }

    /// The reason why the committer sent no answer.
    fn closed(&self) -> StoreError {
        self.shared
            .queue
            .closed()
            .unwrap_or(CloseReason::Failed)
            .error()
    }
}

fn panicked() -> StoreError {
    StoreError::new(
        StoreErrorKind::Internal,
        "the committer's thread has panicked",
    )
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
        self.shared.opening.wait().await?;
        match &selection.sensor {
            None if selection.window == Window::ALL => Ok(*self.shared.totals.lock()),
            Some(sensor) if selection.window == Window::ALL => {
                let index = self.shared.index.read();
                let found = index.find(sensor);
                Ok(found.map_or(Stats::EMPTY, |(_, sensor)| sensor.stats))
            }
            _ => {
                let (shared, selection) = (Arc::clone(&self.shared), selection.clone());
                self.readers
                    .read(move |reader| self::read::selection::stats(reader, &shared, &selection))
                    .await
            }
        }
    }

    async fn sensor_count(&self) -> Result<u64, StoreError> {
        self.shared.opening.wait().await?;
        Ok(self.shared.index.read().len() as u64)
    }

    async fn sensors(
        &self,
        after: Option<&SensorId>,
        limit: usize,
    ) -> Result<Page<SensorSummary>, StoreError> {
        self.shared.opening.wait().await?;
        let index = self.shared.index.read();
        let mut sensors = index.ordered_after(after);
        let items: Vec<_> = sensors
            .by_ref()
            .take(limit)
            .map(|(number, sensor)| index.summary(number, sensor))
            .collect();
        Ok(Page {
            items,
            more: sensors.next().is_some(),
        })
    }

    async fn sensor(&self, sensor: &SensorId) -> Result<Option<SensorSummary>, StoreError> {
        self.shared.opening.wait().await?;
        let index = self.shared.index.read();
        let found = index.find(sensor);
        Ok(found.map(|(number, sensor)| index.summary(number, sensor)))
    }

    async fn readings(
        &self,
        sensor: &SensorId,
        window: Window,
        limit: usize,
    ) -> Result<Option<Page<Point>>, StoreError> {
        self.shared.opening.wait().await?;
        let (shared, sensor) = (Arc::clone(&self.shared), sensor.clone());
        let read = self.readers.read(move |reader| {
            let snapshot = Snapshot::take(reader, &shared, |index| {
                let (number, sensor) = index.find(&sensor)?;
                Some(SensorView::new(number, sensor, window.from))
            })?;
            let Some(view) = &snapshot.data else {
                return Ok(None);
            };
            let mut items = Vec::with_capacity(limit.min(1024));
            view.visit_points(snapshot.connection()?, window, &mut |points| {
                let room = (limit + 1).saturating_sub(items.len());
                items.extend_from_slice(&points[..points.len().min(room)]);
                items.len() <= limit
            })?;
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
        self.shared.opening.wait().await?;
        let (shared, sensor) = (Arc::clone(&self.shared), sensor.clone());
        let read = self.readers.read(move |reader| {
            let snapshot = Snapshot::take(reader, &shared, |index| {
                let (number, sensor) = index.find(&sensor)?;
                let view = SensorView::new(number, sensor, window.from);
                Some((view, (sensor.first, sensor.last)))
            })?;
            let Some((view, ends)) = &snapshot.data else {
                return Ok(None);
            };
            series_of(snapshot.connection()?, view, *ends, window, points).map(Some)
        });
        read.await
    }

    async fn export(&self, selection: &Selection) -> Result<Export, StoreError> {
        self.shared.opening.wait().await?;
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

    fn is_open(&self) -> bool {
        self.shared.opening.is_open()
    }

    async fn ready(&self) -> Result<(), StoreError> {
        self.shared.opening.check()?;
        match self.shared.queue.closed() {
            Some(closed) => Err(closed.error()),
            None => self.directory.ready(),
        }
    }

    async fn failed(&self) -> StoreError {
        let mut failed = self.shared.failed.subscribe();
        // The sender lives as long as this store, so the wait ends only with the failure.
        let _ = failed.wait_for(|&failed| failed).await;
        let not_opened = self.shared.opening.failure();
        not_opened.unwrap_or_else(|| CloseReason::Failed.error())
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.shared.opening.progress.stop();
        self.readers.close().await;
        self.shared.queue.close(CloseReason::Shutdown);
        let Some(committer) = self.committer.lock().take() else {
            return Ok(());
        };
        // The last connection to close removes the write-ahead log, so the readers close first.
        match tokio::task::spawn_blocking(move || committer.join()).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(panicked()),
        }
    }
}

impl Drop for EmbeddedStore {
    /// A dropped store loses nothing, but the next start has more to read.
    fn drop(&mut self) {
        self.shared.opening.progress.stop();
        self.readers.stop();
        self.shared.queue.close(CloseReason::Shutdown);
        if let Some(committer) = self.committer.lock().take() {
            // The thread has already reported a panic.
            let _ = committer.join();
        }
    }
}

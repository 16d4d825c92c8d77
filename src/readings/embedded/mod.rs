//! The embedded store: an ingest log and sealed chunks, both in one SQLite file, and the tail in memory.
//!
//! A write goes through the queue to the committer, which answers once it is on disk and visible. A read takes a snapshot:
//! the chunks as one read transaction sees them, and the tails that go with it.

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
use self::shared::queue::{Closed, Submission};
use self::write::committer::Committer;
use super::{
    Batch, Export, Outcome, Page, Point, ReadingStore, RecordMode, Selection, SensorId,
    SensorSummary, Series, Stats, Window,
};
use crate::error::{StoreError, StoreErrorKind};
use crate::storage::data_directory::DataDirectory;
use crate::storage::sqlite::{ReaderPool, while_waited_for};

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
        let (store, opened) = Self::launch(directory, options)?;
        opened.recv().unwrap_or_else(|_| Err(panicked()))?;
        Ok(store)
    }

    /// The same for a server: returns after [`EmbeddedOptions::start_patience`] at the latest. From then on until it is open, reads
    /// fail as unavailable, writes wait in line, and [`ReadingStore::failed`] tells that it cannot be opened.
    ///
    /// # Errors
    /// As [`EmbeddedStore::open`].
    pub fn start(
        directory: Arc<DataDirectory>,
        options: EmbeddedOptions,
    ) -> Result<Self, StoreError> {
        let patience = options.start_patience;
        let (store, opened) = Self::launch(directory, options)?;
        match opened.recv_timeout(patience) {
            Ok(opened) => opened?,
            Err(RecvTimeoutError::Timeout) => {
                info!("the readings are still being read; reads are answered once that is done");
            }
            Err(RecvTimeoutError::Disconnected) => return Err(panicked()),
        }
        Ok(store)
    }

    /// A store whose thread opens it and then commits, where anything is written at all; and what came of the opening.
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
                        // Nobody may be waiting for it any more.
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
            let Some(view) = &snapshot.seen else {
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
            let Some((view, ends)) = &snapshot.seen else {
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
        // The sender lives as long as this store, so waiting ends with the failure.
        let _ = failed.wait_for(|&failed| failed).await;
        let not_opened = self.shared.opening.failure();
        not_opened.unwrap_or_else(|| Closed::Failed.error())
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.shared.opening.progress.stop();
        self.readers.close().await;
        self.shared.queue.close(Closed::Shutdown);
        let Some(committer) = self.committer.lock().take() else {
            return Ok(());
        };
        // The last connection to close removes the write-ahead log: the readers have gone first.
        match tokio::task::spawn_blocking(move || committer.join()).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(panicked()),
        }
    }
}

impl Drop for EmbeddedStore {
    /// A store that was not closed loses nothing, but leaves the next start more to do.
    fn drop(&mut self) {
        self.shared.opening.progress.stop();
        self.readers.stop();
        self.shared.queue.close(Closed::Shutdown);
        if let Some(committer) = self.committer.lock().take() {
            // A panic there has been reported by its thread.
            let _ = committer.join();
        }
    }
}

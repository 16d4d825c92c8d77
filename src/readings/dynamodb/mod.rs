//! The store on DynamoDB: any number of replicas on two tables.
//!
//! Readings that arrive together are written by one transaction with everything that is derived from them, so that the
//! statistics follow exactly. A replica owns a slot, and writes to cells of its own; a read merges the cells. docs/adr/0005
//! says why it is so, and what was left out.

mod census;
mod changes;
mod client;
mod cost;
mod export;
mod gathering;
mod group;
mod items;
mod keys;
mod line;
mod location;
mod lookup;
mod older;
mod plan;
mod points;
mod reads;
mod recount;
mod scan;
mod send;
mod sensors;
mod shape;
mod slots;
mod submission;
mod tables;
mod totals;
mod transaction;
mod writer;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::runtime::{Handle, Runtime};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tracing::info;

pub use location::{Credentials, DynamoOptions, Location};
pub use older::{NotTaken, OlderLayout, OlderPage, OlderReading, OlderTable};
pub use recount::{Pass, Progress, RecountReport, recount};

use self::client::Tables;
use self::submission::Submission;
use self::writer::{Order, Standing, Writer};
use super::{
    Batch, Export, Outcome, Page, Point, ReadingStore, RecordMode, Selection, SensorId,
    SensorSummary, Series, Stats, Window,
};
use crate::backend_url::BackendUrl;
use crate::error::{StoreError, StoreErrorKind};

/// How many batches may wait for the writer to look at them.
const ORDERS_MAX: usize = 16_384;
/// How long a start may take before it is given up.
const OPEN_PATIENCE: Duration = Duration::from_secs(20);
/// How long the answer to "are you ready" may take, and for how long it is good.
const READY_PATIENCE: Duration = Duration::from_secs(2);
const READY_AGE: Duration = Duration::from_secs(1);

/// Readings in two DynamoDB tables.
#[derive(Debug)]
pub struct DynamoStore {
    tables: Tables,
    options: DynamoOptions,
    orders: mpsc::Sender<Order>,
    standing: watch::Receiver<Standing>,
    /// How many readings are in line or in flight.
    waiting: Arc<AtomicUsize>,
    /// When DynamoDB was last found to answer.
    reached: Mutex<Option<Instant>>,
    /// Where requests are made; connections live there.
    handle: Handle,
    /// The threads behind `handle`, when they are this store's own.
    runtime: Mutex<Option<Runtime>>,
}

impl DynamoStore {
    /// Opens the store on threads of its own, from whatever thread. Blocks until it is ready.
    ///
    /// # Errors
    /// As [`DynamoStore::open`].
    pub fn open_blocking(url: &BackendUrl, options: DynamoOptions) -> Result<Self, StoreError> {
        let location = Location::parse(url)?;
        let (store, runtime) = on_own_threads(Self::open(&location, options))?;
        *store.runtime.lock() = Some(runtime);
        Ok(store)
    }

    /// Opens the store: checks the tables, and takes a slot.
    ///
    /// # Errors
    /// When DynamoDB cannot be reached in time; when a table is missing, or has readings that were never counted: the message
    /// names it and the command that helps.
    pub async fn open(location: &Location, options: DynamoOptions) -> Result<Self, StoreError> {
        let opening = async {
            let tables = Tables::connect(location, options.credentials.as_ref()).await;
            tables::check(&tables, location).await?;
            tables::begin(&tables, location).await?;
            let owner = slots::unique_name()?;
            let slot = slots::claim(&tables, &owner, options.lease).await?;
            Ok((tables, slot))
        };
        let (tables, slot) = tokio::time::timeout(OPEN_PATIENCE, opening)
            .await
            .unwrap_or_else(|_| {
                Err(StoreError::new(
                    StoreErrorKind::Unavailable,
                    "DynamoDB did not answer in time",
                ))
            })?;
        info!(
            readings = tables.readings,
            aggregation = tables.aggregation,
            slot = slot.name,
            "readings are open"
        );
        let (orders, received) = mpsc::channel(ORDERS_MAX);
        let (standing, watched) = watch::channel(Standing::Writing);
        let waiting = Arc::new(AtomicUsize::new(0));
        let writer = Writer::new(
            tables.clone(),
            options.clone(),
            standing,
            slot,
            Arc::clone(&waiting),
        );
        let handle = Handle::current();
        handle.spawn(writer.run(received));
        Ok(Self {
            tables,
            options,
            orders,
            standing: watched,
            waiting,
            reached: Mutex::new(None),
            handle,
            runtime: Mutex::new(None),
        })
    }

    /// Makes the tables that are missing; says their names. For development: in AWS, Terraform makes them.
    ///
    /// # Errors
    /// When DynamoDB cannot be reached or refuses.
    pub async fn create_tables(
        location: &Location,
        credentials: Option<&Credentials>,
    ) -> Result<Vec<String>, StoreError> {
        let tables = Tables::connect(location, credentials).await;
        tables::create(&tables, location).await
    }

    /// Runs a read where the connections live.
    async fn run<T: Send + 'static>(
        &self,
        read: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.handle.spawn(read).await.unwrap_or_else(|error| {
            Err(
                StoreError::new(StoreErrorKind::Unavailable, "the store is closing")
                    .with_source(error),
            )
        })
    }

    fn overloaded() -> StoreError {
        StoreError::new(
            StoreErrorKind::Overloaded,
            "more readings are waiting to be stored than the server holds; nothing of this was stored, send it again",
        )
    }

    fn closed() -> StoreError {
        StoreError::new(StoreErrorKind::Unavailable, "the server is shutting down")
    }
}

/// Runs something to its end on new threads, which go on for what it has started.
fn on_own_threads<T: Send>(
    work: impl Future<Output = Result<T, StoreError>> + Send,
) -> Result<(T, Runtime), StoreError> {
    let internal = || {
        StoreError::new(
            StoreErrorKind::Internal,
            "cannot start the threads for DynamoDB",
        )
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("dynamodb")
        .enable_all()
        .build()
        .map_err(|error| internal().with_source(error))?;
    // A thread of its own may block, whatever the caller's may do.
    let done = std::thread::scope(|scope| {
        let thread = scope.spawn(|| runtime.block_on(work));
        thread.join().unwrap_or_else(|_| Err(internal()))
    });
    match done {
        Ok(value) => Ok((value, runtime)),
        Err(error) => {
            runtime.shutdown_background();
            Err(error)
        }
    }
}

#[async_trait]
impl ReadingStore for DynamoStore {
    async fn record(&self, batch: Batch, mode: RecordMode) -> Result<Outcome, StoreError> {
        if batch.is_empty() {
            return Ok(Outcome::default());
        }
        let length = batch.len();
        let before = self.waiting.fetch_add(length, Ordering::Relaxed);
        if before > 0 && before + length > self.options.queue_readings_max {
            self.waiting.fetch_sub(length, Ordering::Relaxed);
            return Err(Self::overloaded());
        }
        let (reply, answer) = oneshot::channel();
        let submission = Submission {
            batch,
            mode,
            deadline: Instant::now() + self.options.write_deadline,
            reply,
        };
        if let Err(error) = self.orders.try_send(Order::Record(submission)) {
            self.waiting.fetch_sub(length, Ordering::Relaxed);
            return Err(match error {
                TrySendError::Full(_) => Self::overloaded(),
                TrySendError::Closed(_) => Self::closed(),
            });
        }
        answer.await.unwrap_or_else(|_| Err(Self::closed()))
    }

    async fn stats(&self, selection: &Selection) -> Result<Stats, StoreError> {
        let (tables, selection) = (self.tables.clone(), selection.clone());
        self.run(async move { reads::stats(&tables, &selection).await })
            .await
    }

    async fn sensor_count(&self) -> Result<u64, StoreError> {
        let tables = self.tables.clone();
        self.run(async move { Ok(totals::lanes(&tables).await?.sensors()) })
            .await
    }

    async fn sensors(
        &self,
        after: Option<&SensorId>,
        limit: usize,
    ) -> Result<Page<SensorSummary>, StoreError> {
        let (tables, after) = (self.tables.clone(), after.cloned());
        self.run(async move { reads::sensors(&tables, after.as_ref(), limit).await })
            .await
    }

    async fn sensor(&self, sensor: &SensorId) -> Result<Option<SensorSummary>, StoreError> {
        let (tables, sensor) = (self.tables.clone(), sensor.clone());
        self.run(async move { reads::summary(&tables, &sensor).await })
            .await
    }

    async fn readings(
        &self,
        sensor: &SensorId,
        window: Window,
        limit: usize,
    ) -> Result<Option<Page<Point>>, StoreError> {
        let (tables, sensor) = (self.tables.clone(), sensor.clone());
        self.run(async move { reads::readings(&tables, &sensor, window, limit).await })
            .await
    }

    async fn series(
        &self,
        sensor: &SensorId,
        window: Window,
        points: usize,
    ) -> Result<Option<Series>, StoreError> {
        let (tables, sensor) = (self.tables.clone(), sensor.clone());
        self.run(async move { reads::series(&tables, &sensor, window, points).await })
            .await
    }

    async fn export(&self, selection: &Selection) -> Result<Export, StoreError> {
        let (tables, selection) = (self.tables.clone(), selection.clone());
        let cursor = self
            .run(async move { export::ExportCursor::open(&tables, &selection).await })
            .await?;
        let handle = self.handle.clone();
        Ok(Box::pin(futures_util::stream::try_unfold(
            (cursor, handle),
            async |(mut cursor, handle)| {
                let next = handle.spawn(async move {
                    let block = cursor.next().await?;
                    Ok(block.map(|block| (block, cursor)))
                });
                let next: Option<_> = next.await.unwrap_or_else(|_| Err(Self::closed()))?;
                Ok(next.map(|(block, cursor)| (block, (cursor, handle))))
            },
        )))
    }

    fn backend(&self) -> &'static str {
        "dynamodb"
    }

    async fn ready(&self) -> Result<(), StoreError> {
        match &*self.standing.borrow() {
            Standing::Writing => {}
            Standing::Closed => return Err(Self::closed()),
            Standing::WithoutSlot(why) => {
                return Err(StoreError::new(
                    StoreErrorKind::Unavailable,
                    format!("this replica cannot write for the moment: {why}"),
                ));
            }
        }
        if self
            .reached
            .lock()
            .is_some_and(|at| at.elapsed() < READY_AGE)
        {
            return Ok(());
        }
        let tables = self.tables.clone();
        let asked = self.run(async move { totals::lanes(&tables).await });
        match tokio::time::timeout(READY_PATIENCE, asked).await {
            Ok(Ok(_)) => {
                *self.reached.lock() = Some(Instant::now());
                Ok(())
            }
            Ok(Err(error)) => Err(error),
            Err(_) => Err(StoreError::new(
                StoreErrorKind::Unavailable,
                "DynamoDB did not answer in time",
            )),
        }
    }

    /// Nothing that happens to a table is for good as far as this process is concerned.
    async fn failed(&self) -> StoreError {
        std::future::pending().await
    }

    async fn close(&self) -> Result<(), StoreError> {
        let (done, finished) = oneshot::channel();
        if self.orders.send(Order::Close(done)).await.is_ok() {
            // The writer ends by itself, within the deadline of what it has in flight.
            let _ = finished.await;
        }
        Ok(())
    }
}

impl Drop for DynamoStore {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.lock().take() {
            // Waiting for threads is not allowed everywhere; what was acknowledged is safe without it.
            runtime.shutdown_background();
        }
    }
}

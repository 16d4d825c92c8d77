//! The store on DynamoDB: any number of replicas on two tables.
//!
//! Readings that arrive together are written by one transaction with everything that is derived from them, so that the
//! statistics follow exactly. A replica owns a slot, and writes to cells of its own; a read merges the cells. docs/adr/0005
//! says why it is so, and what was left out.

mod census;
mod changes;
mod client;
mod connection;
mod cost;
mod denial;
mod export;
mod gathering;
mod group;
mod items;
mod keeper;
mod keys;
mod line;
mod location;
mod lookup;
mod plan;
mod points;
mod probe;
mod reads;
mod recount;
mod scan;
mod send;
mod sensors;
mod slots;
mod standing;
mod submission;
mod tables;
mod totals;
mod transaction;
mod watch;
mod writer;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::runtime::{Handle, Runtime};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};
use tracing::warn;

pub use location::{Credentials, DynamoOptions, Location};
pub use recount::{RecountReport, recount};

use self::client::{Tables, is_away, unanswered};
use self::connection::Connection;
use self::keeper::{Keeper, said_open};
use self::slots::Slot;
use self::standing::{Phase, Side, Standing, closed};
use self::submission::Submission;
use self::writer::{Order, Surroundings, Writer};
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
/// How long the start of a server waits until it goes on without DynamoDB, and for how long it tries again what fails at once.
const START_PATIENCE: Duration = Duration::from_secs(4);
const START_ATTEMPTS_TIME: Duration = Duration::from_secs(1);
const START_PAUSE: Duration = Duration::from_millis(200);
/// How long the answer to "are you ready" may take, and for how long it is good.
const READY_PATIENCE: Duration = Duration::from_secs(2);
const READY_AGE: Duration = Duration::from_secs(1);

/// Readings in two DynamoDB tables.
#[derive(Debug)]
pub struct DynamoStore {
    connection: Arc<Connection>,
    options: DynamoOptions,
    orders: mpsc::Sender<Order>,
    standing: Arc<Standing>,
    /// How many readings are in line or in flight.
    waiting: Arc<AtomicUsize>,
    /// When DynamoDB was last found to answer.
    reached: Mutex<Option<Instant>>,
    /// Where requests are made; connections live there.
    handle: Handle,
    /// The threads behind `handle`, when they are this store's own.
    runtime: Mutex<Option<Runtime>>,
}

/// What becomes of a start while DynamoDB is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenAway {
    /// It fails.
    Fail,
    /// The store opens without DynamoDB, answers that it is away, and goes on by itself once it is there.
    Wait,
}

impl DynamoStore {
    /// Opens the store on threads of its own, from whatever thread. Blocks until it is ready, or until DynamoDB is found to be away.
    ///
    /// # Errors
    /// As [`DynamoStore::open`].
    pub fn open_blocking(
        url: &BackendUrl,
        options: DynamoOptions,
        when_away: WhenAway,
    ) -> Result<Self, StoreError> {
        let location = Location::parse(url)?;
        let (store, runtime) = on_own_threads(async {
            match when_away {
                WhenAway::Fail => Self::open(&location, options).await,
                WhenAway::Wait => Self::start(&location, options).await,
            }
        })?;
        *store.runtime.lock() = Some(runtime);
        Ok(store)
    }

    /// Opens the store: checks the tables and what this program may do with them, and takes a slot.
    ///
    /// # Errors
    /// When DynamoDB cannot be reached in time; when a table is missing, or has readings that were never counted, or rights are
    /// missing: the message names it and what helps.
    pub async fn open(location: &Location, options: DynamoOptions) -> Result<Self, StoreError> {
        let opening = async {
            let connection = Connection::open(location, options.credentials.as_ref()).await?;
            let (connection, standing) = (Arc::new(connection), opening());
            let mut keeper = Keeper::new(Arc::clone(&connection), Arc::clone(&standing), &options);
            let slot = keeper.obtain(&connection.tables()).await?;
            Ok((connection, standing, keeper, slot))
        };
        let (connection, standing, keeper, slot) = timeout(OPEN_PATIENCE, opening)
            .await
            .unwrap_or_else(|_| Err(no_answer()))?;
        Ok(Self::run_on(
            connection,
            standing,
            keeper,
            options,
            Some(slot),
        ))
    }

    /// Opens the store as [`DynamoStore::open`] does, or without DynamoDB when that is away.
    ///
    /// # Errors
    /// When DynamoDB has answered, and has something against it.
    pub async fn start(location: &Location, options: DynamoOptions) -> Result<Self, StoreError> {
        let connection = Connection::open(location, options.credentials.as_ref()).await?;
        let (connection, standing) = (Arc::new(connection), opening());
        let mut keeper = Keeper::new(Arc::clone(&connection), Arc::clone(&standing), &options);
        let tables = connection.tables().impatient();
        let started = Instant::now();
        let slot = loop {
            let left = START_PATIENCE.saturating_sub(started.elapsed());
            let opened = timeout(left, keeper.obtain(&tables)).await;
            match opened.unwrap_or_else(|_| Err(no_answer())) {
                Ok(slot) => break Some(slot),
                Err(error) if !is_away(&error) => return Err(error),
                Err(_) if started.elapsed() < START_ATTEMPTS_TIME => {
                    tokio::time::sleep(START_PAUSE).await;
                }
                Err(error) => {
                    standing.cannot_open(&error);
                    warn!("DynamoDB is away; there are no readings until it is back");
                    break None;
                }
            }
        };
        Ok(Self::run_on(connection, standing, keeper, options, slot))
    }

    /// Starts what runs beside requests.
    fn run_on(
        connection: Arc<Connection>,
        standing: Arc<Standing>,
        keeper: Keeper,
        options: DynamoOptions,
        slot: Option<Slot>,
    ) -> Self {
        if let Some(slot) = &slot {
            standing.set_phase(Phase::Open);
            said_open(&connection.tables(), slot);
        }
        let (orders, received) = mpsc::channel(ORDERS_MAX);
        let (wishes, wished) = mpsc::channel(2);
        let (news, heard) = mpsc::channel(4);
        let waiting = Arc::new(AtomicUsize::new(0));
        let surroundings = Surroundings {
            connection: Arc::clone(&connection),
            options: options.clone(),
            standing: Arc::clone(&standing),
            waiting: Arc::clone(&waiting),
            wishes,
            news: heard,
        };
        let handle = Handle::current();
        handle.spawn(keeper.run(wished, news));
        handle.spawn(Writer::new(surroundings, slot).run(received));
        Self {
            connection,
            options,
            orders,
            standing,
            waiting,
            reached: Mutex::new(None),
            handle,
            runtime: Mutex::new(None),
        }
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
        tables::create(&tables).await
    }

    /// Runs a read where the connections live.
    async fn run<T, F>(&self, read: impl FnOnce(Tables) -> F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        self.standing.may_read()?;
        let read = self.handle.spawn(read(self.connection.tables()));
        let result = read.await.unwrap_or_else(|error| {
            Err(
                StoreError::new(StoreErrorKind::Unavailable, "the store is closing")
                    .with_source(error),
            )
        });
        match &result {
            Ok(_) => self.standing.went_well(Side::Reads),
            Err(error) => self.standing.failed(Side::Reads, error),
        }
        result
    }

    fn overloaded() -> StoreError {
        StoreError::new(
            StoreErrorKind::Overloaded,
            "more readings are waiting to be stored than the server holds; nothing of this was stored, send it again",
        )
    }
}

fn opening() -> Arc<Standing> {
    Arc::new(Standing::new(Phase::Opening(
        "DynamoDB has not answered yet".to_owned(),
    )))
}

fn no_answer() -> StoreError {
    unanswered("DynamoDB did not answer in time")
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
        if let Some(refusal) = self.standing.refusal() {
            return Err(refusal);
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
                TrySendError::Closed(_) => closed(),
            });
        }
        answer.await.unwrap_or_else(|_| Err(closed()))
    }

    async fn stats(&self, selection: &Selection) -> Result<Stats, StoreError> {
        let selection = selection.clone();
        self.run(move |tables| async move { reads::stats(&tables, &selection).await })
            .await
    }

    async fn sensor_count(&self) -> Result<u64, StoreError> {
        self.run(move |tables| async move { Ok(totals::lanes(&tables).await?.sensors()) })
            .await
    }

    async fn sensors(
        &self,
        after: Option<&SensorId>,
        limit: usize,
    ) -> Result<Page<SensorSummary>, StoreError> {
        let after = after.cloned();
        self.run(move |tables| async move { reads::sensors(&tables, after.as_ref(), limit).await })
            .await
    }

    async fn sensor(&self, sensor: &SensorId) -> Result<Option<SensorSummary>, StoreError> {
        let sensor = sensor.clone();
        self.run(move |tables| async move { reads::summary(&tables, &sensor).await })
            .await
    }

    async fn readings(
        &self,
        sensor: &SensorId,
        window: Window,
        limit: usize,
    ) -> Result<Option<Page<Point>>, StoreError> {
        let sensor = sensor.clone();
        self.run(
            move |tables| async move { reads::readings(&tables, &sensor, window, limit).await },
        )
        .await
    }

    async fn series(
        &self,
        sensor: &SensorId,
        window: Window,
        points: usize,
    ) -> Result<Option<Series>, StoreError> {
        let sensor = sensor.clone();
        self.run(move |tables| async move { reads::series(&tables, &sensor, window, points).await })
            .await
    }

    async fn export(&self, selection: &Selection) -> Result<Export, StoreError> {
        let selection = selection.clone();
        let cursor = self
            .run(move |tables| async move { export::ExportCursor::open(&tables, &selection).await })
            .await?;
        let handle = self.handle.clone();
        Ok(Box::pin(futures_util::stream::try_unfold(
            (cursor, handle),
            async |(mut cursor, handle)| {
                let next = handle.spawn(async move {
                    let block = cursor.next().await?;
                    Ok(block.map(|block| (block, cursor)))
                });
                let next: Option<_> = next.await.unwrap_or_else(|_| Err(closed()))?;
                Ok(next.map(|(block, cursor)| (block, (cursor, handle))))
            },
        )))
    }

    fn backend(&self) -> &'static str {
        "dynamodb"
    }

    async fn ready(&self) -> Result<(), StoreError> {
        self.standing.may_write()?;
        if self
            .reached
            .lock()
            .is_some_and(|at| at.elapsed() < READY_AGE)
        {
            return Ok(());
        }
        let asked = self.run(|tables| async move { totals::lanes(&tables).await });
        timeout(READY_PATIENCE, asked)
            .await
            .unwrap_or_else(|_| Err(no_answer()))?;
        *self.reached.lock() = Some(Instant::now());
        Ok(())
    }

    fn warnings(&self) -> Vec<String> {
        self.standing.warnings()
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

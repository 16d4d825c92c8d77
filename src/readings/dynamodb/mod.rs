//! The store on DynamoDB: any number of replicas on two tables.
//!
//! Readings that arrive together are written by one transaction with everything that is derived from them, so that the
//! statistics follow exactly. A replica owns a slot, and writes to cells of its own; a read merges the cells. docs/adr/0005
//! says why it is so, and what was left out.

mod drift;
mod older;
mod opening;
mod random;
mod read;
mod recount;
mod replica;
mod table;
mod url;
mod write;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};

pub use self::url::{Credentials, DynamoOptions, DynamoUrl};
pub use older::{NotTaken, OlderLayout, OlderPage, OlderReading, OlderTable};
pub use recount::{Pass, Progress, RecountReport, recount};

use self::drift::Findings;
use self::replica::status::{Side, Standing, closed};
use self::table::client::{Tables, no_answer};
use self::table::connection::Connection;
use self::write::submission::Submission;
use self::write::writer::Order;
use super::{
    Batch, Export, Outcome, Page, Point, ReadingStore, RecordMode, Selection, SensorId,
    SensorSummary, Series, Stats, Window,
};
use crate::error::{StoreError, StoreErrorKind};

/// How many batches may wait for the writer to look at them.
const ORDERS_MAX: usize = 16_384;
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
    findings: Arc<Findings>,
    /// The one who looks for what is to be found.
    lookout: AbortHandle,
    /// How many readings are in line or in flight.
    waiting: Arc<AtomicUsize>,
    /// When DynamoDB was last found to answer.
    reached: Mutex<Option<Instant>>,
}

impl DynamoStore {
    /// Makes the tables that are missing; says their names. For development: in AWS, Terraform makes them.
    ///
    /// # Errors
    /// When DynamoDB cannot be reached or refuses.
    pub async fn create_tables(
        location: &DynamoUrl,
        credentials: Option<&Credentials>,
    ) -> Result<Vec<String>, StoreError> {
        let tables = Tables::connect(location, credentials).await;
        table::setup::create(&tables, location).await
    }

    /// The tables, for a read.
    ///
    /// # Errors
    /// When the store takes no reads now.
    fn tables(&self) -> Result<Tables, StoreError> {
        self.standing.may_read()?;
        Ok(self.connection.tables())
    }

    /// Records in the status of the store how a read ended, and returns the result of the read.
    fn noted<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
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
        let tables = self.tables()?;
        self.noted(read::windows::stats(&tables, selection).await)
    }

    async fn sensor_count(&self) -> Result<u64, StoreError> {
        let tables = self.tables()?;
        let lanes = self.noted(read::totals::lanes(&tables).await)?;
        Ok(lanes.sensors())
    }

    async fn sensors(
        &self,
        after: Option<&SensorId>,
        limit: usize,
    ) -> Result<Page<SensorSummary>, StoreError> {
        let tables = self.tables()?;
        self.noted(read::windows::sensors(&tables, after, limit).await)
    }

    async fn sensor(&self, sensor: &SensorId) -> Result<Option<SensorSummary>, StoreError> {
        let tables = self.tables()?;
        self.noted(read::windows::summary(&tables, sensor).await)
    }

    async fn readings(
        &self,
        sensor: &SensorId,
        window: Window,
        limit: usize,
    ) -> Result<Option<Page<Point>>, StoreError> {
        let tables = self.tables()?;
        self.noted(read::windows::readings(&tables, sensor, window, limit).await)
    }

    async fn series(
        &self,
        sensor: &SensorId,
        window: Window,
        points: usize,
    ) -> Result<Option<Series>, StoreError> {
        let tables = self.tables()?;
        self.noted(read::windows::series(&tables, sensor, window, points).await)
    }

    async fn export(&self, selection: &Selection) -> Result<Export, StoreError> {
        let tables = self.tables()?;
        let cursor = self.noted(read::export::ExportCursor::open(&tables, selection).await)?;
        Ok(Box::pin(futures_util::stream::try_unfold(
            cursor,
            async |mut cursor| {
                let block = cursor.next().await?;
                Ok(block.map(|block| (block, cursor)))
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
        let tables = self.tables()?;
        let asked = async { self.noted(read::totals::lanes(&tables).await) };
        timeout(READY_PATIENCE, asked)
            .await
            .unwrap_or_else(|_| Err(no_answer()))?;
        *self.reached.lock() = Some(Instant::now());
        Ok(())
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = self.standing.warnings();
        warnings.extend(self.findings.warnings(&self.connection));
        warnings
    }

    /// Nothing that happens to a table is for good as far as this process is concerned.
    async fn failed(&self) -> StoreError {
        std::future::pending().await
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.lookout.abort();
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
        self.lookout.abort();
    }
}

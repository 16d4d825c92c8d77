//! The readings on DynamoDB: any number of replicas share two tables.
//!
//! A transaction writes some readings together with everything derived from them, so the statistics always match the readings.
//! Each replica owns a lease and writes only to the replica's own partial aggregates; a read merges the partial aggregates.
//! docs/adr/0005 gives the reasons and the alternatives.
//!
//! Import direction: `table` ← `replica`, `table` ← `read` ← `write` ← `drift` and `recount` ← `opening` ← this module.

mod drift;
mod older;
mod opening;
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

use self::drift::DriftedSensors;
use self::replica::status::{Operation, StoreStatus, closed};
use self::table::client::{Tables, timeout_error};
use self::table::connection::Connection;
use self::write::submission::Submission;
use self::write::writer::WriterCommand;
use super::{
    Batch, Export, Outcome, Page, Point, ReadingStore, RecordMode, Selection, SensorId,
    SensorSummary, Series, Stats, Window,
};
use crate::error::{StoreError, StoreErrorKind};

/// How many batches may wait for the writer to take them.
const COMMANDS_MAX: usize = 16_384;
/// How long a readiness check may take, and how long the result is valid.
const READY_TIMEOUT: Duration = Duration::from_secs(2);
const READY_AGE: Duration = Duration::from_secs(1);

/// Readings in two DynamoDB tables.
#[derive(Debug)]
pub struct DynamoStore {
    connection: Arc<Connection>,
    options: DynamoOptions,
    commands: mpsc::Sender<WriterCommand>,
    status: Arc<StoreStatus>,
    drifted_sensors: Arc<DriftedSensors>,
    /// The task that checks whether the statistics match the readings.
    drift_monitor: AbortHandle,
    /// How many readings are in the queue or in flight.
    waiting: Arc<AtomicUsize>,
    /// When DynamoDB last answered a readiness check.
    answered_at: Mutex<Option<Instant>>,
}

impl DynamoStore {
    /// Creates the missing tables and returns their names. For development: in AWS, Terraform creates them.
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
    /// While the store is not open.
    fn tables(&self) -> Result<Tables, StoreError> {
        self.status.may_read()?;
        Ok(self.connection.tables())
    }

    /// Records the result of a read in the status of the store.
    fn record_result<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        match &result {
            Ok(_) => self.status.record_success(Operation::Reads),
            Err(error) => self.status.record_failure(Operation::Reads, error),
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
        if let Some(refusal) = self.status.refusal() {
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
        if let Err(error) = self.commands.try_send(WriterCommand::Record(submission)) {
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
        self.record_result(read::windows::stats(&tables, selection).await)
    }

    async fn sensor_count(&self) -> Result<u64, StoreError> {
        let tables = self.tables()?;
        let shards = self.record_result(read::totals::write_shards(&tables).await)?;
        Ok(shards.sensors())
    }

    async fn sensors(
        &self,
        after: Option<&SensorId>,
        limit: usize,
    ) -> Result<Page<SensorSummary>, StoreError> {
        let tables = self.tables()?;
        self.record_result(read::windows::sensors(&tables, after, limit).await)
    }

    async fn sensor(&self, sensor: &SensorId) -> Result<Option<SensorSummary>, StoreError> {
        let tables = self.tables()?;
        self.record_result(read::windows::summary(&tables, sensor).await)
    }

    async fn readings(
        &self,
        sensor: &SensorId,
        window: Window,
        limit: usize,
    ) -> Result<Option<Page<Point>>, StoreError> {
        let tables = self.tables()?;
        self.record_result(read::windows::readings(&tables, sensor, window, limit).await)
    }

    async fn series(
        &self,
        sensor: &SensorId,
        window: Window,
        points: usize,
    ) -> Result<Option<Series>, StoreError> {
        let tables = self.tables()?;
        self.record_result(read::windows::series(&tables, sensor, window, points).await)
    }

    async fn export(&self, selection: &Selection) -> Result<Export, StoreError> {
        let tables = self.tables()?;
        let cursor =
            self.record_result(read::export::ExportCursor::open(&tables, selection).await)?;
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
        self.status.may_write()?;
        if self
            .answered_at
            .lock()
            .is_some_and(|at| at.elapsed() < READY_AGE)
        {
            return Ok(());
        }
        let tables = self.tables()?;
        let asked = async { self.record_result(read::totals::write_shards(&tables).await) };
        timeout(READY_TIMEOUT, asked)
            .await
            .unwrap_or_else(|_| Err(timeout_error()))?;
        *self.answered_at.lock() = Some(Instant::now());
        Ok(())
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = self.status.warnings();
        warnings.extend(self.drifted_sensors.warnings(&self.connection));
        warnings
    }

    /// Never resolves: this process can recover from every event in a table.
    async fn failed(&self) -> StoreError {
        std::future::pending().await
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.drift_monitor.abort();
        let (done, finished) = oneshot::channel();
        if self.commands.send(WriterCommand::Close(done)).await.is_ok() {
            // The writer ends before the deadline of the readings in flight.
            let _ = finished.await;
        }
        Ok(())
    }
}

impl Drop for DynamoStore {
    fn drop(&mut self) {
        self.drift_monitor.abort();
    }
}

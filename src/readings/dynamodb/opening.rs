//! Opens the store: with DynamoDB available, or for a server also without it.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::warn;

use super::drift::{DriftMonitor, DriftedSensors};
use super::replica::lease::Lease;
use super::replica::lease_manager::{LeaseManager, log_open};
use super::replica::status::{Phase, StoreStatus};
use super::table::client::{is_unavailable, timeout_error};
use super::table::connection::Connection;
use super::url::{DynamoOptions, DynamoUrl};
use super::write::writer::{Writer, WriterContext};
use super::{COMMANDS_MAX, DynamoStore};
use crate::error::{StoreError, StoreErrorKind};

/// How long [`DynamoStore::open`] may take.
const OPEN_TIMEOUT: Duration = Duration::from_secs(20);
/// How long [`DynamoStore::start`] waits for DynamoDB, and how long errors that come at once are retried.
const START_TIMEOUT: Duration = Duration::from_secs(4);
const START_ATTEMPTS_TIME: Duration = Duration::from_secs(1);
const START_PAUSE: Duration = Duration::from_millis(200);

impl DynamoStore {
    /// Opens the store on the runtime of the caller: checks the tables and the rights of this program, and takes a lease.
    ///
    /// # Errors
    /// When DynamoDB does not answer in time; when a table is missing, or has readings that were never counted, or a right is
    /// missing. The message names the remedy.
    pub async fn open(location: &DynamoUrl, options: DynamoOptions) -> Result<Self, StoreError> {
        let deadline = Instant::now() + OPEN_TIMEOUT;
        let connecting = Connection::open(location, options.credentials.as_ref());
        let connection = timeout_at(deadline, connecting).await;
        let connection = Arc::new(connection.unwrap_or_else(|_| Err(timeout_error()))?);
        let status = opening();
        let mut lease_manager =
            LeaseManager::new(Arc::clone(&connection), Arc::clone(&status), &options);
        let tables = connection.tables();
        let lease = loop {
            match timeout_at(deadline, lease_manager.obtain(&tables)).await {
                Ok(Err(error))
                    if waits_for_lease(&lease_manager, &error) && Instant::now() < deadline =>
                {
                    tokio::time::sleep(START_PAUSE).await;
                }
                obtained => break obtained.unwrap_or_else(|_| Err(timeout_error()))?,
            }
        };
        Ok(Self::run_on(
            connection,
            status,
            lease_manager,
            options,
            Some(lease),
        ))
    }

    /// Opens the store as [`DynamoStore::open`] does. While DynamoDB is unavailable, the store opens without DynamoDB and reports
    /// "not open"; the lease manager opens the tables later.
    ///
    /// # Errors
    /// When DynamoDB answered and the store cannot use the answer.
    pub async fn start(location: &DynamoUrl, options: DynamoOptions) -> Result<Self, StoreError> {
        let connecting = Connection::open(location, options.credentials.as_ref());
        let connection = timeout(OPEN_TIMEOUT, connecting).await;
        let connection = Arc::new(connection.unwrap_or_else(|_| Err(timeout_error()))?);
        let status = opening();
        let mut lease_manager =
            LeaseManager::new(Arc::clone(&connection), Arc::clone(&status), &options);
        let tables = connection.tables().without_retries();
        let started = Instant::now();
        let lease = loop {
            let left = START_TIMEOUT.saturating_sub(started.elapsed());
            let opened = timeout(left, lease_manager.obtain(&tables)).await;
            match opened.unwrap_or_else(|_| Err(timeout_error())) {
                Ok(lease) => break Some(lease),
                Err(error) if waits_for_lease(&lease_manager, &error) => {
                    status.set_phase(Phase::WithoutLease(error.message().to_owned()));
                    break None;
                }
                Err(error) if !is_unavailable(&error) => return Err(error),
                Err(_) if started.elapsed() < START_ATTEMPTS_TIME => {
                    tokio::time::sleep(START_PAUSE).await;
                }
                Err(error) => {
                    status.record_open_failure(&error);
                    warn!("DynamoDB is away; there are no readings until it is back");
                    break None;
                }
            }
        };
        Ok(Self::run_on(
            connection,
            status,
            lease_manager,
            options,
            lease,
        ))
    }

    /// Starts the tasks of the store.
    fn run_on(
        connection: Arc<Connection>,
        status: Arc<StoreStatus>,
        lease_manager: LeaseManager,
        options: DynamoOptions,
        lease: Option<Lease>,
    ) -> Self {
        if let Some(lease) = &lease {
            status.set_phase(Phase::Open);
            log_open(&connection.tables(), lease);
        }
        let (commands, received) = mpsc::channel(COMMANDS_MAX);
        let (lease_requests, received_requests) = mpsc::channel(2);
        let (lease_events, received_events) = mpsc::channel(4);
        let waiting = Arc::new(AtomicUsize::new(0));
        let context = WriterContext {
            connection: Arc::clone(&connection),
            options: options.clone(),
            status: Arc::clone(&status),
            waiting: Arc::clone(&waiting),
            lease_requests,
            lease_events: received_events,
        };
        let drifted_sensors = Arc::new(DriftedSensors::default());
        let drift_monitor = DriftMonitor::new(
            Arc::clone(&connection),
            Arc::clone(&status),
            Arc::clone(&drifted_sensors),
            options.drift_pause,
        );
        let drift_monitor = tokio::spawn(drift_monitor.run()).abort_handle();
        tokio::spawn(lease_manager.run(received_requests, lease_events));
        tokio::spawn(Writer::new(context, lease).run(received));
        Self {
            connection,
            options,
            commands,
            status,
            drifted_sensors,
            drift_monitor,
            waiting,
            answered_at: Mutex::new(None),
        }
    }
}

fn opening() -> Arc<StoreStatus> {
    Arc::new(StoreStatus::new(Phase::Opening(
        "DynamoDB has not answered yet".to_owned(),
    )))
}

/// Whether the tables are usable, and only a lease is missing because all leases may have live owners.
fn waits_for_lease(lease_manager: &LeaseManager, error: &StoreError) -> bool {
    lease_manager.is_open() && error.kind() == StoreErrorKind::Overloaded
}

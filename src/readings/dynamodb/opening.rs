//! Opening the store: at once, or for a server also later, when DynamoDB is there.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::warn;

use super::drift::{Findings, Lookout};
use super::replica::keeper::{Keeper, said_open};
use super::replica::lease::Slot;
use super::replica::status::{Phase, Standing};
use super::table::client::{is_away, no_answer};
use super::table::connection::Connection;
use super::url::{DynamoOptions, DynamoUrl};
use super::write::writer::{Surroundings, Writer};
use super::{DynamoStore, ORDERS_MAX};
use crate::error::{StoreError, StoreErrorKind};

/// How long a start may take before it is given up.
const OPEN_PATIENCE: Duration = Duration::from_secs(20);
/// How long the start of a server waits until it goes on without DynamoDB, and for how long it tries again what fails at once.
const START_PATIENCE: Duration = Duration::from_secs(4);
const START_ATTEMPTS_TIME: Duration = Duration::from_secs(1);
const START_PAUSE: Duration = Duration::from_millis(200);

impl DynamoStore {
    /// Opens the store: checks the tables and what this program may do with them, and takes a slot.
    ///
    /// # Errors
    /// When DynamoDB cannot be reached in time; when a table is missing, or has readings that were never counted, or rights are
    /// missing: the message names it and what helps.
    pub async fn open(location: &DynamoUrl, options: DynamoOptions) -> Result<Self, StoreError> {
        let deadline = Instant::now() + OPEN_PATIENCE;
        let connecting = Connection::open(location, options.credentials.as_ref());
        let connection = timeout_at(deadline, connecting).await;
        let connection = Arc::new(connection.unwrap_or_else(|_| Err(no_answer()))?);
        let standing = opening();
        let mut keeper = Keeper::new(Arc::clone(&connection), Arc::clone(&standing), &options);
        let tables = connection.tables();
        let slot = loop {
            match timeout_at(deadline, keeper.obtain(&tables)).await {
                Ok(Err(error)) if waits_for_slot(&keeper, &error) && Instant::now() < deadline => {
                    tokio::time::sleep(START_PAUSE).await;
                }
                obtained => break obtained.unwrap_or_else(|_| Err(no_answer()))?,
            }
        };
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
    pub async fn start(location: &DynamoUrl, options: DynamoOptions) -> Result<Self, StoreError> {
        let connecting = Connection::open(location, options.credentials.as_ref());
        let connection = timeout(OPEN_PATIENCE, connecting).await;
        let connection = Arc::new(connection.unwrap_or_else(|_| Err(no_answer()))?);
        let standing = opening();
        let mut keeper = Keeper::new(Arc::clone(&connection), Arc::clone(&standing), &options);
        let tables = connection.tables().impatient();
        let started = Instant::now();
        let slot = loop {
            let left = START_PATIENCE.saturating_sub(started.elapsed());
            let opened = timeout(left, keeper.obtain(&tables)).await;
            match opened.unwrap_or_else(|_| Err(no_answer())) {
                Ok(slot) => break Some(slot),
                Err(error) if waits_for_slot(&keeper, &error) => {
                    standing.set_phase(Phase::WithoutSlot(error.message().to_owned()));
                    break None;
                }
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
        let findings = Arc::new(Findings::default());
        let lookout = Lookout::new(
            Arc::clone(&connection),
            Arc::clone(&standing),
            Arc::clone(&findings),
            options.drift_pause,
        );
        let lookout = tokio::spawn(lookout.run()).abort_handle();
        tokio::spawn(keeper.run(wished, news));
        tokio::spawn(Writer::new(surroundings, slot).run(received));
        Self {
            connection,
            options,
            orders,
            standing,
            findings,
            lookout,
            waiting,
            reached: Mutex::new(None),
        }
    }
}

fn opening() -> Arc<Standing> {
    Arc::new(Standing::new(Phase::Opening(
        "DynamoDB has not answered yet".to_owned(),
    )))
}

/// Whether the tables are right, and all slots have owners that may be alive.
fn waits_for_slot(keeper: &Keeper, error: &StoreError) -> bool {
    keeper.is_open() && error.kind() == StoreErrorKind::Overloaded
}

//! The task that gets a lease for this replica and keeps the lease. The task opens the tables, takes a lease whenever the writer
//! has no lease, renews the lease, frees the leases of dead replicas, and probes during an outage whether DynamoDB works again.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, timeout};
use tracing::{debug, info, warn};

use super::super::table::client::{Tables, is_unavailable, timeout_error};
use super::super::table::connection::Connection;
use super::super::table::probe;
use super::super::table::setup;
use super::super::url::DynamoOptions;
use super::lease::{self, Lease};
use super::liveness::LeaseWatch;
use super::status::{Operation, Phase, StoreStatus};
use crate::error::{StoreError, StoreErrorKind};
use crate::random;

/// How often the task looks for due work.
const TICK: Duration = Duration::from_millis(200);
/// How long an attempt may take.
const CLAIM_TIMEOUT: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_secs(4);
const RENEWAL_TIMEOUT: Duration = Duration::from_secs(2);
/// The pause between attempts to take a lease: the first pause, and the longest pause.
const CLAIM_PAUSE_MIN: Duration = Duration::from_millis(200);
const CLAIM_PAUSE_MAX: Duration = Duration::from_secs(1);
/// The pause before the tables are checked again, after DynamoDB answered that the tables are not usable.
const OPEN_PAUSE: Duration = Duration::from_secs(3);
/// The pause between probes during an outage; longer when the last outage ended only recently.
const PROBE_PAUSE_MIN: Duration = Duration::from_secs(1);
const PROBE_PAUSE_MAX: Duration = Duration::from_secs(60);

/// A request of the writer.
#[derive(Debug)]
pub(crate) enum LeaseRequest {
    /// A new lease, as the first lease or in place of a lost lease.
    Acquire,
    /// Release the lease and end.
    Close(oneshot::Sender<()>),
}

/// An event for the writer.
#[derive(Debug)]
pub(crate) enum LeaseEvent {
    Acquired(Box<Lease>),
    /// Another replica has the lease of this owner.
    Lost(String),
}

pub(crate) struct LeaseManager {
    connection: Arc<Connection>,
    status: Arc<StoreStatus>,
    lease_duration: Duration,
    is_open: bool,
    /// The owner's name in the next lease. All attempts use the same name, because an attempt without an answer may have been
    /// committed.
    owner: Option<String>,
    /// The names in earlier leases.
    former: Vec<String>,
    held: Option<Held>,
    watch: LeaseWatch,
    /// When to take a lease; `None` while the replica has a lease.
    claim_at: Option<Instant>,
    claim_pause: Duration,
    probe_at: Instant,
    probe_pause: Duration,
    /// When the last outage ended.
    recovered_at: Option<Instant>,
}

#[derive(Debug)]
struct Held {
    lease: String,
    owner: String,
    renewals: u64,
}

impl LeaseManager {
    pub(crate) fn new(
        connection: Arc<Connection>,
        status: Arc<StoreStatus>,
        options: &DynamoOptions,
    ) -> Self {
        Self {
            connection,
            status,
            lease_duration: options.lease_duration,
            is_open: false,
            owner: None,
            former: Vec::new(),
            held: None,
            watch: LeaseWatch::default(),
            claim_at: None,
            claim_pause: CLAIM_PAUSE_MIN,
            probe_at: Instant::now(),
            probe_pause: PROBE_PAUSE_MIN,
            recovered_at: None,
        }
    }

    /// Whether the tables were checked and are usable.
    pub(crate) const fn is_open(&self) -> bool {
        self.is_open
    }

    /// Checks the tables, unless already checked, and takes a lease.
    ///
    /// # Errors
    /// When DynamoDB is unavailable, or the store cannot use the answer: the message names the remedy.
    pub(crate) async fn obtain(&mut self, tables: &Tables) -> Result<Lease, StoreError> {
        if !self.is_open {
            let location = &self.connection.location;
            setup::check(tables, location).await?;
            setup::begin(tables, location).await?;
            probe::writes(tables).await?;
            probe::reads(tables).await?;
            self.is_open = true;
        }
        let owner = match &self.owner {
            Some(owner) => owner.clone(),
            None => self.owner.insert(random::hex_id()?).clone(),
        };
        let watch = &mut self.watch;
        let lease = lease::claim(tables, &owner, &self.former, self.lease_duration, watch).await?;
        self.owner = None;
        self.held = Some(Held {
            lease: lease.name.clone(),
            owner: lease.owner.clone(),
            renewals: 0,
        });
        Ok(lease)
    }

    /// Runs until the store closes, or is dropped.
    pub(crate) async fn run(
        mut self,
        mut requests: mpsc::Receiver<LeaseRequest>,
        events: mpsc::Sender<LeaseEvent>,
    ) {
        let mut renewal = tokio::time::interval(self.lease_duration / 4);
        renewal.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let event = tokio::select! {
                request = requests.recv() => match request {
                    Some(LeaseRequest::Acquire) => {
                        self.former.extend(self.held.take().map(|held| held.owner));
                        self.claim_at = Some(Instant::now());
                        self.claim_pause = CLAIM_PAUSE_MIN;
                        None
                    }
                    Some(LeaseRequest::Close(done)) => {
                        self.release_lease().await;
                        // The receiver is gone when the close was cancelled.
                        let _ = done.send(());
                        return;
                    }
                    None => return self.release_lease().await,
                },
                _ = renewal.tick() => self.renew_and_free().await,
                _ = tick.tick() => self.run_due_work().await,
            };
            if let Some(event) = event
                && events.send(event).await.is_err()
            {
                return self.release_lease().await;
            }
        }
    }

    /// Takes a lease or probes, when due.
    async fn run_due_work(&mut self) -> Option<LeaseEvent> {
        let now = Instant::now();
        let mut event = None;
        if self.claim_at.is_some_and(|at| at <= now) {
            event = self
                .claim()
                .await
                .map(|lease| LeaseEvent::Acquired(Box::new(lease)));
        } else if self.claim_at.is_none() && self.status.has_outage() && self.probe_at <= now {
            event = self.probe().await;
        }
        self.status.end_outage_if_over();
        event
    }

    async fn claim(&mut self) -> Option<Lease> {
        let was_open = self.is_open;
        if self.is_denied() {
            self.connection.renew().await;
        }
        let tables = self.connection.tables().without_retries();
        let claimed = timeout(CLAIM_TIMEOUT, self.obtain(&tables)).await;
        let error = match claimed.unwrap_or_else(|_| Err(timeout_error())) {
            Ok(lease) => {
                match was_open {
                    true => info!(slot = lease.name, "this replica has a slot again"),
                    false => log_open(&tables, &lease),
                }
                self.claim_at = None;
                match was_open {
                    // Writes need more than a lease, so a probe follows.
                    true => self.probe_at = Instant::now(),
                    false => self.status.record_recovery(),
                }
                self.status.set_phase(Phase::Open);
                return Some(lease);
            }
            Err(error) => error,
        };
        if self.is_open {
            self.status.record_failure(Operation::Writes, &error);
            let why = error.message().to_owned();
            self.status.set_phase(Phase::WithoutLease(why));
        } else {
            self.status.record_open_failure(&error);
        }
        self.claim_pause = match self.is_open || is_unavailable(&error) {
            true => (self.claim_pause * 2).min(CLAIM_PAUSE_MAX),
            false => OPEN_PAUSE,
        };
        self.claim_at = Some(Instant::now() + self.claim_pause);
        None
    }

    /// Probes whether DynamoDB accepts reads and writes again.
    async fn probe(&mut self) -> Option<LeaseEvent> {
        if self.is_denied() {
            self.connection.renew().await;
        }
        let tables = self.connection.tables().without_retries();
        let is_refused = self.status.refusal().is_some();
        let asked = async {
            let writes = async || probe::writes(&tables).await.map_err(of(Operation::Writes));
            let reads = async || probe::reads(&tables).await.map_err(of(Operation::Reads));
            // The refused kind of request is tried first.
            if is_refused {
                writes().await?;
                return reads().await;
            }
            reads().await?;
            writes().await
        };
        let probed = timeout(TIMEOUT, asked).await;
        let renewed = match probed.unwrap_or_else(|_| Err((Operation::Writes, timeout_error()))) {
            Ok(()) => self
                .renew_lease(&tables)
                .await
                .map_err(of(Operation::Writes)),
            Err(failed) => Err(failed),
        };
        let now = Instant::now();
        let mut event = None;
        match renewed {
            Ok(lost) => {
                // If an outage returns soon after a recovery, the pause between probes grows.
                let is_permanent = |at: Instant| now - at > PROBE_PAUSE_MAX;
                self.probe_pause = match self.recovered_at.is_none_or(is_permanent) {
                    true => PROBE_PAUSE_MIN,
                    false => (self.probe_pause * 2).min(PROBE_PAUSE_MAX),
                };
                self.recovered_at = Some(now);
                self.status.record_recovery();
                event = lost;
            }
            Err((operation, error)) => self.status.record_failure(operation, &error),
        }
        self.probe_at = now + self.probe_pause;
        event
    }

    fn is_denied(&self) -> bool {
        let refusal = self.status.refusal();
        refusal.is_some_and(|refusal| refusal.kind() == StoreErrorKind::Denied)
    }

    /// Renews the lease, if any, and reports a lost lease.
    async fn renew_lease(&mut self, tables: &Tables) -> Result<Option<LeaseEvent>, StoreError> {
        let Some(held) = &mut self.held else {
            return Ok(None);
        };
        held.renewals += 1;
        let Held {
            lease,
            owner,
            renewals,
        } = held;
        let renewal = lease::renew(tables, lease, owner, self.lease_duration, *renewals);
        let renewed = timeout(RENEWAL_TIMEOUT, renewal).await;
        let is_ours = renewed.unwrap_or_else(|_| Err(timeout_error()))?;
        Ok((!is_ours).then(|| LeaseEvent::Lost(owner.clone())))
    }

    /// Renews the lease, and frees the leases of dead replicas.
    async fn renew_and_free(&mut self) -> Option<LeaseEvent> {
        self.held.as_ref()?;
        let tables = self.connection.tables().without_retries();
        match self.renew_lease(&tables).await {
            Ok(None) => {}
            Ok(lost) => return lost,
            Err(error) => {
                self.status.record_failure(Operation::Writes, &error);
                return None;
            }
        }
        let freed = timeout(RENEWAL_TIMEOUT, self.free_dead_leases(&tables)).await;
        if let Ok(Err(error)) = freed {
            // The next renewal tries again.
            debug!(%error, "the slots of other replicas could not be watched");
        }
        None
    }

    async fn free_dead_leases(&mut self, tables: &Tables) -> Result<(), StoreError> {
        let leases = lease::read_all(tables).await?;
        let now = Instant::now();
        self.watch.observe(&leases, self.lease_duration, now);
        for (lease, heartbeat) in self.watch.dead(self.lease_duration, now) {
            let is_ours = self.held.as_ref().is_some_and(|held| held.lease == lease);
            if !is_ours && lease::release_dead(tables, &lease, &heartbeat).await? {
                info!(slot = lease, "the slot of a replica that is gone is free");
            }
        }
        Ok(())
    }

    /// Releases the lease.
    async fn release_lease(&mut self) {
        self.status.set_phase(Phase::Closed);
        let Some(held) = self.held.take() else {
            return;
        };
        let tables = self.connection.tables();
        let released = lease::release(&tables, &held.lease, &held.owner);
        let released = timeout(TIMEOUT, released).await;
        if let Err(error) = released.unwrap_or_else(|_| Err(timeout_error())) {
            warn!(%error, "the slot could not be given back; others free it when they see no sign of life of its owner");
        }
    }
}

fn of(operation: Operation) -> impl Fn(StoreError) -> (Operation, StoreError) {
    move |error| (operation, error)
}

/// Logs once where the readings are.
pub(crate) fn log_open(tables: &Tables, lease: &Lease) {
    info!(
        readings = tables.names.readings,
        aggregation = tables.names.aggregation,
        slot = lease.name,
        "readings are open"
    );
}

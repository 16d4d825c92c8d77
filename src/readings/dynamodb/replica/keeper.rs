//! The task that gets this replica a slot and keeps it, beside the readings: it opens the tables, claims a slot whenever the writer
//! has none, renews it, frees the slots of the dead, and looks, while there is trouble, whether it is over.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, timeout};
use tracing::{debug, info, warn};

use super::super::random::random_name;
use super::super::table::client::{Tables, is_away, no_answer};
use super::super::table::connection::Connection;
use super::super::table::probe;
use super::super::table::setup;
use super::super::url::DynamoOptions;
use super::lease::{self, Slot};
use super::liveness::Watch;
use super::status::{Phase, Side, Standing};
use crate::error::{StoreError, StoreErrorKind};

/// How often it looks whether there is something to do.
const TICK: Duration = Duration::from_millis(200);
/// How long one attempt at something may take.
const CLAIM_PATIENCE: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(4);
const RENEWAL_PATIENCE: Duration = Duration::from_secs(2);
/// How soon a slot is claimed again: the first time, and later.
const CLAIM_PAUSE_MIN: Duration = Duration::from_millis(200);
const CLAIM_PAUSE_MAX: Duration = Duration::from_secs(1);
/// How soon tables are looked at again that DynamoDB has answered about.
const OPEN_PAUSE: Duration = Duration::from_secs(3);
/// How often it is tried whether trouble is over; longer where it came back soon after it had seemed so.
const PROBE_PAUSE_MIN: Duration = Duration::from_secs(1);
const PROBE_PAUSE_MAX: Duration = Duration::from_secs(60);

/// What the writer asks for.
#[derive(Debug)]
pub(crate) enum Wish {
    /// A slot, in place of one that is lost if there was one.
    Slot,
    /// To let go of the slot and end.
    Close(oneshot::Sender<()>),
}

/// What the writer is told.
#[derive(Debug)]
pub(crate) enum News {
    Slot(Box<Slot>),
    /// This owner's slot is another replica's now.
    Lost(String),
}

pub(crate) struct Keeper {
    connection: Arc<Connection>,
    standing: Arc<Standing>,
    lease: Duration,
    is_open: bool,
    /// The name for the slot to be claimed: the same for all attempts, of which one may have gone through without an answer.
    owner: Option<String>,
    /// The names that this replica had.
    former: Vec<String>,
    held: Option<Held>,
    watch: Watch,
    /// When to claim; none while there is a slot.
    claim_at: Option<Instant>,
    claim_pause: Duration,
    probe_at: Instant,
    probe_pause: Duration,
    /// When trouble had last seemed to be over.
    sound_at: Option<Instant>,
}

#[derive(Debug)]
struct Held {
    slot: String,
    owner: String,
    renewals: u64,
}

impl Keeper {
    pub(crate) fn new(
        connection: Arc<Connection>,
        standing: Arc<Standing>,
        options: &DynamoOptions,
    ) -> Self {
        Self {
            connection,
            standing,
            lease: options.lease,
            is_open: false,
            owner: None,
            former: Vec::new(),
            held: None,
            watch: Watch::default(),
            claim_at: None,
            claim_pause: CLAIM_PAUSE_MIN,
            probe_at: Instant::now(),
            probe_pause: PROBE_PAUSE_MIN,
            sound_at: None,
        }
    }

    /// Whether the tables were found to be right.
    pub(crate) const fn is_open(&self) -> bool {
        self.is_open
    }

    /// Checks the tables unless that was done, and takes a slot.
    ///
    /// # Errors
    /// When DynamoDB is away, or has something against it: the message says what, and what helps.
    pub(crate) async fn obtain(&mut self, tables: &Tables) -> Result<Slot, StoreError> {
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
            None => self.owner.insert(random_name()?).clone(),
        };
        let watch = &mut self.watch;
        let slot = lease::claim(tables, &owner, &self.former, self.lease, watch).await?;
        self.owner = None;
        self.held = Some(Held {
            slot: slot.name.clone(),
            owner: slot.owner.clone(),
            renewals: 0,
        });
        Ok(slot)
    }

    /// Works until it is told to close, or until nobody can tell it any more.
    pub(crate) async fn run(mut self, mut wishes: mpsc::Receiver<Wish>, news: mpsc::Sender<News>) {
        let mut renewal = tokio::time::interval(self.lease / 4);
        renewal.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let told = tokio::select! {
                wish = wishes.recv() => match wish {
                    Some(Wish::Slot) => {
                        self.former.extend(self.held.take().map(|held| held.owner));
                        self.claim_at = Some(Instant::now());
                        self.claim_pause = CLAIM_PAUSE_MIN;
                        None
                    }
                    Some(Wish::Close(done)) => {
                        self.let_go().await;
                        // Whoever closed the store may have gone.
                        let _ = done.send(());
                        return;
                    }
                    None => return self.let_go().await,
                },
                _ = renewal.tick() => self.renew().await,
                _ = tick.tick() => self.tend().await,
            };
            if let Some(told) = told
                && news.send(told).await.is_err()
            {
                return self.let_go().await;
            }
        }
    }

    /// What is due: a claim, a look whether trouble is over.
    async fn tend(&mut self) -> Option<News> {
        let now = Instant::now();
        let mut news = None;
        if self.claim_at.is_some_and(|at| at <= now) {
            news = self.claim().await.map(|slot| News::Slot(Box::new(slot)));
        } else if self.claim_at.is_none() && self.standing.is_troubled() && self.probe_at <= now {
            news = self.look().await;
        }
        self.standing.settle();
        news
    }

    async fn claim(&mut self) -> Option<Slot> {
        let was_open = self.is_open;
        if self.is_denied() {
            self.connection.renew().await;
        }
        let tables = self.connection.tables().impatient();
        let claimed = timeout(CLAIM_PATIENCE, self.obtain(&tables)).await;
        let error = match claimed.unwrap_or_else(|_| Err(no_answer())) {
            Ok(slot) => {
                match was_open {
                    true => info!(slot = slot.name, "this replica has a slot again"),
                    false => said_open(&tables, &slot),
                }
                self.claim_at = None;
                match was_open {
                    // There is more to writing than a slot.
                    true => self.probe_at = Instant::now(),
                    false => self.standing.is_sound_again(),
                }
                self.standing.set_phase(Phase::Open);
                return Some(slot);
            }
            Err(error) => error,
        };
        if self.is_open {
            self.standing.failed(Side::Writes, &error);
            let why = error.message().to_owned();
            self.standing.set_phase(Phase::WithoutSlot(why));
        } else {
            self.standing.cannot_open(&error);
        }
        self.claim_pause = match self.is_open || is_away(&error) {
            true => (self.claim_pause * 2).min(CLAIM_PAUSE_MAX),
            false => OPEN_PAUSE,
        };
        self.claim_at = Some(Instant::now() + self.claim_pause);
        None
    }

    /// Looks whether DynamoDB takes everything again.
    async fn look(&mut self) -> Option<News> {
        if self.is_denied() {
            self.connection.renew().await;
        }
        let tables = self.connection.tables().impatient();
        let is_refused = self.standing.refusal().is_some();
        let asked = async {
            let writes = async || probe::writes(&tables).await.map_err(of(Side::Writes));
            let reads = async || probe::reads(&tables).await.map_err(of(Side::Reads));
            // What is known to be refused is asked for first, and the rest once that is allowed.
            if is_refused {
                writes().await?;
                return reads().await;
            }
            reads().await?;
            writes().await
        };
        let probed = timeout(PATIENCE, asked).await;
        let renewed = match probed.unwrap_or_else(|_| Err((Side::Writes, no_answer()))) {
            Ok(()) => self.show_life(&tables).await.map_err(of(Side::Writes)),
            Err(failed) => Err(failed),
        };
        let now = Instant::now();
        let mut news = None;
        match renewed {
            Ok(lost) => {
                // What comes back again and again is believed to be over more and more slowly.
                let is_lasting = |at: Instant| now - at > PROBE_PAUSE_MAX;
                self.probe_pause = match self.sound_at.is_none_or(is_lasting) {
                    true => PROBE_PAUSE_MIN,
                    false => (self.probe_pause * 2).min(PROBE_PAUSE_MAX),
                };
                self.sound_at = Some(now);
                self.standing.is_sound_again();
                news = lost;
            }
            Err((side, error)) => self.standing.failed(side, &error),
        }
        self.probe_at = now + self.probe_pause;
        news
    }

    fn is_denied(&self) -> bool {
        let refusal = self.standing.refusal();
        refusal.is_some_and(|refusal| refusal.kind() == StoreErrorKind::Denied)
    }

    /// Renews the slot if there is one. Says when it is no longer ours.
    async fn show_life(&mut self, tables: &Tables) -> Result<Option<News>, StoreError> {
        let Some(held) = &mut self.held else {
            return Ok(None);
        };
        held.renewals += 1;
        let Held {
            slot,
            owner,
            renewals,
        } = held;
        let renewal = lease::renew(tables, slot, owner, self.lease, *renewals);
        let renewed = timeout(RENEWAL_PATIENCE, renewal).await;
        let is_ours = renewed.unwrap_or_else(|_| Err(no_answer()))?;
        Ok((!is_ours).then(|| News::Lost(owner.clone())))
    }

    /// Shows that this replica is alive, and frees the slots of those that are not.
    async fn renew(&mut self) -> Option<News> {
        self.held.as_ref()?;
        let tables = self.connection.tables().impatient();
        match self.show_life(&tables).await {
            Ok(None) => {}
            Ok(lost) => return lost,
            Err(error) => {
                self.standing.failed(Side::Writes, &error);
                return None;
            }
        }
        let freed = timeout(RENEWAL_PATIENCE, self.free_the_dead(&tables)).await;
        if let Ok(Err(error)) = freed {
            // The next time is soon enough.
            debug!(%error, "the slots of other replicas could not be watched");
        }
        None
    }

    async fn free_the_dead(&mut self, tables: &Tables) -> Result<(), StoreError> {
        let slots = lease::read_all(tables).await?;
        let now = Instant::now();
        self.watch.note(&slots, self.lease, now);
        for (slot, beat) in self.watch.dead(self.lease, now) {
            let is_ours = self.held.as_ref().is_some_and(|held| held.slot == slot);
            if !is_ours && lease::release_dead(tables, &slot, &beat).await? {
                info!(slot, "the slot of a replica that is gone is free");
            }
        }
        Ok(())
    }

    /// Gives the slot back.
    async fn let_go(&mut self) {
        self.standing.set_phase(Phase::Closed);
        let Some(held) = self.held.take() else {
            return;
        };
        let tables = self.connection.tables();
        let released = lease::release(&tables, &held.slot, &held.owner);
        let released = timeout(PATIENCE, released).await;
        if let Err(error) = released.unwrap_or_else(|_| Err(no_answer())) {
            warn!(%error, "the slot could not be given back; others free it when they see no sign of life of its owner");
        }
    }
}

fn of(side: Side) -> impl Fn(StoreError) -> (Side, StoreError) {
    move |error| (side, error)
}

/// Says where readings are, once.
pub(crate) fn said_open(tables: &Tables, slot: &Slot) {
    info!(
        readings = tables.names.readings,
        aggregation = tables.names.aggregation,
        slot = slot.name,
        "readings are open"
    );
}

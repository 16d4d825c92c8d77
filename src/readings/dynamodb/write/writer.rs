//! The one task that decides what is written next: it takes readings as they come, and keeps a few transactions in flight.
//!
//! A transaction that runs alone takes whatever is in line; another one beside it only starts when it would be well filled. So
//! a single client waits for nobody, and many clients share few requests. Those who were answered together mostly come back
//! together: the next transaction gives them a moment for that, unless as many wait as before or it is full. No two transactions
//! in flight touch one sensor, so that this replica never stands in its own way and a sensor's readings keep their order.

mod flights;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};
use tracing::warn;

use super::super::replica::keeper::{News, Wish};
use super::super::replica::lease::Slot;
use super::super::replica::status::{Phase, Standing};
use super::super::table::backoff::Pauses;
use super::super::table::connection::Connection;
use super::super::table::items::LANES;
use super::super::url::DynamoOptions;
use super::group::Done;
use super::known_sensor::KnownSensor;
use super::linger::Gathering;
use super::queue::{Line, Pending};
use super::sensor_limit::Census;
use super::submission::{Submission, Submissions};
use crate::readings::{RecordMode, SensorId};

/// What the writer is asked to do.
#[derive(Debug)]
pub(crate) enum Order {
    Record(Submission),
    Close(oneshot::Sender<()>),
}

/// Where what the writer takes part in is.
pub(crate) struct Surroundings {
    pub(crate) connection: Arc<Connection>,
    pub(crate) options: DynamoOptions,
    pub(crate) standing: Arc<Standing>,
    /// How many readings are in line or in flight.
    pub(crate) waiting: Arc<AtomicUsize>,
    /// To the keeper of the slot, and from it.
    pub(crate) wishes: mpsc::Sender<Wish>,
    pub(crate) news: mpsc::Receiver<News>,
}

pub(crate) struct Writer {
    connection: Arc<Connection>,
    options: DynamoOptions,
    standing: Arc<Standing>,
    wishes: mpsc::Sender<Wish>,
    news: mpsc::Receiver<News>,
    slot: Option<Slot>,
    /// Whether a slot was asked for.
    has_asked: bool,
    /// The lanes that no transaction is in flight on.
    idle: Vec<usize>,
    known: HashMap<SensorId, KnownSensor>,
    /// Sensors that a transaction in flight touches.
    busy: HashSet<SensorId>,
    line: Line,
    census: Arc<Census>,
    submissions: Submissions,
    flights: JoinSet<Done>,
    look_first: bool,
    gathering: Option<Gathering>,
    /// Between attempts, while one after the other fails.
    pauses: Pauses,
    waiting: Arc<AtomicUsize>,
}

impl Writer {
    pub(crate) fn new(surroundings: Surroundings, slot: Option<Slot>) -> Self {
        let Surroundings {
            connection,
            options,
            standing,
            waiting,
            wishes,
            news,
        } = surroundings;
        Self {
            connection,
            idle: all_lanes(&options),
            options,
            standing,
            wishes,
            news,
            slot,
            has_asked: false,
            known: HashMap::new(),
            busy: HashSet::new(),
            line: Line::default(),
            census: Arc::default(),
            submissions: Submissions::default(),
            flights: JoinSet::new(),
            look_first: false,
            gathering: None,
            pauses: Pauses::default(),
            waiting,
        }
    }

    /// Works until it is closed, or until nobody can send orders any more.
    pub(crate) async fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        let mut expiry = tokio::time::interval(Duration::from_millis(250));
        expiry.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.ask_for_slot();
            self.start_transactions();
            tokio::select! {
                order = orders.recv() => match order {
                    Some(Order::Record(submission)) => self.enlist(submission),
                    Some(Order::Close(done)) => {
                        self.finish().await;
                        // Whoever closed the store may have gone.
                        let _ = done.send(());
                        return;
                    }
                    None => return self.finish().await,
                },
                Some(done) = self.flights.join_next(), if !self.flights.is_empty() => match done {
                    Ok(done) => self.landed(done),
                    Err(error) => {
                        warn!(%error, "a transaction's task has ended without an answer");
                        self.lose_slot("a task has ended");
                    }
                },
                Some(news) = self.news.recv() => self.hear(news),
                () = gathered(self.gathering.as_ref()), if self.gathering.is_some() => self.gathering = None,
                () = self.pauses.over(), if self.pauses.is_pausing() => {}
                _ = expiry.tick() => self.expire(),
            }
            // What else is there already goes into the same transaction.
            while let Ok(order) = orders.try_recv() {
                match order {
                    Order::Record(submission) => self.enlist(submission),
                    Order::Close(done) => {
                        self.finish().await;
                        let _ = done.send(());
                        return;
                    }
                }
            }
        }
    }

    /// Asks for a slot when there is none, once nothing is in flight on the one before.
    fn ask_for_slot(&mut self) {
        if self.slot.is_none() && self.flights.is_empty() && !self.has_asked {
            // There is room for it, since nothing else was asked for since the last answer.
            self.has_asked = self.wishes.try_send(Wish::Slot).is_ok();
        }
    }

    fn hear(&mut self, news: News) {
        match news {
            News::Slot(slot) => {
                self.has_asked = false;
                self.slot = Some(*slot);
                self.busy.clear();
                self.idle = all_lanes(&self.options);
            }
            News::Lost(owner) => {
                if self.slot.as_ref().is_some_and(|slot| slot.owner == owner) {
                    self.lose_slot(
                        "another replica took it, which saw no sign of life of this one",
                    );
                }
            }
        }
    }

    fn enlist(&mut self, submission: Submission) {
        let sensors = submission.batch.sensors().to_vec();
        let readings: Vec<_> = submission.batch.readings().to_vec();
        let all_or_nothing = submission.mode == RecordMode::AllOrNothing;
        let number = self.submissions.add(submission);
        let batch = readings
            .into_iter()
            .enumerate()
            .filter_map(|(index, reading)| {
                Some(Pending {
                    submission: number,
                    index: index as u32,
                    all_or_nothing,
                    sensor: sensors.get(reading.sensor as usize)?.clone(),
                    point: reading.point,
                    items: 0,
                })
            });
        self.line.push(batch, &self.known);
    }

    fn count_down(&self, readings: usize) {
        self.waiting.fetch_sub(readings, Ordering::Relaxed);
    }

    /// Answers whose time has passed, or all when waiting is no use. Their readings leave the line; those in flight may yet be stored.
    fn expire(&mut self) {
        if let Some(refusal) = self.standing.refusal() {
            self.submissions.remember_all(&refusal);
            self.submissions.fail_all();
        } else if self.slot.is_none()
            && let Err(why) = self.standing.may_write()
        {
            self.submissions.remember_all(&why);
        }
        self.submissions.expire(Instant::now());
        if self.submissions.has_gone() {
            let before = self.line.len();
            let submissions = &self.submissions;
            self.line
                .retain(|pending| submissions.deadline(pending.submission).is_some());
            self.count_down(before - self.line.len());
            self.submissions.forget_gone();
        }
    }

    fn lose_slot(&mut self, why: &str) {
        if let Some(slot) = self.slot.take() {
            warn!(slot = slot.name, why, "the slot of this replica is lost");
            self.standing.set_phase(Phase::WithoutSlot(why.to_owned()));
        }
        self.known.clear();
    }

    /// Lets what is in flight and in line end, and the slot be given back.
    async fn finish(&mut self) {
        const TICK: Duration = Duration::from_millis(20);
        self.standing.set_phase(Phase::Closed);
        while !self.flights.is_empty() || (self.slot.is_some() && !self.line.is_empty()) {
            // Nobody comes back any more.
            self.gathering = None;
            self.start_transactions();
            match self.flights.join_next().await {
                Some(Ok(done)) => self.landed(done),
                Some(Err(_)) => self.lose_slot("a task has ended"),
                // It pauses.
                None => tokio::time::sleep(TICK).await,
            }
            self.expire();
        }
        let (done, is_done) = oneshot::channel();
        if self.wishes.send(Wish::Close(done)).await.is_ok() {
            // The keeper takes a few seconds at most.
            let _ = is_done.await;
        }
        self.standing.set_phase(Phase::Closed);
    }
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Writer {{ in line: {} }}", self.line.len())
    }
}

async fn gathered(gathering: Option<&Gathering>) {
    if let Some(gathering) = gathering {
        gathering.end().await;
    }
}

/// The lanes that may be used, the first one at the end, where it is taken from.
fn all_lanes(options: &DynamoOptions) -> Vec<usize> {
    (0..options.transactions_max.clamp(1, LANES))
        .rev()
        .collect()
}

//! The one task that decides what is written next: it takes readings as they come, and keeps a few transactions in flight.
//!
//! A transaction that runs alone takes whatever is in line; another one beside it only starts when it would be well filled. So
//! a single client waits for nobody, and many clients share few requests. Those who were answered together mostly come back
//! together: the next transaction gives them a moment for that, unless as many wait as before or it is full. No two transactions
//! in flight touch one sensor, so that this replica never stands in its own way and a sensor's readings keep their order.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};
use tracing::{debug, warn};

use super::census::Census;
use super::client::BATCH_KEYS_MAX;
use super::connection::Connection;
use super::gathering::Gathering;
use super::group::{self, Done, Settled, Task};
use super::items::LANES;
use super::keeper::{News, Wish};
use super::line::{Chosen, Line, Pending};
use super::location::DynamoOptions;
use super::plan::KnownSensor;
use super::send::Backoff;
use super::slots::Slot;
use super::standing::{Phase, Side, Standing};
use super::submission::{Submission, Submissions};
use super::transaction::Author;
use crate::error::{StoreError, StoreErrorKind};
use crate::readings::{RecordMode, SensorId};

/// From how many readings or items on a group starts beside transactions in flight: half a transaction's.
const BESIDE_READINGS_MIN: usize = 24;
const BESIDE_ITEMS_MIN: usize = 48;
/// How many sensors are looked up with one request.
const LOOKED_UP_MAX: usize = BATCH_KEYS_MAX / 2;
/// How many sensors' cells are remembered; about 400 bytes each.
const KNOWN_SENSORS_MAX: usize = 50_000;
/// How long before its deadline a batch that cannot be stored is given up, so that why is known by then.
const ANSWER_TIME: Duration = Duration::from_millis(100);
/// What the writer is asked to do.
#[derive(Debug)]
pub(super) enum Order {
    Record(Submission),
    Close(oneshot::Sender<()>),
}

/// Where what the writer takes part in is.
pub(super) struct Surroundings {
    pub(super) connection: Arc<Connection>,
    pub(super) options: DynamoOptions,
    pub(super) standing: Arc<Standing>,
    /// How many readings are in line or in flight.
    pub(super) waiting: Arc<AtomicUsize>,
    /// To the keeper of the slot, and from it.
    pub(super) wishes: mpsc::Sender<Wish>,
    pub(super) news: mpsc::Receiver<News>,
}

pub(super) struct Writer {
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
    /// The pauses between attempts, while one after the other fails, and when the present one ends.
    pauses: Option<(Backoff, Instant)>,
    waiting: Arc<AtomicUsize>,
}

impl Writer {
    pub(super) fn new(surroundings: Surroundings, slot: Option<Slot>) -> Self {
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
            pauses: None,
            waiting,
        }
    }

    /// Works until it is closed, or until nobody can send orders any more.
    pub(super) async fn run(mut self, mut orders: mpsc::Receiver<Order>) {
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
                () = rested(self.pauses.as_ref()), if self.is_pausing() => {}
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

    fn start_transactions(&mut self) {
        while self.slot.is_some() && !self.line.is_empty() && !self.is_pausing() {
            let alone = self.flights.is_empty();
            // While nothing goes well, one at a time tells enough.
            if !alone && self.pauses.is_some() {
                return;
            }
            let fills_one = self.line.fills_one();
            if self.idle.is_empty() || (!alone && !fills_one) {
                return;
            }
            if alone && !fills_one && self.is_gathering() {
                return;
            }
            let Chosen { readings, items } = self.line.next_group(&self.busy, &self.known);
            let is_small = readings.len() < BESIDE_READINGS_MIN && items < BESIDE_ITEMS_MIN;
            if readings.is_empty() || (!alone && is_small) {
                // Nearly all of them wait for a transaction in flight.
                self.line.put_back(readings);
                return;
            }
            self.start(readings);
        }
    }

    /// Whether more is expected in a moment.
    fn is_gathering(&self) -> bool {
        let waiting = self.submissions.len();
        let gathering = self.gathering.as_ref();
        gathering.is_some_and(|gathering| gathering.goes_on(waiting))
    }

    fn start(&mut self, readings: Vec<Pending>) {
        let (Some(slot), Some(lane_index)) = (&self.slot, self.idle.pop()) else {
            return self.line.put_back(readings);
        };
        let deadline = readings
            .iter()
            .filter_map(|pending| self.submissions.deadline(pending.submission))
            .min()
            .unwrap_or_else(|| Instant::now() + self.options.write_deadline)
            - ANSWER_TIME;
        let mut known = HashMap::new();
        let mut unknown_count = 0;
        for pending in &readings {
            if self.busy.insert(pending.sensor.clone()) {
                match self.known.remove(&pending.sensor) {
                    Some(sensor) => drop(known.insert(pending.sensor.clone(), sensor)),
                    None => unknown_count += 1,
                }
            }
        }
        // A request for some of the sensors may just as well ask for those that come next.
        let ahead = match unknown_count {
            0 => Vec::new(),
            count => {
                let more = LOOKED_UP_MAX.saturating_sub(count);
                self.line.unknown_sensors(&self.busy, &self.known, more)
            }
        };
        let task = Task {
            tables: self.connection.tables(),
            standing: Arc::clone(&self.standing),
            author: Author {
                slot: slot.name.clone(),
                lane_index,
                lane: slot.lanes.get(lane_index).cloned().unwrap_or_default(),
                mark: String::new(),
            },
            readings,
            known,
            ahead,
            census: Arc::clone(&self.census),
            look_first: self.look_first,
            sensors_max: self.options.sensors_max,
            deadline,
        };
        self.gathering = None;
        self.flights.spawn(group::store(task));
    }

    fn landed(&mut self, done: Done) {
        for sensor in &done.sensors {
            self.busy.remove(sensor);
        }
        self.idle.push(done.author.lane_index);
        let ours = self
            .slot
            .as_mut()
            .filter(|slot| slot.owner == done.author.lane.owner);
        if let Some(slot) = ours {
            if let Some(lane) = slot.lanes.get_mut(done.author.lane_index) {
                *lane = done.author.lane;
            }
            if self.known.len() + done.known.len() + done.ahead.len() > KNOWN_SENSORS_MAX {
                // Whoever is asked for again is looked up again, a request for fifty of them.
                self.known.clear();
            }
            self.known.extend(done.known);
            for (sensor, known) in done.ahead {
                // Whoever has written to it since knows better.
                if !self.busy.contains(&sensor) {
                    self.known.entry(sensor).or_insert(known);
                }
            }
        }
        self.look_first = done.mostly_stored;
        self.gathering = Some(Gathering::after(done.took, self.submissions.len()));
        let mut finished = 0;
        for (pending, settled) in done.settled {
            finished += 1;
            let answer = match settled {
                Settled::Stored(disposition) => Ok(disposition),
                Settled::NoRoom => Err(too_many_sensors(self.options.sensors_max)),
            };
            self.submissions
                .settle(pending.submission, pending.index, answer);
        }
        if let Some(failure) = done.failure {
            debug!(error = %failure, readings = done.again.len(), "readings are not stored yet");
            self.standing.failed(Side::Writes, &failure);
            self.pause();
            self.submissions
                .remember(done.again.iter().map(|it| it.submission), &failure);
            if matches!(
                failure.kind(),
                StoreErrorKind::Internal | StoreErrorKind::Damaged
            ) {
                let failed: HashSet<_> = done.again.iter().map(|it| it.submission).collect();
                failed
                    .into_iter()
                    .for_each(|number| self.submissions.fail(number));
            }
        } else {
            self.pauses = None;
        }
        self.count_down(finished);
        let again: Vec<_> = done.again;
        let (alive, gone): (Vec<_>, Vec<_>) = again
            .into_iter()
            .partition(|pending| self.submissions.deadline(pending.submission).is_some());
        self.count_down(gone.len());
        self.line.put_back(alive);
        self.expire();
        if done.fenced {
            self.lose_slot("another replica has taken it over, or a recount is running");
        }
    }

    fn count_down(&self, readings: usize) {
        self.waiting.fetch_sub(readings, Ordering::Relaxed);
    }

    /// Waits a little before something is tried again, longer each time.
    fn pause(&mut self) {
        let (mut backoff, _) = self
            .pauses
            .take()
            .unwrap_or_else(|| (Backoff::new(), Instant::now()));
        let until = Instant::now() + backoff.next();
        self.pauses = Some((backoff, until));
    }

    fn is_pausing(&self) -> bool {
        let until = self.pauses.as_ref().map(|(_, until)| *until);
        until.is_some_and(|until| until > Instant::now())
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

async fn rested(pauses: Option<&(Backoff, Instant)>) {
    if let Some((_, until)) = pauses {
        tokio::time::sleep_until(*until).await;
    }
}

/// The lanes that may be used, the first one at the end, where it is taken from.
fn all_lanes(options: &DynamoOptions) -> Vec<usize> {
    (0..options.transactions_max.clamp(1, LANES))
        .rev()
        .collect()
}

/// The message of [`StoreErrorKind::TooManySensors`].
fn too_many_sensors(sensors_max: u64) -> StoreError {
    StoreError::new(
        StoreErrorKind::TooManySensors,
        format!(
            "the sensor is new, and {sensors_max} sensors, which is the limit, are known already; check whether ids are made up \
             anew each time, or raise --sensors-max"
        ),
    )
}

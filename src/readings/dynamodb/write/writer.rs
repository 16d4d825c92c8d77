//! The task that chooses the next readings to write: the task queues readings, and keeps a few transactions in flight.
//!
//! When no transaction is in flight, the next transaction takes everything in the queue. Beside others, a transaction only starts
//! when the transaction is well filled. So a single client waits for nobody, and many clients share few requests. Clients answered
//! together mostly send again together. So the next transaction waits for a moment, unless as many batches wait as before or the
//! transaction is full. No two transactions in flight touch the same sensor. So this replica does not conflict with itself, and
//! the readings of a sensor keep their order.

mod in_flight;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};
use tracing::warn;

use super::super::replica::lease::Lease;
use super::super::replica::lease_manager::{LeaseEvent, LeaseRequest};
use super::super::replica::status::{Phase, StoreStatus};
use super::super::table::backoff::Pauses;
use super::super::table::connection::Connection;
use super::super::table::items::WRITE_SHARDS;
use super::super::url::DynamoOptions;
use super::group::GroupResult;
use super::known_sensor::KnownSensor;
use super::linger::Linger;
use super::queue::{Pending, WriteQueue};
use super::sensor_limit::SensorLimit;
use super::submission::{Submission, Submissions};
use crate::readings::{RecordMode, SensorId};

/// A command to the writer.
#[derive(Debug)]
pub(crate) enum WriterCommand {
    Record(Submission),
    Close(oneshot::Sender<()>),
}

/// The part that the writer shares with the store and the lease manager.
pub(crate) struct WriterContext {
    pub(crate) connection: Arc<Connection>,
    pub(crate) options: DynamoOptions,
    pub(crate) status: Arc<StoreStatus>,
    /// How many readings are in the queue or in flight.
    pub(crate) waiting: Arc<AtomicUsize>,
    /// The channels to and from the lease manager.
    pub(crate) lease_requests: mpsc::Sender<LeaseRequest>,
    pub(crate) lease_events: mpsc::Receiver<LeaseEvent>,
}

pub(crate) struct Writer {
    connection: Arc<Connection>,
    options: DynamoOptions,
    status: Arc<StoreStatus>,
    lease_requests: mpsc::Sender<LeaseRequest>,
    lease_events: mpsc::Receiver<LeaseEvent>,
    lease: Option<Lease>,
    /// Whether a lease was requested.
    has_asked: bool,
    /// The write shards without a transaction in flight.
    idle: Vec<usize>,
    known: HashMap<SensorId, KnownSensor>,
    /// Sensors in a transaction in flight.
    busy: HashSet<SensorId>,
    queue: WriteQueue,
    sensor_limit: Arc<SensorLimit>,
    submissions: Submissions,
    in_flight: JoinSet<GroupResult>,
    reads_before_write: bool,
    linger: Option<Linger>,
    /// The pauses between attempts while transactions fail.
    pauses: Pauses,
    waiting: Arc<AtomicUsize>,
}

impl Writer {
    pub(crate) fn new(context: WriterContext, lease: Option<Lease>) -> Self {
        let WriterContext {
            connection,
            options,
            status,
            waiting,
            lease_requests,
            lease_events,
        } = context;
        Self {
            connection,
            idle: all_shards(&options),
            options,
            status,
            lease_requests,
            lease_events,
            lease,
            has_asked: false,
            known: HashMap::new(),
            busy: HashSet::new(),
            queue: WriteQueue::default(),
            sensor_limit: Arc::default(),
            submissions: Submissions::default(),
            in_flight: JoinSet::new(),
            reads_before_write: false,
            linger: None,
            pauses: Pauses::default(),
            waiting,
        }
    }

    /// Runs until the store closes, or is dropped.
    pub(crate) async fn run(mut self, mut commands: mpsc::Receiver<WriterCommand>) {
        let mut expiry = tokio::time::interval(Duration::from_millis(250));
        expiry.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.request_lease();
            self.start_transactions();
            tokio::select! {
                command = commands.recv() => match command {
                    Some(WriterCommand::Record(submission)) => self.enqueue(submission),
                    Some(WriterCommand::Close(done)) => {
                        self.finish().await;
                        // The receiver is gone when the close was cancelled.
                        let _ = done.send(());
                        return;
                    }
                    None => return self.finish().await,
                },
                Some(done) = self.in_flight.join_next(), if !self.in_flight.is_empty() => match done {
                    Ok(done) => self.on_group_done(done),
                    Err(error) => {
                        warn!(%error, "a transaction's task has ended without an answer");
                        self.lose_lease("a task has ended");
                    }
                },
                Some(event) = self.lease_events.recv() => self.on_lease_event(event),
                () = lingered(self.linger.as_ref()), if self.linger.is_some() => self.linger = None,
                () = self.pauses.over(), if self.pauses.is_pausing() => {}
                _ = expiry.tick() => self.expire(),
            }
            // Commands that are already there go into the same transaction.
            while let Ok(command) = commands.try_recv() {
                match command {
                    WriterCommand::Record(submission) => self.enqueue(submission),
                    WriterCommand::Close(done) => {
                        self.finish().await;
                        let _ = done.send(());
                        return;
                    }
                }
            }
        }
    }

    /// Requests a lease if the writer has none, and nothing is in flight on the last lease.
    fn request_lease(&mut self) {
        if self.lease.is_none() && self.in_flight.is_empty() && !self.has_asked {
            // The channel has room, because only one request is made at a time.
            self.has_asked = self.lease_requests.try_send(LeaseRequest::Acquire).is_ok();
        }
    }

    fn on_lease_event(&mut self, event: LeaseEvent) {
        match event {
            LeaseEvent::Acquired(lease) => {
                self.has_asked = false;
                self.lease = Some(*lease);
                self.busy.clear();
                self.idle = all_shards(&self.options);
            }
            LeaseEvent::Lost(owner) => {
                if self
                    .lease
                    .as_ref()
                    .is_some_and(|lease| lease.owner == owner)
                {
                    self.lose_lease(
                        "another replica took it, which saw no sign of life of this one",
                    );
                }
            }
        }
    }

    fn enqueue(&mut self, submission: Submission) {
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
        self.queue.push(batch, &self.known);
    }

    fn count_down(&self, readings: usize) {
        self.waiting.fetch_sub(readings, Ordering::Relaxed);
    }

    /// Answers the batches past their deadline, or all batches when DynamoDB refuses writes. Their readings leave the queue;
    /// readings in flight may still be stored.
    fn expire(&mut self) {
        if let Some(refusal) = self.status.refusal() {
            self.submissions.note_error_of_all(&refusal);
            self.submissions.give_up_all();
        } else if self.lease.is_none()
            && let Err(why) = self.status.may_write()
        {
            self.submissions.note_error_of_all(&why);
        }
        self.submissions.expire(Instant::now());
        if self.submissions.has_given_up() {
            let before = self.queue.len();
            let submissions = &self.submissions;
            self.queue
                .retain(|pending| submissions.deadline(pending.submission).is_some());
            self.count_down(before - self.queue.len());
            self.submissions.clear_given_up();
        }
    }

    fn lose_lease(&mut self, why: &str) {
        if let Some(lease) = self.lease.take() {
            warn!(slot = lease.name, why, "the slot of this replica is lost");
            self.status.set_phase(Phase::WithoutLease(why.to_owned()));
        }
        self.known.clear();
    }

    /// Waits for the readings in flight and in the queue, and releases the lease.
    async fn finish(&mut self) {
        const TICK: Duration = Duration::from_millis(20);
        self.status.set_phase(Phase::Closed);
        while !self.in_flight.is_empty() || (self.lease.is_some() && !self.queue.is_empty()) {
            // No client will send more.
            self.linger = None;
            self.start_transactions();
            match self.in_flight.join_next().await {
                Some(Ok(done)) => self.on_group_done(done),
                Some(Err(_)) => self.lose_lease("a task has ended"),
                // The writer pauses between attempts.
                None => tokio::time::sleep(TICK).await,
            }
            self.expire();
        }
        let (done, is_done) = oneshot::channel();
        if self
            .lease_requests
            .send(LeaseRequest::Close(done))
            .await
            .is_ok()
        {
            // The lease manager needs a few seconds at most.
            let _ = is_done.await;
        }
        self.status.set_phase(Phase::Closed);
    }
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Writer {{ in line: {} }}", self.queue.len())
    }
}

async fn lingered(linger: Option<&Linger>) {
    if let Some(linger) = linger {
        linger.wait().await;
    }
}

/// The usable write shards. The first shard is last, because shards are taken from the end.
fn all_shards(options: &DynamoOptions) -> Vec<usize> {
    (0..options.transactions_max.clamp(1, WRITE_SHARDS))
        .rev()
        .collect()
}

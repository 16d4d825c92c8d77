//! Transactions in flight: chooses the next readings, and applies the results.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::debug;

use super::super::group::{self, GroupResult, GroupTask, ReadingResult};
use super::super::linger::Linger;
use super::super::queue::{NextGroup, Pending};
use super::super::transaction::Attempt;
use super::Writer;
use crate::error::{StoreError, StoreErrorKind};
use crate::readings::dynamodb::replica::status::Operation;
use crate::readings::dynamodb::table::client::BATCH_KEYS_MAX;

/// With this many readings or items (half a transaction), a transaction starts beside others.
const BESIDE_READINGS_MIN: usize = 24;
const BESIDE_ITEMS_MIN: usize = 48;
/// How many sensors a request looks up.
const LOOKED_UP_MAX: usize = BATCH_KEYS_MAX / 2;
/// How many sensors are kept as known; about 400 bytes each.
const KNOWN_SENSORS_MAX: usize = 50_000;
/// How long before the deadline a batch is given up, so that the reason is known by then.
const ANSWER_TIME: Duration = Duration::from_millis(100);
impl Writer {
    pub(super) fn start_transactions(&mut self) {
        while self.lease.is_some() && !self.queue.is_empty() && !self.pauses.is_pausing() {
            let alone = self.in_flight.is_empty();
            // While transactions fail, a single transaction at a time is enough.
            if !alone && self.pauses.is_failing() {
                return;
            }
            let fills_one = self.queue.fills_one();
            if self.idle.is_empty() || (!alone && !fills_one) {
                return;
            }
            if alone && !fills_one && self.is_lingering() {
                return;
            }
            let NextGroup { readings, items } = self.queue.next_group(&self.busy, &self.known);
            let is_small = readings.len() < BESIDE_READINGS_MIN && items < BESIDE_ITEMS_MIN;
            if readings.is_empty() || (!alone && is_small) {
                // Most readings wait for a sensor in flight.
                self.queue.put_back(readings);
                return;
            }
            self.start(readings);
        }
    }

    /// Whether more batches are expected in a moment.
    fn is_lingering(&self) -> bool {
        let waiting = self.submissions.len();
        let linger = self.linger.as_ref();
        linger.is_some_and(|linger| linger.continues(waiting))
    }

    fn start(&mut self, readings: Vec<Pending>) {
        let (Some(lease), Some(shard_index)) = (&self.lease, self.idle.pop()) else {
            return self.queue.put_back(readings);
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
        // A request for some sensors may also ask for the next sensors in the queue.
        let prefetched = match unknown_count {
            0 => Vec::new(),
            count => {
                let more = LOOKED_UP_MAX.saturating_sub(count);
                self.queue.unknown_sensors(&self.busy, &self.known, more)
            }
        };
        let task = GroupTask {
            tables: self.connection.tables(),
            status: Arc::clone(&self.status),
            attempt: Attempt {
                lease: lease.name.clone(),
                shard_index,
                shard: lease.shards.get(shard_index).cloned().unwrap_or_default(),
                attempt_id: String::new(),
            },
            readings,
            known,
            prefetched,
            sensor_limit: Arc::clone(&self.sensor_limit),
            reads_before_write: self.reads_before_write,
            sensors_max: self.options.sensors_max,
            deadline,
        };
        self.linger = None;
        self.in_flight.spawn(group::store(task));
    }

    pub(super) fn on_group_done(&mut self, done: GroupResult) {
        for sensor in &done.sensors {
            self.busy.remove(sensor);
        }
        self.idle.push(done.attempt.shard_index);
        let ours = self
            .lease
            .as_mut()
            .filter(|lease| lease.owner == done.attempt.shard.owner);
        if let Some(lease) = ours {
            if let Some(shard) = lease.shards.get_mut(done.attempt.shard_index) {
                *shard = done.attempt.shard;
            }
            if self.known.len() + done.known.len() + done.prefetched.len() > KNOWN_SENSORS_MAX {
                // Sensors needed again are looked up again, fifty with a request.
                self.known.clear();
            }
            self.known.extend(done.known);
            for (sensor, known) in done.prefetched {
                // A busy sensor is in another transaction. The result of this transaction is newer than the lookup.
                if !self.busy.contains(&sensor) {
                    self.known.entry(sensor).or_insert(known);
                }
            }
        }
        self.reads_before_write = done.mostly_stored;
        self.linger = Some(Linger::after(done.elapsed, self.submissions.len()));
        let mut finished_count = 0;
        for (pending, finished) in done.finished {
            finished_count += 1;
            let answer = match finished {
                ReadingResult::Stored(outcome) => Ok(outcome),
                ReadingResult::SensorLimitReached => {
                    Err(too_many_sensors(self.options.sensors_max))
                }
            };
            self.submissions
                .finish(pending.submission, pending.index, answer);
        }
        if let Some(failure) = done.failure {
            debug!(error = %failure, readings = done.to_retry.len(), "readings are not stored yet");
            self.status.record_failure(Operation::Writes, &failure);
            self.pauses.begin();
            self.submissions
                .note_error(done.to_retry.iter().map(|it| it.submission), &failure);
            if matches!(
                failure.kind(),
                StoreErrorKind::Internal | StoreErrorKind::Damaged
            ) {
                let failed: HashSet<_> = done.to_retry.iter().map(|it| it.submission).collect();
                failed
                    .into_iter()
                    .for_each(|number| self.submissions.give_up(number));
            }
        } else {
            self.pauses.end();
        }
        self.count_down(finished_count);
        let to_retry: Vec<_> = done.to_retry;
        let (alive, given_up): (Vec<_>, Vec<_>) = to_retry
            .into_iter()
            .partition(|pending| self.submissions.deadline(pending.submission).is_some());
        self.count_down(given_up.len());
        self.queue.put_back(alive);
        self.expire();
        if done.fenced {
            self.lose_lease("another replica has taken it over, or a recount is running");
        }
    }
}

/// The error of [`StoreErrorKind::TooManySensors`].
fn too_many_sensors(sensors_max: u64) -> StoreError {
    StoreError::new(
        StoreErrorKind::TooManySensors,
        format!(
            "the sensor is new, and {sensors_max} sensors, which is the limit, are known already; check whether ids are made up \
             anew each time, or raise --sensors-max"
        ),
    )
}

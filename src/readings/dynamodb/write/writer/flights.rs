//! Transactions on their way: which readings go next, and what became of those that went.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::debug;

use super::super::group::{self, Done, Settled, Task};
use super::super::linger::Gathering;
use super::super::queue::{Chosen, Pending};
use super::super::transaction::Author;
use super::Writer;
use crate::error::{StoreError, StoreErrorKind};
use crate::readings::dynamodb::replica::status::Side;
use crate::readings::dynamodb::table::client::BATCH_KEYS_MAX;

/// From how many readings or items on a group starts beside transactions in flight: half a transaction's.
const BESIDE_READINGS_MIN: usize = 24;
const BESIDE_ITEMS_MIN: usize = 48;
/// How many sensors are looked up with one request.
const LOOKED_UP_MAX: usize = BATCH_KEYS_MAX / 2;
/// How many sensors' cells are remembered; about 400 bytes each.
const KNOWN_SENSORS_MAX: usize = 50_000;
/// How long before its deadline a batch that cannot be stored is given up, so that why is known by then.
const ANSWER_TIME: Duration = Duration::from_millis(100);
impl Writer {
    pub(super) fn start_transactions(&mut self) {
        while self.slot.is_some() && !self.line.is_empty() && !self.pauses.is_pausing() {
            let alone = self.flights.is_empty();
            // While nothing goes well, one at a time tells enough.
            if !alone && self.pauses.is_failing() {
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

    pub(super) fn landed(&mut self, done: Done) {
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
            self.pauses.begin();
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
            self.pauses.end();
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

//! The write queue: holds readings in order of arrival, and chooses the readings of the next transaction.

use std::collections::{HashMap, HashSet, VecDeque};

use super::super::table::items::PartialStats;
use super::cost::{ITEMS_MAX, Sensors, of_sensor};
use super::known_sensor::KnownSensor;
use crate::readings::{Point, SensorId};

/// A batch with at most this many readings goes into a single transaction if possible.
const UNIT_READINGS_MAX: usize = 97;
/// How far ahead in the queue readings of the same sensors are searched.
const LOOK_AHEAD: usize = 2_048;
/// With at least this many readings or items in the queue, a transaction starts without a pause.
const FULL_READINGS: usize = 48;
const FULL_ITEMS: usize = 96;

/// A reading in the queue, and the batch to answer.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub(crate) submission: u64,
    /// The index of the reading in the batch.
    pub(crate) index: u32,
    /// Whether the whole batch is refused when a reading is refused.
    pub(crate) all_or_nothing: bool,
    pub(crate) sensor: SensorId,
    pub(crate) point: Point,
    /// An estimate of the items for the reading. The first reading of a sensor in a batch includes the items of the sensor.
    pub(crate) items: usize,
}

impl Pending {
    fn partial(&self) -> PartialStats {
        let mut partial = PartialStats::EMPTY;
        partial.widen(self.point.temperature.micro_degrees());
        partial
    }
}

/// The readings that wait for a transaction.
#[derive(Debug, Default)]
pub(crate) struct WriteQueue {
    readings: VecDeque<Pending>,
    /// An estimate of the items for all readings.
    items: usize,
}

/// The readings of a transaction.
#[derive(Debug, Default)]
pub(crate) struct NextGroup {
    pub(crate) readings: Vec<Pending>,
    pub(crate) items: usize,
}

impl WriteQueue {
    pub(crate) fn len(&self) -> usize {
        self.readings.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.readings.is_empty()
    }

    /// Whether the queue fills a transaction, or a good part of a transaction.
    pub(crate) fn fills_one(&self) -> bool {
        self.readings.len() >= FULL_READINGS || self.items >= FULL_ITEMS
    }

    /// Adds the readings of a batch, in their order.
    pub(crate) fn push(
        &mut self,
        batch: impl IntoIterator<Item = Pending>,
        known: &HashMap<SensorId, KnownSensor>,
    ) {
        let mut sensors = HashSet::new();
        for mut pending in batch {
            pending.items = 1;
            if sensors.insert(pending.sensor.clone()) {
                pending.items += of_sensor(known.get(&pending.sensor), &pending.partial());
            }
            self.items += pending.items;
            self.readings.push_back(pending);
        }
    }

    pub(crate) fn retain(&mut self, keep: impl FnMut(&Pending) -> bool) {
        self.readings.retain(keep);
        self.items = self.readings.iter().map(|pending| pending.items).sum();
    }

    /// The first sensors in the queue that are neither known nor in flight.
    pub(crate) fn unknown_sensors(
        &self,
        busy: &HashSet<SensorId>,
        known: &HashMap<SensorId, KnownSensor>,
        count_max: usize,
    ) -> Vec<SensorId> {
        let mut seen = HashSet::new();
        let near = self.readings.iter().take(LOOK_AHEAD);
        near.map(|pending| &pending.sensor)
            .filter(|it| !known.contains_key(*it) && !busy.contains(*it) && seen.insert(*it))
            .take(count_max)
            .cloned()
            .collect()
    }

    /// Takes the readings of the next transaction from the front of the queue. A batch that fits into a transaction is taken
    /// completely or not at all, so that readers see the batch completely or not at all. From a larger batch, the first sensors
    /// are taken, each with as many near readings as fit.
    pub(crate) fn next_group(
        &mut self,
        busy: &HashSet<SensorId>,
        known: &HashMap<SensorId, KnownSensor>,
    ) -> NextGroup {
        let mut group = GroupBuilder {
            readings: Vec::new(),
            left: Vec::new(),
            sensors: Sensors::default(),
            blocked: HashSet::new(),
            items: 1,
            busy,
            known,
        };
        let mut run: Vec<Pending> = Vec::new();
        let mut looked_at = 0;
        while let Some(pending) = self.readings.pop_front() {
            if run
                .last()
                .is_some_and(|last| last.submission != pending.submission)
            {
                group.add(std::mem::take(&mut run));
                // Nothing more fits, or the search has reached the limit. The limit does not split a small batch.
                if group.items + 1 >= ITEMS_MAX || looked_at >= LOOK_AHEAD {
                    self.readings.push_front(pending);
                    break;
                }
            }
            if looked_at >= LOOK_AHEAD + UNIT_READINGS_MAX {
                self.readings.push_front(pending);
                break;
            }
            looked_at += 1;
            self.items -= pending.items;
            run.push(pending);
        }
        group.add(run);
        let GroupBuilder {
            readings,
            left,
            items,
            ..
        } = group;
        self.put_back(left);
        NextGroup { readings, items }
    }

    /// Puts readings back to the front of the queue, in order.
    pub(crate) fn put_back(&mut self, mut readings: Vec<Pending>) {
        readings.sort_by_key(|pending| (pending.submission, pending.index));
        for pending in readings.into_iter().rev() {
            self.items += pending.items;
            self.readings.push_front(pending);
        }
    }
}

/// A group under construction.
struct GroupBuilder<'a> {
    readings: Vec<Pending>,
    left: Vec<Pending>,
    sensors: Sensors,
    /// Sensors with readings that stay in the queue. Later readings of these sensors stay behind them.
    blocked: HashSet<SensorId>,
    items: usize,
    busy: &'a HashSet<SensorId>,
    known: &'a HashMap<SensorId, KnownSensor>,
}

impl GroupBuilder<'_> {
    /// Adds some or all of the queued readings of a batch.
    fn add(&mut self, run: Vec<Pending>) {
        if run.len() <= UNIT_READINGS_MAX {
            let mut partials: HashMap<&SensorId, PartialStats> = HashMap::new();
            for pending in &run {
                let partial = partials
                    .entry(&pending.sensor)
                    .or_insert(PartialStats::EMPTY);
                partial.merge(&pending.partial());
            }
            let more = partials
                .iter()
                .map(|(sensor, partial)| self.more(sensor, partial));
            let items = run.len() + more.sum::<usize>();
            let fits = self.items + items <= ITEMS_MAX || self.readings.is_empty();
            if fits && !partials.keys().any(|it| self.is_blocked(it)) {
                self.items += items;
                for (sensor, partial) in partials {
                    self.sensors.add(sensor, &partial);
                }
                self.readings.extend(run);
            } else {
                self.blocked.extend(partials.into_keys().cloned());
                self.left.extend(run);
            }
            return;
        }
        // All near readings of a sensor share an aggregate, so the readings go together.
        let mut first_positions: HashMap<SensorId, usize> = HashMap::new();
        for pending in &run {
            let next = first_positions.len();
            first_positions
                .entry(pending.sensor.clone())
                .or_insert(next);
        }
        let mut run = run;
        run.sort_by_key(|pending| first_positions.get(&pending.sensor).copied());
        for pending in run {
            let partial = pending.partial();
            let items = 1 + self.more(&pending.sensor, &partial);
            if self.items + items > ITEMS_MAX || self.is_blocked(&pending.sensor) {
                self.blocked.insert(pending.sensor.clone());
                self.left.push(pending);
            } else {
                self.items += items;
                self.sensors.add(&pending.sensor, &partial);
                self.readings.push(pending);
            }
        }
    }

    fn more(&self, sensor: &SensorId, added: &PartialStats) -> usize {
        self.sensors.more(sensor, self.known.get(sensor), added)
    }

    fn is_blocked(&self, sensor: &SensorId) -> bool {
        self.busy.contains(sensor) || self.blocked.contains(sensor)
    }
}

/// Removes surplus readings from the end: the first batch that is too much and all later batches, or the rest of a batch that is
/// too large alone. `sizes` has the number of items for each sensor.
pub(crate) fn split_off(
    readings: &mut Vec<Pending>,
    sizes: &HashMap<SensorId, usize>,
) -> Vec<Pending> {
    let mut counted = HashSet::new();
    let mut items = 1;
    let mut batch = 0;
    let mut end = readings.len();
    for (at, pending) in readings.iter().enumerate() {
        if at > 0 && readings[at - 1].submission != pending.submission {
            batch = at;
        }
        if counted.insert(&pending.sensor) {
            items += sizes.get(&pending.sensor).copied().unwrap_or(0);
        }
        if items > ITEMS_MAX {
            end = at;
            break;
        }
    }
    let at = match (batch, end) {
        // A single sensor is too large.
        (0, 0) => {
            let first = readings.first().map(|it| it.submission);
            let of_batch = readings.iter().filter(|it| Some(it.submission) == first);
            of_batch.count().div_ceil(2)
        }
        (0, end) => end,
        (batch, _) => batch,
    };
    readings.split_off(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::readings::{Temperature, Timestamp};

    fn queue(batches: &[(usize, &str)]) -> WriteQueue {
        let mut queue = WriteQueue::default();
        for (submission, (readings, sensor)) in batches.iter().enumerate() {
            let batch = (0..*readings).map(|index| Pending {
                submission: submission as u64,
                index: index as u32,
                all_or_nothing: true,
                sensor: SensorId::new(sensor).unwrap(),
                point: Point {
                    timestamp: Timestamp::from_micros(index as i64).unwrap(),
                    temperature: Temperature::from_micro_degrees(0).unwrap(),
                },
                items: 0,
            });
            queue.push(batch, &HashMap::new());
        }
        queue
    }

    /// How many readings of each batch the next group has.
    fn next(queue: &mut WriteQueue, busy: &[&str]) -> Vec<(u64, usize)> {
        let busy = busy.iter().map(|it| SensorId::new(it).unwrap()).collect();
        let group = queue.next_group(&busy, &HashMap::new());
        let mut counts: Vec<(u64, usize)> = Vec::new();
        for pending in group.readings {
            match counts.last_mut() {
                Some((submission, count)) if *submission == pending.submission => *count += 1,
                _ => counts.push((pending.submission, 1)),
            }
        }
        counts
    }

    #[test]
    fn a_batch_that_fits_into_a_transaction_is_taken_completely() {
        let mut queue = queue(&[(60, "a"), (60, "b"), (20, "c")]);
        assert_eq!(next(&mut queue, &[]), [(0, 60), (2, 20)]);
        assert_eq!(next(&mut queue, &[]), [(1, 60)]);
        assert!(queue.is_empty());
    }

    #[test]
    fn a_larger_batch_is_taken_in_pieces_and_keeps_its_order() {
        let mut queue = queue(&[(200, "a"), (5, "a")]);
        assert_eq!(next(&mut queue, &[]), [(0, 95)]);
        assert_eq!(queue.len(), 110);
        // The rest fits into few transactions, and the later batch stays behind the rest.
        let mut rest = Vec::new();
        while !queue.is_empty() {
            rest.extend(next(&mut queue, &[]));
        }
        assert_eq!(rest.iter().map(|it| it.1).sum::<usize>(), 110);
        assert!(rest.is_sorted_by_key(|it| it.0), "{rest:?}");
    }

    #[test]
    fn readings_of_a_sensor_in_flight_wait_and_block_no_other_sensor() {
        let mut queue = queue(&[(3, "a"), (2, "b"), (4, "a")]);
        assert_eq!(next(&mut queue, &["a"]), [(1, 2)]);
        assert_eq!(next(&mut queue, &["a"]), []);
        assert_eq!(next(&mut queue, &[]), [(0, 3), (2, 4)]);
    }

    #[test]
    fn a_group_that_is_too_large_is_split_between_batches_if_possible() {
        let cut = |batches: &[(usize, &str)], sizes: &[(&str, usize)]| {
            let mut all = Vec::from(queue(batches).readings);
            let sizes = sizes
                .iter()
                .map(|(sensor, size)| (SensorId::new(sensor).unwrap(), *size));
            let rest = split_off(&mut all, &sizes.collect());
            (all.len(), rest.len())
        };
        let three = [(30, "a"), (20, "b"), (10, "c")];
        assert_eq!(cut(&three, &[("a", 60), ("b", 39), ("c", 2)]), (50, 10));
        assert_eq!(cut(&three, &[("a", 60), ("b", 40), ("c", 2)]), (30, 30));
        // A sensor that is too large is split in halves.
        assert_eq!(cut(&three, &[("a", 120), ("b", 40), ("c", 2)]), (15, 45));
        assert_eq!(cut(&[(97, "a")], &[("a", 103)]), (49, 48));
        assert_eq!(cut(&[(1, "a")], &[("a", 103)]), (1, 0));
    }
}

//! The readings that are not in flight yet, in the order in which they came, and which of them go together.

use std::collections::{HashMap, HashSet, VecDeque};

use super::super::table::items::Part;
use super::cost::{ITEMS_MAX, Sensors, of_sensor};
use super::known_sensor::KnownSensor;
use crate::readings::{Point, SensorId};

/// A batch of so many readings or fewer goes into one transaction if that is possible at all.
const UNIT_READINGS_MAX: usize = 97;
/// How far ahead readings of the same sensors are looked for.
const LOOK_AHEAD: usize = 2_048;
/// From how many readings or items in line on a transaction waits for no more.
const FULL_READINGS: usize = 48;
const FULL_ITEMS: usize = 96;

/// A reading in line, and where its answer goes.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub(crate) submission: u64,
    /// Its index in the batch.
    pub(crate) index: u32,
    /// Whether the batch is refused as a whole when one of its readings is.
    pub(crate) all_or_nothing: bool,
    pub(crate) sensor: SensorId,
    pub(crate) point: Point,
    /// About how many items it takes, by what was known when it came: itself, and its sensor's where it is the first of a batch.
    pub(crate) items: usize,
}

impl Pending {
    fn part(&self) -> Part {
        let mut part = Part::EMPTY;
        part.widen(self.point.temperature.micro_degrees());
        part
    }
}

/// Readings in line.
#[derive(Debug, Default)]
pub(crate) struct Line {
    readings: VecDeque<Pending>,
    /// About how many items all of them take.
    items: usize,
}

/// What goes into one transaction.
#[derive(Debug, Default)]
pub(crate) struct Chosen {
    pub(crate) readings: Vec<Pending>,
    pub(crate) items: usize,
}

impl Line {
    pub(crate) fn len(&self) -> usize {
        self.readings.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.readings.is_empty()
    }

    /// Whether what is in line fills a transaction, or a good part of one.
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
                pending.items += of_sensor(known.get(&pending.sensor), &pending.part());
            }
            self.items += pending.items;
            self.readings.push_back(pending);
        }
    }

    pub(crate) fn retain(&mut self, keep: impl FnMut(&Pending) -> bool) {
        self.readings.retain(keep);
        self.items = self.readings.iter().map(|pending| pending.items).sum();
    }

    /// The first sensors in line that nothing is known of, at most so many, without those in flight.
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

    /// Takes readings off the line, from its front. A batch that fits into a transaction is taken whole or not at all, so that it is
    /// seen so; of a larger one the sensors that come first are taken, as many readings of each as are near.
    pub(crate) fn next_group(
        &mut self,
        busy: &HashSet<SensorId>,
        known: &HashMap<SensorId, KnownSensor>,
    ) -> Chosen {
        let mut group = Grouping {
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
                // Nothing more fits, or enough was looked at; a small batch is not cut where the look ahead ends.
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
        let Grouping {
            readings,
            left,
            items,
            ..
        } = group;
        self.put_back(left);
        Chosen { readings, items }
    }

    /// Puts readings back to where they stood.
    pub(crate) fn put_back(&mut self, mut readings: Vec<Pending>) {
        readings.sort_by_key(|pending| (pending.submission, pending.index));
        for pending in readings.into_iter().rev() {
            self.items += pending.items;
            self.readings.push_front(pending);
        }
    }
}

/// A group in the making.
struct Grouping<'a> {
    readings: Vec<Pending>,
    left: Vec<Pending>,
    sensors: Sensors,
    /// Sensors of readings that stay in line: later ones of theirs stay behind them.
    blocked: HashSet<SensorId>,
    items: usize,
    busy: &'a HashSet<SensorId>,
    known: &'a HashMap<SensorId, KnownSensor>,
}

impl Grouping<'_> {
    /// Adds what is in line of one batch, or what of it can be added.
    fn add(&mut self, run: Vec<Pending>) {
        if run.len() <= UNIT_READINGS_MAX {
            let mut parts: HashMap<&SensorId, Part> = HashMap::new();
            for pending in &run {
                let part = parts.entry(&pending.sensor).or_insert(Part::EMPTY);
                part.merge(&pending.part());
            }
            let more = parts.iter().map(|(sensor, part)| self.more(sensor, part));
            let items = run.len() + more.sum::<usize>();
            let fits = self.items + items <= ITEMS_MAX || self.readings.is_empty();
            if fits && !parts.keys().any(|it| self.is_blocked(it)) {
                self.items += items;
                for (sensor, part) in parts {
                    self.sensors.add(sensor, &part);
                }
                self.readings.extend(run);
            } else {
                self.blocked.extend(parts.into_keys().cloned());
                self.left.extend(run);
            }
            return;
        }
        // All readings of a sensor that are near share its cell, so they go together.
        let mut order: HashMap<SensorId, usize> = HashMap::new();
        for pending in &run {
            let next = order.len();
            order.entry(pending.sensor.clone()).or_insert(next);
        }
        let mut run = run;
        run.sort_by_key(|pending| order.get(&pending.sensor).copied());
        for pending in run {
            let part = pending.part();
            let items = 1 + self.more(&pending.sensor, &part);
            if self.items + items > ITEMS_MAX || self.is_blocked(&pending.sensor) {
                self.blocked.insert(pending.sensor.clone());
                self.left.push(pending);
            } else {
                self.items += items;
                self.sensors.add(&pending.sensor, &part);
                self.readings.push(pending);
            }
        }
    }

    fn more(&self, sensor: &SensorId, added: &Part) -> usize {
        self.sensors.more(sensor, self.known.get(sensor), added)
    }

    fn is_blocked(&self, sensor: &SensorId) -> bool {
        self.busy.contains(sensor) || self.blocked.contains(sensor)
    }
}

/// Takes away what does not fit: the batch that would be too much and those after it, or the rest of a batch that is too large
/// alone. `sizes` are the items that each sensor takes.
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
        // One sensor alone is too large.
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

    fn line(batches: &[(usize, &str)]) -> Line {
        let mut line = Line::default();
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
            line.push(batch, &HashMap::new());
        }
        line
    }

    /// How many readings of each batch the next group has.
    fn next(line: &mut Line, busy: &[&str]) -> Vec<(u64, usize)> {
        let busy = busy.iter().map(|it| SensorId::new(it).unwrap()).collect();
        let group = line.next_group(&busy, &HashMap::new());
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
    fn a_batch_that_fits_into_a_transaction_is_taken_whole() {
        let mut line = line(&[(60, "a"), (60, "b"), (20, "c")]);
        assert_eq!(next(&mut line, &[]), [(0, 60), (2, 20)]);
        assert_eq!(next(&mut line, &[]), [(1, 60)]);
        assert!(line.is_empty());
    }

    #[test]
    fn a_larger_one_is_taken_in_pieces_and_keeps_its_order() {
        let mut line = line(&[(200, "a"), (5, "a")]);
        assert_eq!(next(&mut line, &[]), [(0, 95)]);
        assert_eq!(line.len(), 110);
        // What is left of it fits into one transaction less and less, and the later batch stays behind it.
        let mut rest = Vec::new();
        while !line.is_empty() {
            rest.extend(next(&mut line, &[]));
        }
        assert_eq!(rest.iter().map(|it| it.1).sum::<usize>(), 110);
        assert!(rest.is_sorted_by_key(|it| it.0), "{rest:?}");
    }

    #[test]
    fn readings_of_a_sensor_in_flight_wait_and_hold_nobody_else_up() {
        let mut line = line(&[(3, "a"), (2, "b"), (4, "a")]);
        assert_eq!(next(&mut line, &["a"]), [(1, 2)]);
        assert_eq!(next(&mut line, &["a"]), []);
        assert_eq!(next(&mut line, &[]), [(0, 3), (2, 4)]);
    }

    #[test]
    fn what_does_not_fit_after_all_is_cut_between_batches_where_there_are_two() {
        let cut = |batches: &[(usize, &str)], sizes: &[(&str, usize)]| {
            let mut all = Vec::from(line(batches).readings);
            let sizes = sizes
                .iter()
                .map(|(sensor, size)| (SensorId::new(sensor).unwrap(), *size));
            let rest = split_off(&mut all, &sizes.collect());
            (all.len(), rest.len())
        };
        let three = [(30, "a"), (20, "b"), (10, "c")];
        assert_eq!(cut(&three, &[("a", 60), ("b", 39), ("c", 2)]), (50, 10));
        assert_eq!(cut(&three, &[("a", 60), ("b", 40), ("c", 2)]), (30, 30));
        // One sensor that is too large goes in halves.
        assert_eq!(cut(&three, &[("a", 120), ("b", 40), ("c", 2)]), (15, 45));
        assert_eq!(cut(&[(97, "a")], &[("a", 103)]), (49, 48));
        assert_eq!(cut(&[(1, "a")], &[("a", 103)]), (1, 0));
    }
}

//! The readings that are not in flight yet, in the order in which they came, and which of them go together.

use std::collections::{HashMap, HashSet, VecDeque};

use super::plan::KnownSensor;
use crate::readings::{Point, SensorId};

/// About how many items go into a transaction: a lane, each reading, and each of their sensors.
const GROUP_ITEMS_MAX: usize = 99;
/// A batch of so many readings or fewer goes into one transaction if that is possible at all.
const UNIT_READINGS_MAX: usize = 97;
/// How far ahead readings of the same sensors are looked for.
const LOOK_AHEAD: usize = 2_048;

/// A reading in line, and where its answer goes.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub(super) submission: u64,
    /// Its index in the batch.
    pub(super) index: u32,
    /// Whether the batch is refused as a whole when one of its readings is.
    pub(super) all_or_nothing: bool,
    pub(super) sensor: SensorId,
    pub(super) point: Point,
}

/// Readings in line.
#[derive(Debug, Default)]
pub(super) struct Line {
    readings: VecDeque<Pending>,
}

impl Line {
    pub(super) fn len(&self) -> usize {
        self.readings.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.readings.is_empty()
    }

    pub(super) fn push(&mut self, pending: Pending) {
        self.readings.push_back(pending);
    }

    pub(super) fn retain(&mut self, keep: impl FnMut(&Pending) -> bool) {
        self.readings.retain(keep);
    }

    /// Takes readings off the line, from its front. A batch that fits into a transaction is taken whole or not at all, so that it is
    /// seen so; of a larger one the sensors that come first are taken, as many readings of each as are near.
    pub(super) fn next_group(
        &mut self,
        busy: &HashSet<SensorId>,
        known: &HashMap<SensorId, KnownSensor>,
    ) -> Vec<Pending> {
        let mut near = self.readings.len().min(LOOK_AHEAD);
        // A small batch is not cut where the look ahead ends.
        while near < self.readings.len()
            && near < LOOK_AHEAD + UNIT_READINGS_MAX
            && self.readings[near].submission == self.readings[near - 1].submission
        {
            near += 1;
        }
        let mut group = Grouping {
            readings: Vec::new(),
            left: Vec::new(),
            sensors: HashSet::new(),
            blocked: HashSet::new(),
            items: 1,
            busy,
            known,
        };
        let mut run: Vec<Pending> = Vec::new();
        for pending in self.readings.drain(..near) {
            if run
                .last()
                .is_some_and(|last| last.submission != pending.submission)
            {
                group.add(std::mem::take(&mut run));
            }
            run.push(pending);
        }
        group.add(run);
        let Grouping { readings, left, .. } = group;
        self.put_back(left);
        readings
    }

    /// Puts readings back to where they stood.
    pub(super) fn put_back(&mut self, mut readings: Vec<Pending>) {
        readings.sort_by_key(|pending| (pending.submission, pending.index));
        for pending in readings.into_iter().rev() {
            self.readings.push_front(pending);
        }
    }
}

/// A group in the making.
struct Grouping<'a> {
    readings: Vec<Pending>,
    left: Vec<Pending>,
    sensors: HashSet<SensorId>,
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
            let sensors: HashSet<&SensorId> = run.iter().map(|it| &it.sensor).collect();
            let items = run.len() + sensors.iter().map(|it| self.cost(it)).sum::<usize>();
            let fits = self.items + items <= GROUP_ITEMS_MAX || self.readings.is_empty();
            if fits && !sensors.iter().any(|it| self.is_blocked(it)) {
                self.items += items;
                self.sensors.extend(sensors.into_iter().cloned());
                self.readings.extend(run);
            } else {
                self.blocked.extend(sensors.into_iter().cloned());
                self.left.extend(run);
            }
            return;
        }
        let mut order = Vec::new();
        let mut of_sensor: HashMap<SensorId, Vec<Pending>> = HashMap::new();
        for pending in run {
            match of_sensor.get_mut(&pending.sensor) {
                Some(readings) => readings.push(pending),
                None => {
                    order.push(pending.sensor.clone());
                    of_sensor.insert(pending.sensor.clone(), vec![pending]);
                }
            }
        }
        for sensor in order {
            let mut readings = of_sensor.remove(&sensor).unwrap_or_default();
            let cost = self.cost(&sensor);
            let room = GROUP_ITEMS_MAX.saturating_sub(self.items + cost);
            if room == 0 || self.is_blocked(&sensor) {
                self.left.append(&mut readings);
                self.blocked.insert(sensor);
                continue;
            }
            let rest = readings.split_off(readings.len().min(room));
            self.items += cost + readings.len();
            self.readings.append(&mut readings);
            if !rest.is_empty() {
                self.left.extend(rest);
                self.blocked.insert(sensor.clone());
            }
            self.sensors.insert(sensor);
        }
    }

    /// How many items a sensor takes besides its readings: its cell, and for a new one a guard and two extremes.
    fn cost(&self, sensor: &SensorId) -> usize {
        match (self.sensors.contains(sensor), self.known.get(sensor)) {
            (true, _) => 0,
            (false, Some(_)) => 1,
            (false, None) => 4,
        }
    }

    fn is_blocked(&self, sensor: &SensorId) -> bool {
        self.busy.contains(sensor) || self.blocked.contains(sensor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::readings::{Temperature, Timestamp};

    fn line(batches: &[(usize, &str)]) -> Line {
        let mut line = Line::default();
        for (submission, (readings, sensor)) in batches.iter().enumerate() {
            for index in 0..*readings {
                line.push(Pending {
                    submission: submission as u64,
                    index: index as u32,
                    all_or_nothing: true,
                    sensor: SensorId::new(sensor).unwrap(),
                    point: Point {
                        timestamp: Timestamp::from_micros(index as i64).unwrap(),
                        temperature: Temperature::from_micro_degrees(0).unwrap(),
                    },
                });
            }
        }
        line
    }

    /// How many readings of each batch the next group has.
    fn next(line: &mut Line, busy: &[&str]) -> Vec<(u64, usize)> {
        let busy = busy.iter().map(|it| SensorId::new(it).unwrap()).collect();
        let group = line.next_group(&busy, &HashMap::new());
        let mut counts: Vec<(u64, usize)> = Vec::new();
        for pending in group {
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
        assert_eq!(next(&mut line, &[]), [(0, 94)]);
        assert_eq!(line.len(), 111);
        // What is left of it fits into one transaction less and less, and the later batch stays behind it.
        let mut rest = Vec::new();
        while !line.is_empty() {
            rest.extend(next(&mut line, &[]));
        }
        assert_eq!(rest.iter().map(|it| it.1).sum::<usize>(), 111);
        assert!(rest.is_sorted_by_key(|it| it.0), "{rest:?}");
    }

    #[test]
    fn readings_of_a_sensor_in_flight_wait_and_hold_nobody_else_up() {
        let mut line = line(&[(3, "a"), (2, "b"), (4, "a")]);
        assert_eq!(next(&mut line, &["a"]), [(1, 2)]);
        assert_eq!(next(&mut line, &["a"]), []);
        assert_eq!(next(&mut line, &[]), [(0, 3), (2, 4)]);
    }
}

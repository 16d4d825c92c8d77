//! What is kept in memory of every sensor: its totals and its tail. All of it is derived from what is on disk.

use std::sync::Arc;

use hashbrown::HashMap;

use super::periods::Uncounted;
use super::window;
use crate::readings::{Point, SensorId, SensorSummary, Stats, Temperature, Timestamp};

/// One sensor.
#[derive(Debug)]
pub(crate) struct Sensor {
    pub(crate) id: SensorId,
    /// Over all its readings.
    pub(crate) stats: Stats,
    pub(crate) first: Timestamp,
    pub(crate) last: Timestamp,
    /// The temperature at `last`.
    pub(crate) latest: Temperature,
    /// The end of its last chunk, if it has any: nothing later needs to be looked for on disk.
    pub(crate) sealed_last: Option<Timestamp>,
    /// What is not sealed yet, in strictly ascending order of time. A point here stands before one in a chunk. Readers
    /// share it; the writer copies it if one of them still does.
    pub(crate) tail: Arc<Vec<Point>>,
}

impl Sensor {
    /// A sensor of one reading, which is not counted in `stats` yet.
    pub(crate) fn new(id: SensorId, point: Point) -> Self {
        Self {
            id,
            stats: Stats::EMPTY,
            first: point.timestamp,
            last: point.timestamp,
            latest: point.temperature,
            sealed_last: None,
            tail: Arc::default(),
        }
    }

    pub(crate) fn summary(&self) -> SensorSummary {
        SensorSummary {
            sensor: self.id.clone(),
            stats: self.stats,
            first: self.first,
            last: self.last,
            latest: self.latest,
        }
    }

    /// Takes in points in ascending order of time, replacing those that are there.
    pub(crate) fn put(&mut self, points: &[Point]) {
        let (Some(first), Some(last)) = (points.first(), points.last()) else {
            return;
        };
        self.first = self.first.min(first.timestamp);
        if last.timestamp >= self.last {
            self.last = last.timestamp;
            self.latest = last.temperature;
        }
        let tail = Arc::make_mut(&mut self.tail);
        put_into(tail, points);
    }

    /// Lets go of the points that have been sealed: the first so many.
    pub(crate) fn drop_sealed(&mut self, count: usize, sealed_last: Timestamp) {
        self.sealed_last = self.sealed_last.max(Some(sealed_last));
        if count >= self.tail.len() {
            self.tail = Arc::default();
        } else {
            let tail = Arc::make_mut(&mut self.tail);
            tail.drain(..count);
            tail.shrink_to(2 * tail.len());
        }
    }
}

/// Puts points into an ordered sequence, replacing those at the same moment.
pub(crate) fn put_into(tail: &mut Vec<Point>, points: &[Point]) {
    let Some(first) = points.first() else { return };
    if tail
        .last()
        .is_none_or(|last| last.timestamp < first.timestamp)
    {
        tail.extend_from_slice(points);
    } else if let [point] = points {
        let at = window::position(tail, point.timestamp);
        match tail.get_mut(at) {
            Some(found) if found.timestamp == point.timestamp => *found = *point,
            _ => tail.insert(at, *point),
        }
    } else {
        let at = window::position(tail, first.timestamp);
        let merged = window::merge(&tail[at..], points);
        tail.truncate(at);
        tail.extend_from_slice(&merged);
    }
}

/// Every sensor, by number and by id.
#[derive(Debug, Default)]
pub(crate) struct Index {
    sensors: Vec<Sensor>,
    numbers: HashMap<SensorId, u32>,
    /// Numbers in order of ids, for pages.
    ordered: Vec<u32>,
    /// Over all sensors.
    pub(crate) totals: Stats,
    /// How many points the tails hold.
    pub(crate) tail_points: usize,
    /// That of the ledger whose chunks `sealed_last` and the tails go with.
    pub(crate) generation: u64,
    /// What is logged and not in `periods` of that generation yet.
    pub(crate) uncounted: Uncounted,
}

impl Index {
    pub(crate) fn len(&self) -> usize {
        self.sensors.len()
    }

    pub(crate) fn number(&self, id: &str) -> Option<u32> {
        self.numbers.get(id).copied()
    }

    pub(crate) fn get(&self, number: u32) -> Option<&Sensor> {
        self.sensors.get(number as usize)
    }

    pub(crate) fn get_mut(&mut self, number: u32) -> Option<&mut Sensor> {
        self.sensors.get_mut(number as usize)
    }

    pub(crate) fn sensors(&self) -> &[Sensor] {
        &self.sensors
    }

    /// Adds sensors, which take the numbers that follow.
    pub(crate) fn add(&mut self, sensors: impl IntoIterator<Item = Sensor>) {
        let known = self.sensors.len();
        for sensor in sensors {
            // The number of sensors is bounded far below 2³².
            let number = self.sensors.len() as u32;
            self.numbers.insert(sensor.id.clone(), number);
            self.ordered.push(number);
            self.sensors.push(sensor);
        }
        if self.sensors.len() > known {
            // The old ones are in order already: a merge, for this sort.
            let sensors = &self.sensors;
            self.ordered
                .sort_by(|&a, &b| sensors[a as usize].id.cmp(&sensors[b as usize].id));
        }
    }

    /// Sensors in order of ids, beginning after `after`.
    pub(crate) fn ordered_after(
        &self,
        after: Option<&SensorId>,
    ) -> impl Iterator<Item = (u32, &Sensor)> {
        let start = after.map_or(0, |after| {
            self.ordered
                .partition_point(|&number| self.sensors[number as usize].id <= *after)
        });
        self.ordered[start..]
            .iter()
            .map(|&number| (number, &self.sensors[number as usize]))
    }

    /// Finds the overall extremes anew: a replaced reading may have been one.
    pub(crate) fn recount_extremes(&mut self) {
        let mut extremes = Stats::EMPTY;
        for sensor in &self.sensors {
            extremes.merge(&sensor.stats);
        }
        self.totals.set_extremes(&extremes);
    }
}

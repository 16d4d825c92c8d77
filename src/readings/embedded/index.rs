//! What is kept in memory of every sensor: its totals and its tail. All of it is derived from what is on disk.

use super::names::Names;
use super::periods::Uncounted;
use super::tail::Tail;
use crate::readings::{Point, SensorId, SensorSummary, Stats, Temperature, Timestamp};

/// Marks a sensor without chunks: no timestamp is as early.
const NOT_SEALED: i64 = i64::MIN;

/// One sensor, in few bytes: there may be millions.
#[derive(Debug)]
pub(crate) struct Sensor {
    /// Over all its readings.
    pub(crate) stats: Stats,
    pub(crate) first: Timestamp,
    pub(crate) last: Timestamp,
    /// The temperature at `last`.
    pub(crate) latest: Temperature,
    /// What is not sealed yet. A point here stands before one in a chunk.
    pub(crate) tail: Tail,
    /// The end of its last chunk in microseconds.
    sealed_last: i64,
}

impl Sensor {
    /// A sensor of one reading, which is not counted in `stats` yet.
    pub(crate) fn new(point: Point) -> Self {
        Self {
            stats: Stats::EMPTY,
            first: point.timestamp,
            last: point.timestamp,
            latest: point.temperature,
            tail: Tail::Empty,
            sealed_last: NOT_SEALED,
        }
    }

    /// The end of its last chunk, if it has any: nothing later needs to be looked for on disk.
    pub(crate) fn sealed_last(&self) -> Option<Timestamp> {
        Timestamp::from_micros(self.sealed_last)
    }

    /// Takes note of a chunk's end.
    pub(crate) fn sealed_up_to(&mut self, last: Timestamp) {
        self.sealed_last = self.sealed_last.max(last.micros());
    }

    /// Takes note of a point's place among the sensor's readings.
    pub(crate) fn spans(&mut self, first: Timestamp, last: Point) {
        self.first = self.first.min(first);
        if last.timestamp >= self.last {
            self.last = last.timestamp;
            self.latest = last.temperature;
        }
    }

    /// Takes in points in ascending order of time, replacing those that are there.
    pub(crate) fn put(&mut self, points: &[Point]) {
        if let (Some(first), Some(last)) = (points.first(), points.last()) {
            self.spans(first.timestamp, *last);
            self.tail.put(points);
        }
    }

    /// Lets go of the points that have been sealed: the first so many.
    pub(crate) fn drop_sealed(&mut self, count: usize, sealed_last: Timestamp) {
        self.sealed_up_to(sealed_last);
        self.tail.drop_first(count);
    }
}

/// Every sensor, by number and by id.
#[derive(Debug, Default)]
pub(crate) struct Index {
    sensors: Vec<Sensor>,
    names: Names,
    /// Over all sensors.
    pub(crate) totals: Stats,
    /// How many points the tails hold.
    pub(crate) tail_points: usize,
    /// That of the ledger whose chunks the sensors and their tails go with.
    pub(crate) generation: u64,
    /// What is logged and not in `periods` of that generation yet.
    pub(crate) uncounted: Uncounted,
}

impl Index {
    /// Sensors in order of their numbers.
    pub(crate) fn of(names: Names, sensors: Vec<Sensor>) -> Self {
        let mut index = Self {
            names,
            ..Self::default()
        };
        for sensor in &sensors {
            index.totals.merge(&sensor.stats);
            index.tail_points += sensor.tail.len();
        }
        index.sensors = sensors;
        index
    }

    pub(crate) fn len(&self) -> usize {
        self.sensors.len()
    }

    pub(crate) fn number(&self, id: &str) -> Option<u32> {
        self.names.number(id)
    }

    /// The id of a sensor.
    pub(crate) fn id(&self, number: u32) -> SensorId {
        self.names.id(number)
    }

    pub(crate) fn get(&self, number: u32) -> Option<&Sensor> {
        self.sensors.get(number as usize)
    }

    pub(crate) fn get_mut(&mut self, number: u32) -> Option<&mut Sensor> {
        self.sensors.get_mut(number as usize)
    }

    /// A sensor with its number.
    pub(crate) fn find(&self, id: &SensorId) -> Option<(u32, &Sensor)> {
        let number = self.number(id.as_str())?;
        Some((number, self.get(number)?))
    }

    pub(crate) fn summary(&self, number: u32, sensor: &Sensor) -> SensorSummary {
        SensorSummary {
            sensor: self.id(number),
            stats: sensor.stats,
            first: sensor.first,
            last: sensor.last,
            latest: sensor.latest,
        }
    }

    pub(crate) fn sensors(&self) -> &[Sensor] {
        &self.sensors
    }

    /// Adds a sensor, which takes the number that follows.
    pub(crate) fn add(&mut self, id: &SensorId, sensor: Sensor) {
        self.names.add(id);
        self.sensors.push(sensor);
    }

    /// Sensors in order of ids, beginning after `after`.
    pub(crate) fn ordered_after(
        &self,
        after: Option<&SensorId>,
    ) -> impl Iterator<Item = (u32, &Sensor)> {
        let numbers = self.names.ordered_after(after);
        numbers.filter_map(|number| Some((number, self.get(number)?)))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sensor_takes_96_bytes_beside_its_id_and_its_tail() {
        assert_eq!(size_of::<Sensor>(), 96);
    }
}

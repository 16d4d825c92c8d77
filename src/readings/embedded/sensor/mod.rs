//! One sensor: what is kept of it in memory, and its readings in chunks and tail as one sequence.

pub(crate) mod range_cache;
pub(crate) mod tail;
pub(crate) mod view;
pub(crate) mod window;

use self::tail::Tail;
use crate::readings::{Point, Stats, Temperature, Timestamp};

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sensor_takes_96_bytes_beside_its_id_and_its_tail() {
        assert_eq!(size_of::<Sensor>(), 96);
    }
}

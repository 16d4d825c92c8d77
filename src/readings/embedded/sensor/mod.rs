//! A single sensor: the state in memory (statistics and tail), and the stored readings. The readings in chunks and tail are read
//! as a single sequence.

pub(crate) mod range_cache;
pub(crate) mod tail;
pub(crate) mod view;
pub(crate) mod window;

use self::tail::Tail;
use crate::readings::{Point, Stats, Temperature, Timestamp};

/// Marks a sensor without chunks. No timestamp is as early.
const NOT_SEALED: i64 = i64::MIN;

/// The state of a sensor in memory. Small, because there may be a million sensors.
#[derive(Debug)]
pub(crate) struct Sensor {
    /// The statistics of all readings of the sensor.
    pub(crate) stats: Stats,
    pub(crate) first: Timestamp,
    pub(crate) last: Timestamp,
    /// The temperature at `last`.
    pub(crate) latest: Temperature,
    /// The readings that are not sealed. A point in the tail replaces a point in a chunk.
    pub(crate) tail: Tail,
    /// The last timestamp of the last chunk, in microseconds.
    sealed_last: i64,
}

impl Sensor {
    /// A sensor with a single reading, which `stats` does not contain yet.
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

    /// The last timestamp of the last chunk. Lookups of later timestamps need no disk access.
    pub(crate) fn sealed_last(&self) -> Option<Timestamp> {
        Timestamp::from_micros(self.sealed_last)
    }

    /// Records the last timestamp of a chunk.
    pub(crate) fn note_chunk_end(&mut self, last: Timestamp) {
        self.sealed_last = self.sealed_last.max(last.micros());
    }

    /// Extends the range of the sensor's timestamps.
    pub(crate) fn extend_span(&mut self, first: Timestamp, last: Point) {
        self.first = self.first.min(first);
        if last.timestamp >= self.last {
            self.last = last.timestamp;
            self.latest = last.temperature;
        }
    }

    /// Adds points in ascending order of time. A point replaces the point at the same timestamp.
    pub(crate) fn put(&mut self, points: &[Point]) {
        if let (Some(first), Some(last)) = (points.first(), points.last()) {
            self.extend_span(first.timestamp, *last);
            self.tail.put(points);
        }
    }

    /// Drops the first `count` points of the tail, after sealing.
    pub(crate) fn drop_sealed(&mut self, count: usize, sealed_last: Timestamp) {
        self.note_chunk_end(sealed_last);
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

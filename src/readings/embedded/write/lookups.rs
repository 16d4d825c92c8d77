//! The lookups of a batch before its commit.
//!
//! A late reading is new, unchanged, or a replacement; the stored reading with the same timestamp decides. A batch may need
//! thousands of lookups. These take longer than a commit may take. So lookups are made ahead, as many per commit as time allows,
//! and the results are kept until the batch has all of them.

use std::time::Instant;

use rusqlite::Connection;

use crate::error::StoreError;
use crate::readings::embedded::format::points::position;
use crate::readings::embedded::index::Index;
use crate::readings::embedded::sensor::Sensor;
use crate::readings::embedded::sensor::range_cache::RangeCache;
use crate::readings::{Batch, Point, Temperature, Timestamp};

/// How many lookups without disk access are made between two checks of the clock.
const LOOKUPS_PER_CLOCK_CHECK: usize = 1024;

/// A timestamp of a sensor, and the temperature in the sensor's chunks at this timestamp.
#[derive(Clone, Copy, Debug)]
struct Lookup {
    sensor: u32,
    timestamp: Timestamp,
    stored: Option<Temperature>,
    /// Whether the lookup was made. Before the lookup, `stored` has no meaning.
    made: bool,
}

impl Lookup {
    fn key(&self) -> (u32, Timestamp) {
        (self.sensor, self.timestamp)
    }
}

/// The lookups of a batch.
#[derive(Debug, Default)]
pub(crate) struct BatchLookups {
    /// In order of sensor and time, without duplicates.
    lookups: Vec<Lookup>,
    /// Every lookup before this index was made.
    next: usize,
}

impl BatchLookups {
    /// Lists the lookups of a batch: the readings with a timestamp in the range of the sensor's chunks. `skip` returns `true` for
    /// a sensor if all readings of the sensor are refused anyway.
    pub(crate) fn new(batch: &Batch, index: &Index, skip: impl Fn(u32) -> bool) -> Self {
        Self::list(batch, index, skip, |sealed_last| sealed_last)
    }

    /// Whether no lookup is needed.
    pub(crate) fn is_empty(&self) -> bool {
        self.lookups.is_empty()
    }

    /// Extends the list to all readings of known sensors. Needed when the batch waits, because chunks come to cover later
    /// timestamps meanwhile.
    pub(crate) fn widen_to_all(
        &mut self,
        batch: &Batch,
        index: &Index,
        skip: impl Fn(u32) -> bool,
    ) {
        let narrow = std::mem::replace(
            self,
            Self::list(batch, index, skip, |_| Some(Timestamp::MAX)),
        );
        let mut made = narrow.lookups.iter().filter(|lookup| lookup.made);
        let mut next = made.next();
        for lookup in &mut self.lookups {
            while let Some(found) = next.filter(|found| found.key() <= lookup.key()) {
                if found.key() == lookup.key() {
                    *lookup = *found;
                }
                next = made.next();
            }
        }
    }

    fn list(
        batch: &Batch,
        index: &Index,
        skip: impl Fn(u32) -> bool,
        through: impl Fn(Option<Timestamp>) -> Option<Timestamp>,
    ) -> Self {
        let sensors: Vec<_> = batch
            .sensors()
            .iter()
            .map(|id| {
                let number = index.number(id.as_str()).filter(|&number| !skip(number))?;
                Some((number, through(index.get(number)?.sealed_last())?))
            })
            .collect();
        if sensors.iter().all(Option::is_none) {
            return Self::default();
        }
        let mut lookups: Vec<_> = batch
            .readings()
            .iter()
            .filter_map(|reading| {
                let (sensor, through) = sensors[reading.sensor as usize]?;
                let timestamp = reading.point.timestamp;
                (timestamp <= through).then_some(Lookup {
                    sensor,
                    timestamp,
                    stored: None,
                    made: false,
                })
            })
            .collect();
        lookups.sort_unstable_by_key(Lookup::key);
        lookups.dedup_by_key(|lookup| lookup.key());
        Self { lookups, next: 0 }
    }

    /// Makes lookups until all are made or the deadline has passed, at least one. Returns whether all are made.
    pub(crate) fn advance(
        &mut self,
        index: &Index,
        cache: &mut RangeCache,
        connection: &Connection,
        deadline: Instant,
    ) -> Result<bool, StoreError> {
        let (mut passed, mut looked) = (0, false);
        while let Some(lookup) = self.lookups.get_mut(self.next) {
            if !lookup.made {
                let sealed_last = index.get(lookup.sensor).and_then(Sensor::sealed_last);
                let (sensor, timestamp) = lookup.key();
                lookup.stored = if sealed_last < Some(timestamp) {
                    None
                } else if let Some(known) = cache.get(sensor, timestamp) {
                    known
                } else if looked && Instant::now() >= deadline {
                    return Ok(false);
                } else {
                    looked = true;
                    cache.look_up(connection, sensor, timestamp)?
                };
                lookup.made = true;
            }
            self.next += 1;
            passed += 1;
            if passed % LOOKUPS_PER_CLOCK_CHECK == 0 && Instant::now() >= deadline {
                return Ok(self.next == self.lookups.len());
            }
        }
        Ok(true)
    }

    /// Records the move of points of a sensor into chunks. From now on, a lookup finds the points in the chunks.
    pub(crate) fn sealed(&mut self, sensor: u32, points: &[Point]) {
        let range = self.range_of(sensor);
        for lookup in &mut self.lookups[range] {
            let at = position(points, lookup.timestamp);
            if let Some(point) = points.get(at).filter(|p| p.timestamp == lookup.timestamp) {
                lookup.stored = Some(point.temperature);
                lookup.made = true;
            }
        }
    }

    /// The lookups of a sensor.
    pub(crate) fn of(&self, sensor: u32) -> SensorLookups<'_> {
        SensorLookups(&self.lookups[self.range_of(sensor)])
    }

    fn range_of(&self, sensor: u32) -> std::ops::Range<usize> {
        let before = |other: u32| self.lookups.partition_point(|lookup| lookup.sensor < other);
        // There are no more than a million sensors.
        before(sensor)..before(sensor + 1)
    }
}

/// The lookups of a sensor, read in ascending order of time.
#[derive(Debug)]
pub(crate) struct SensorLookups<'a>(&'a [Lookup]);

impl SensorLookups<'_> {
    /// The temperature in the chunks at a timestamp, or `Some(None)` without a reading. `None` if no lookup was made. Timestamps
    /// must not descend between calls.
    pub(crate) fn at(&mut self, timestamp: Timestamp) -> Option<Option<Temperature>> {
        while self.0.first()?.timestamp < timestamp {
            self.0 = &self.0[1..];
        }
        let found = self
            .0
            .first()
            .filter(|lookup| lookup.timestamp == timestamp)?;
        found.made.then_some(found.stored)
    }
}

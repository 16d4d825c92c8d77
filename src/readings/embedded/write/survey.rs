//! What a batch has to know of the chunks before it can be taken in.
//!
//! A late reading is new, known, or a replacement: that takes a look at what is stored at its moment. A batch may need
//! thousands of such lookups, and they take longer than a commit may. So they are made before the batch is taken in, as many
//! at a time as there is time for, and what was found is kept until the batch has all of it.

use std::time::Instant;

use rusqlite::Connection;

use crate::error::StoreError;
use crate::readings::embedded::format::points::position;
use crate::readings::embedded::index::Index;
use crate::readings::embedded::sensor::Sensor;
use crate::readings::embedded::sensor::range_cache::StretchCache;
use crate::readings::{Batch, Point, Temperature, Timestamp};

/// How many lookups that need no disk are made between looks at the clock.
const LOOKUPS_PER_LOOK: usize = 1024;

/// A moment of a sensor, and what its chunks hold there.
#[derive(Clone, Copy, Debug)]
struct Lookup {
    sensor: u32,
    moment: Timestamp,
    stored: Option<Temperature>,
    /// Whether `stored` is what was found; nobody has looked yet otherwise.
    made: bool,
}

impl Lookup {
    fn key(&self) -> (u32, Timestamp) {
        (self.sensor, self.moment)
    }
}

/// The lookups of one batch.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    /// In order of sensor and time, no moment twice.
    lookups: Vec<Lookup>,
    /// All before this one have been made.
    next: usize,
}

impl Survey {
    /// Lists what a batch has to look up: its readings at moments that the chunks of their sensors reach. `skip` names
    /// sensors whose readings are refused anyway.
    pub(crate) fn new(batch: &Batch, index: &Index, skip: impl Fn(u32) -> bool) -> Self {
        Self::list(batch, index, skip, |sealed_last| sealed_last)
    }

    /// Whether there is nothing to look up.
    pub(crate) fn is_empty(&self) -> bool {
        self.lookups.is_empty()
    }

    /// Lists all readings of sensors that are known. While a batch waits, chunks come to reach later moments.
    pub(crate) fn widen(&mut self, batch: &Batch, index: &Index, skip: impl Fn(u32) -> bool) {
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
                let moment = reading.point.timestamp;
                (moment <= through).then_some(Lookup {
                    sensor,
                    moment,
                    stored: None,
                    made: false,
                })
            })
            .collect();
        lookups.sort_unstable_by_key(Lookup::key);
        lookups.dedup_by_key(|lookup| lookup.key());
        Self { lookups, next: 0 }
    }

    /// Makes lookups until all are made or the time is over, but at least one; returns whether all are.
    pub(crate) fn advance(
        &mut self,
        index: &Index,
        cache: &mut StretchCache,
        connection: &Connection,
        deadline: Instant,
    ) -> Result<bool, StoreError> {
        let (mut passed, mut looked) = (0, false);
        while let Some(lookup) = self.lookups.get_mut(self.next) {
            if !lookup.made {
                let sealed_last = index.get(lookup.sensor).and_then(Sensor::sealed_last);
                let (sensor, moment) = lookup.key();
                lookup.stored = if sealed_last < Some(moment) {
                    None
                } else if let Some(known) = cache.known(sensor, moment) {
                    known
                } else if looked && Instant::now() >= deadline {
                    return Ok(false);
                } else {
                    looked = true;
                    cache.look_up(connection, sensor, moment)?
                };
                lookup.made = true;
            }
            self.next += 1;
            passed += 1;
            if passed % LOOKUPS_PER_LOOK == 0 && Instant::now() >= deadline {
                return Ok(self.next == self.lookups.len());
            }
        }
        Ok(true)
    }

    /// Takes note that points of a sensor have moved into chunks: a lookup would find them from now on.
    pub(crate) fn sealed(&mut self, sensor: u32, points: &[Point]) {
        let range = self.range_of(sensor);
        for lookup in &mut self.lookups[range] {
            let at = position(points, lookup.moment);
            if let Some(point) = points.get(at).filter(|p| p.timestamp == lookup.moment) {
                lookup.stored = Some(point.temperature);
                lookup.made = true;
            }
        }
    }

    /// What was found of a sensor.
    pub(crate) fn of(&self, sensor: u32) -> Found<'_> {
        Found(&self.lookups[self.range_of(sensor)])
    }

    fn range_of(&self, sensor: u32) -> std::ops::Range<usize> {
        let before = |other: u32| self.lookups.partition_point(|lookup| lookup.sensor < other);
        // There are no more than a million sensors.
        before(sensor)..before(sensor + 1)
    }
}

/// The lookups of one sensor.
#[derive(Debug)]
pub(crate) struct Found<'a>(&'a [Lookup]);

impl Found<'_> {
    /// What chunks hold at a moment, no earlier than the one asked for before: a temperature or nothing; `None` if it was
    /// not looked up.
    pub(crate) fn at(&mut self, moment: Timestamp) -> Option<Option<Temperature>> {
        while self.0.first()?.moment < moment {
            self.0 = &self.0[1..];
        }
        let found = self.0.first().filter(|lookup| lookup.moment == moment)?;
        found.made.then_some(found.stored)
    }
}

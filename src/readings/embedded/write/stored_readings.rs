//! The stored reading of a sensor at a timestamp: tells whether a late reading is new, unchanged, or a replacement.

use rusqlite::Connection;

use super::lookups::{BatchLookups, SensorLookups};
use crate::error::StoreError;
use crate::readings::embedded::format::points::position;
use crate::readings::embedded::index::Index;
use crate::readings::embedded::sensor::Sensor;
use crate::readings::embedded::sensor::range_cache::RangeCache;
use crate::readings::{Temperature, Timestamp};

/// Looks up stored readings: first in the batch's completed lookups, then on disk.
pub(crate) struct StoredReadings<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) cache: &'a mut RangeCache,
    pub(crate) lookups: &'a BatchLookups,
}

impl<'a> StoredReadings<'a> {
    /// The readings of a sensor, for lookups in ascending order of time.
    pub(crate) fn of<'b>(&'b mut self, number: u32, index: &'b Index) -> SensorReadings<'a, 'b> {
        SensorReadings {
            found: self.lookups.of(number),
            disk: self,
            number,
            sensor: index.get(number),
            tail_at: 0,
        }
    }
}

/// The stored readings of a sensor.
pub(crate) struct SensorReadings<'a, 'b> {
    disk: &'b mut StoredReadings<'a>,
    found: SensorLookups<'a>,
    number: u32,
    sensor: Option<&'b Sensor>,
    /// Every tail point before this index is earlier than the next lookup.
    tail_at: usize,
}

impl SensorReadings<'_, '_> {
    /// The stored temperature at a timestamp, if there is a reading.
    pub(crate) fn temperature(
        &mut self,
        timestamp: Timestamp,
    ) -> Result<Option<Temperature>, StoreError> {
        let Some(sensor) = self.sensor else {
            return Ok(None);
        };
        let next = sensor.tail.get(self.tail_at);
        if next.is_some_and(|next| next.timestamp < timestamp) {
            self.tail_at += position(&sensor.tail[self.tail_at..], timestamp);
        }
        let in_tail = sensor.tail.get(self.tail_at);
        if let Some(point) = in_tail.filter(|point| point.timestamp == timestamp) {
            return Ok(Some(point.temperature));
        }
        if sensor
            .sealed_last()
            .is_none_or(|sealed_last| sealed_last < timestamp)
        {
            return Ok(None);
        }
        match self.found.at(timestamp) {
            Some(found) => Ok(found),
            None => self
                .disk
                .cache
                .look_up(self.disk.connection, self.number, timestamp),
        }
    }
}

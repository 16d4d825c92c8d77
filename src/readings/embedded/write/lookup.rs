//! What is stored of a sensor at a moment: whether a late reading is new, known, or a replacement.

use rusqlite::Connection;

use super::survey::{Found, Survey};
use crate::error::StoreError;
use crate::readings::embedded::format::points::position;
use crate::readings::embedded::index::Index;
use crate::readings::embedded::sensor::Sensor;
use crate::readings::embedded::sensor::range_cache::StretchCache;
use crate::readings::{Temperature, Timestamp};

/// Looks readings up where they are stored: in what was found before, and on disk what that does not tell of.
pub(crate) struct Disk<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) cache: &'a mut StretchCache,
    pub(crate) survey: &'a Survey,
}

impl<'a> Disk<'a> {
    /// One sensor's readings, to be looked up in ascending order of time.
    pub(crate) fn of<'b>(&'b mut self, number: u32, index: &'b Index) -> Stored<'a, 'b> {
        Stored {
            found: self.survey.of(number),
            disk: self,
            number,
            sensor: index.get(number),
            tail_at: 0,
        }
    }
}

/// The stored readings of one sensor.
pub(crate) struct Stored<'a, 'b> {
    disk: &'b mut Disk<'a>,
    found: Found<'a>,
    number: u32,
    sensor: Option<&'b Sensor>,
    /// All of the tail before this is before what is looked up.
    tail_at: usize,
}

impl Stored<'_, '_> {
    /// The temperature at a moment, if there is a reading.
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

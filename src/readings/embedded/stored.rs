//! What is stored of a sensor at a moment: whether a late reading is new, known, or a replacement.

use rusqlite::Connection;

use super::cache::ChunkCache;
use super::index::{Index, Sensor};
use super::window::position;
use crate::error::StoreError;
use crate::readings::{Point, Temperature, Timestamp};

/// Looks readings up where they are stored.
pub(crate) struct Disk<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) cache: &'a mut ChunkCache,
}

impl<'a> Disk<'a> {
    /// One sensor's readings, to be looked up in ascending order of time.
    pub(crate) fn of<'b>(&'b mut self, number: u32, index: &'b Index) -> Stored<'a, 'b> {
        Stored {
            disk: self,
            number,
            sensor: index.get(number),
        }
    }
}

/// The stored readings of one sensor.
pub(crate) struct Stored<'a, 'b> {
    disk: &'b mut Disk<'a>,
    number: u32,
    sensor: Option<&'b Sensor>,
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
        let find = |points: &[Point]| {
            points
                .get(position(points, timestamp))
                .filter(|found| found.timestamp == timestamp)
                .map(|found| found.temperature)
        };
        if let Some(found) = find(&sensor.tail) {
            return Ok(Some(found));
        }
        if sensor
            .sealed_last()
            .is_none_or(|sealed_last| sealed_last < timestamp)
        {
            return Ok(None);
        }
        let points = self
            .disk
            .cache
            .covering(self.disk.connection, self.number, timestamp)?;
        Ok(points.and_then(find))
    }
}

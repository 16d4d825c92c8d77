//! A cache of time ranges of sensors, with the points of the sensors' chunks in each range.
//!
//! A range is a page of a chunk, or a gap between two chunks. Late readings arrive in runs, so a single lookup on disk serves many
//! readings, also in later commits, until the sensor is sealed.

use hashlink::LruCache;
use rusqlite::Connection;

use crate::error::StoreError;
use crate::readings::embedded::format::chunks;
use crate::readings::embedded::format::points::position;
use crate::readings::{Point, Temperature, Timestamp, Window};

/// About how many bytes all ranges may take: a page of each of 4,000 sensors.
const CACHE_BYTES_MAX: usize = 32 << 20;

/// How many ranges of a sensor are kept. Several clients may write to different times of the same sensor.
const RANGES_PER_SENSOR_MAX: usize = 4;

/// The bytes of an entry without ranges.
const ENTRY_BYTES: usize = 64;

/// All points of a sensor's chunks in a range of time.
#[derive(Debug)]
struct CachedRange {
    /// In microseconds: the first timestamp, and the first timestamp after the range.
    from: i64,
    until: i64,
    points: Vec<Point>,
}

impl CachedRange {
    fn holds(&self, timestamp: Timestamp) -> bool {
        (self.from..self.until).contains(&timestamp.micros())
    }

    fn temperature(&self, timestamp: Timestamp) -> Option<Temperature> {
        let found = self.points.get(position(&self.points, timestamp))?;
        (found.timestamp == timestamp).then_some(found.temperature)
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + self.points.capacity() * size_of::<Point>()
    }
}

/// Ranges by sensor. The least recently used sensor is evicted first.
#[derive(Debug)]
pub(crate) struct RangeCache {
    /// Each sensor's ranges, the most recently used first.
    sensors: LruCache<u32, Vec<CachedRange>>,
    bytes: usize,
}

impl Default for RangeCache {
    fn default() -> Self {
        Self {
            sensors: LruCache::new_unbounded(),
            bytes: 0,
        }
    }
}

impl RangeCache {
    /// The temperature in a sensor's chunks at a timestamp, or `Some(None)` without a reading. `None` if the cache does not know.
    pub(crate) fn get(&mut self, sensor: u32, timestamp: Timestamp) -> Option<Option<Temperature>> {
        let ranges = self.sensors.get_mut(&sensor)?;
        let at = ranges.iter().position(|range| range.holds(timestamp))?;
        ranges[..=at].rotate_right(1);
        Some(ranges[0].temperature(timestamp))
    }

    /// The temperature in a sensor's chunks at a timestamp. Reads from disk if the cache does not know.
    pub(crate) fn look_up(
        &mut self,
        connection: &Connection,
        sensor: u32,
        timestamp: Timestamp,
    ) -> Result<Option<Temperature>, StoreError> {
        if let Some(known) = self.get(sensor, timestamp) {
            return Ok(known);
        }
        let range = read_range(connection, sensor, timestamp)?;
        let found = range.temperature(timestamp);
        self.keep(sensor, range);
        Ok(found)
    }

    fn keep(&mut self, sensor: u32, range: CachedRange) {
        let mut ranges = self.sensors.remove(&sensor).unwrap_or_else(|| {
            self.bytes += ENTRY_BYTES;
            Vec::new()
        });
        if ranges.len() == RANGES_PER_SENSOR_MAX
            && let Some(oldest) = ranges.pop()
        {
            self.bytes -= oldest.bytes();
        }
        self.bytes += range.bytes();
        ranges.insert(0, range);
        self.sensors.insert(sensor, ranges);
        while self.bytes > CACHE_BYTES_MAX
            && let Some((_, ranges)) = self.sensors.remove_lru()
        {
            self.let_go(&ranges);
        }
    }

    fn let_go(&mut self, ranges: &[CachedRange]) {
        self.bytes -= ENTRY_BYTES + ranges.iter().map(CachedRange::bytes).sum::<usize>();
    }

    /// Removes a sensor before the sensor's chunks change.
    pub(crate) fn forget(&mut self, sensor: u32) {
        if let Some(ranges) = self.sensors.remove(&sensor) {
            self.let_go(&ranges);
        }
    }

    /// Removes everything, after the rollback of a transaction.
    pub(crate) fn clear(&mut self) {
        self.sensors.clear();
        self.bytes = 0;
    }
}

/// Reads the page around a timestamp, or finds the gap between chunks around the timestamp.
fn read_range(
    connection: &Connection,
    sensor: u32,
    timestamp: Timestamp,
) -> Result<CachedRange, StoreError> {
    let before = chunks::at_or_before(connection, sensor, timestamp)?;
    if let Some(chunk) = before.filter(|chunk| chunk.last >= timestamp) {
        let at = Window {
            from: Some(timestamp),
            to: Timestamp::from_micros(timestamp.micros() + 1),
        };
        let part = chunks::part(connection, &chunk, at)?;
        let first = part.points.first().map(|point| point.timestamp);
        return Ok(CachedRange {
            from: first.unwrap_or(chunk.first).micros(),
            until: part.next.map_or(chunk.last.micros() + 1, Timestamp::micros),
            points: part.points,
        });
    }
    let after = chunks::after(connection, sensor, timestamp)?;
    Ok(CachedRange {
        from: before.map_or(i64::MIN, |chunk| chunk.last.micros() + 1),
        until: after.map_or(i64::MAX, |chunk| chunk.first.micros()),
        points: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(from: i64, count: i64) -> CachedRange {
        let point = |at| Point {
            timestamp: Timestamp::from_micros(at).unwrap(),
            temperature: Temperature::from_micro_degrees(at).unwrap(),
        };
        CachedRange {
            from,
            until: from + 2 * count,
            points: (0..count).map(|n| point(from + 2 * n)).collect(),
        }
    }

    fn time(micros: i64) -> Timestamp {
        Timestamp::from_micros(micros).unwrap()
    }

    #[test]
    fn what_is_known_of_a_moment_is_a_temperature_or_nothing() {
        let mut cache = RangeCache::default();
        cache.keep(7, page(10, 5));
        cache.keep(7, page(100, 5));
        assert_eq!(
            cache.get(7, time(14)).flatten(),
            Temperature::from_micro_degrees(14)
        );
        assert_eq!(cache.get(7, time(103)), Some(None));
        assert_eq!(cache.get(7, time(20)), None);
        assert_eq!(cache.get(8, time(14)), None);
        cache.forget(7);
        assert_eq!(cache.get(7, time(14)), None);
        assert_eq!(cache.bytes, 0);
    }

    #[test]
    fn stretches_take_no_more_bytes_than_they_may() {
        let mut cache = RangeCache::default();
        for n in 0..20_000 {
            cache.keep(n % 5_000, page(i64::from(n), 400));
        }
        let held: usize = cache
            .sensors
            .iter()
            .flat_map(|(_, ranges)| ranges)
            .map(CachedRange::bytes)
            .sum();
        assert_eq!(cache.bytes, held + cache.sensors.len() * ENTRY_BYTES);
        assert!(cache.bytes <= CACHE_BYTES_MAX, "{}", cache.bytes);
        assert!(cache.bytes > CACHE_BYTES_MAX / 2, "{}", cache.bytes);
        assert_eq!(
            cache.get(4_999, time(19_999)).map(|found| found.is_some()),
            Some(true)
        );
    }
}

//! What late readings were looked up in last: stretches of a sensor's time, and what its chunks hold there.
//!
//! A stretch is a page of a chunk, or a gap between two chunks. Late readings come in runs, so that one lookup on disk serves
//! many of them, those of later commits too, until the sensor is sealed.

use hashlink::LruCache;
use rusqlite::Connection;

use crate::error::StoreError;
use crate::readings::embedded::format::chunks;
use crate::readings::embedded::format::points::position;
use crate::readings::{Point, Temperature, Timestamp, Window};

/// About how many bytes all stretches may take: a page of each of 4,000 sensors.
const BYTES_MAX: usize = 32 << 20;

/// How many stretches of one sensor are kept: for so many clients at different places of its past.
const STRETCHES_MAX: usize = 4;

/// What a sensor without points costs.
const ENTRY_BYTES: usize = 64;

/// All that a sensor's chunks hold in a span of time.
#[derive(Debug)]
struct Stretch {
    /// In microseconds: its first moment, and the first one after it.
    from: i64,
    until: i64,
    points: Vec<Point>,
}

impl Stretch {
    fn holds(&self, moment: Timestamp) -> bool {
        (self.from..self.until).contains(&moment.micros())
    }

    fn temperature(&self, moment: Timestamp) -> Option<Temperature> {
        let found = self.points.get(position(&self.points, moment))?;
        (found.timestamp == moment).then_some(found.temperature)
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + self.points.capacity() * size_of::<Point>()
    }
}

/// Stretches by sensor, those of the sensor looked at longest ago making room.
#[derive(Debug)]
pub(crate) struct StretchCache {
    /// Of each sensor, the one used last comes first.
    sensors: LruCache<u32, Vec<Stretch>>,
    bytes: usize,
}

impl Default for StretchCache {
    fn default() -> Self {
        Self {
            sensors: LruCache::new_unbounded(),
            bytes: 0,
        }
    }
}

impl StretchCache {
    /// What a sensor's chunks hold at a moment, if that is known without looking: a temperature, or nothing.
    pub(crate) fn known(&mut self, sensor: u32, moment: Timestamp) -> Option<Option<Temperature>> {
        let stretches = self.sensors.get_mut(&sensor)?;
        let at = stretches.iter().position(|stretch| stretch.holds(moment))?;
        stretches[..=at].rotate_right(1);
        Some(stretches[0].temperature(moment))
    }

    /// What a sensor's chunks hold at a moment.
    pub(crate) fn look_up(
        &mut self,
        connection: &Connection,
        sensor: u32,
        moment: Timestamp,
    ) -> Result<Option<Temperature>, StoreError> {
        if let Some(known) = self.known(sensor, moment) {
            return Ok(known);
        }
        let stretch = stretch_at(connection, sensor, moment)?;
        let found = stretch.temperature(moment);
        self.keep(sensor, stretch);
        Ok(found)
    }

    fn keep(&mut self, sensor: u32, stretch: Stretch) {
        let mut stretches = self.sensors.remove(&sensor).unwrap_or_else(|| {
            self.bytes += ENTRY_BYTES;
            Vec::new()
        });
        if stretches.len() == STRETCHES_MAX
            && let Some(oldest) = stretches.pop()
        {
            self.bytes -= oldest.bytes();
        }
        self.bytes += stretch.bytes();
        stretches.insert(0, stretch);
        self.sensors.insert(sensor, stretches);
        while self.bytes > BYTES_MAX
            && let Some((_, stretches)) = self.sensors.remove_lru()
        {
            self.let_go(&stretches);
        }
    }

    fn let_go(&mut self, stretches: &[Stretch]) {
        self.bytes -= ENTRY_BYTES + stretches.iter().map(Stretch::bytes).sum::<usize>();
    }

    /// Forgets a sensor whose chunks are about to change.
    pub(crate) fn forget(&mut self, sensor: u32) {
        if let Some(stretches) = self.sensors.remove(&sensor) {
            self.let_go(&stretches);
        }
    }

    /// Forgets everything, after a transaction that did not happen.
    pub(crate) fn clear(&mut self) {
        self.sensors.clear();
        self.bytes = 0;
    }
}

/// Reads the page that holds a moment, or finds the gap that it is in.
fn stretch_at(
    connection: &Connection,
    sensor: u32,
    moment: Timestamp,
) -> Result<Stretch, StoreError> {
    let before = chunks::at_or_before(connection, sensor, moment)?;
    if let Some(chunk) = before.filter(|chunk| chunk.last >= moment) {
        let at = Window {
            from: Some(moment),
            to: Timestamp::from_micros(moment.micros() + 1),
        };
        let part = chunks::part(connection, &chunk, at)?;
        let first = part.points.first().map(|point| point.timestamp);
        return Ok(Stretch {
            from: first.unwrap_or(chunk.first).micros(),
            until: part.next.map_or(chunk.last.micros() + 1, Timestamp::micros),
            points: part.points,
        });
    }
    let after = chunks::after(connection, sensor, moment)?;
    Ok(Stretch {
        from: before.map_or(i64::MIN, |chunk| chunk.last.micros() + 1),
        until: after.map_or(i64::MAX, |chunk| chunk.first.micros()),
        points: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(from: i64, count: i64) -> Stretch {
        let point = |at| Point {
            timestamp: Timestamp::from_micros(at).unwrap(),
            temperature: Temperature::from_micro_degrees(at).unwrap(),
        };
        Stretch {
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
        let mut cache = StretchCache::default();
        cache.keep(7, page(10, 5));
        cache.keep(7, page(100, 5));
        assert_eq!(
            cache.known(7, time(14)).flatten(),
            Temperature::from_micro_degrees(14)
        );
        assert_eq!(cache.known(7, time(103)), Some(None));
        assert_eq!(cache.known(7, time(20)), None);
        assert_eq!(cache.known(8, time(14)), None);
        cache.forget(7);
        assert_eq!(cache.known(7, time(14)), None);
        assert_eq!(cache.bytes, 0);
    }

    #[test]
    fn stretches_take_no_more_bytes_than_they_may() {
        let mut cache = StretchCache::default();
        for n in 0..20_000 {
            cache.keep(n % 5_000, page(i64::from(n), 400));
        }
        let held: usize = cache
            .sensors
            .iter()
            .flat_map(|(_, stretches)| stretches)
            .map(Stretch::bytes)
            .sum();
        assert_eq!(cache.bytes, held + cache.sensors.len() * ENTRY_BYTES);
        assert!(cache.bytes <= BYTES_MAX, "{}", cache.bytes);
        assert!(cache.bytes > BYTES_MAX / 2, "{}", cache.bytes);
        assert_eq!(
            cache
                .known(4_999, time(19_999))
                .map(|found| found.is_some()),
            Some(true)
        );
    }
}

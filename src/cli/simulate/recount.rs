//! The command's own record of all acknowledged readings.

use hashbrown::HashMap;

use crate::readings::{Point, Stats, Temperature, Timestamp};

/// The readings of every sensor by timestamp: 20 to 80 bytes of memory per reading.
pub(super) struct Recount {
    sensors: Vec<HashMap<Timestamp, Temperature>>,
}

/// The statistics that the server must report for a sensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Expected {
    pub(super) stats: Stats,
    pub(super) first: Point,
    pub(super) last: Point,
}

impl Recount {
    pub(super) fn new(sensors: usize) -> Self {
        Self {
            sensors: vec![HashMap::new(); sensors],
        }
    }

    /// Adds an acknowledged reading, or replaces its temperature.
    pub(super) fn acknowledge(&mut self, sensor: u32, point: Point) {
        self.sensors[sensor as usize].insert(point.timestamp, point.temperature);
    }

    /// The number of readings.
    pub(super) fn len(&self) -> u64 {
        self.sensors
            .iter()
            .map(|readings| readings.len() as u64)
            .sum()
    }

    /// The sensors with readings.
    pub(super) fn sensors(&self) -> Vec<u32> {
        (0u32..)
            .zip(&self.sensors)
            .filter(|(_, readings)| !readings.is_empty())
            .map(|(sensor, _)| sensor)
            .collect()
    }

    /// The expected statistics of a sensor; `None` for a sensor without readings.
    pub(super) fn expected(&self, sensor: u32) -> Option<Expected> {
        let readings = &self.sensors[sensor as usize];
        let point = |(&timestamp, &temperature)| Point {
            timestamp,
            temperature,
        };
        Some(Expected {
            stats: readings.values().copied().collect(),
            first: readings
                .iter()
                .map(point)
                .min_by_key(|point| point.timestamp)?,
            last: readings
                .iter()
                .map(point)
                .max_by_key(|point| point.timestamp)?,
        })
    }

    /// A sensor's readings in order of time.
    pub(super) fn points(&self, sensor: u32) -> Vec<Point> {
        let mut points: Vec<Point> = self.sensors[sensor as usize]
            .iter()
            .map(|(&timestamp, &temperature)| Point {
                timestamp,
                temperature,
            })
            .collect();
        points.sort_unstable_by_key(|point| point.timestamp);
        points
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_counts_once_with_its_latest_temperature() {
        let point = |micros, text: &str| Point {
            timestamp: Timestamp::from_micros(micros).unwrap(),
            temperature: text.parse().unwrap(),
        };
        let mut recount = Recount::new(2);
        assert_eq!(recount.expected(1), None);
        for point in [
            point(5, "3"),
            point(1, "10"),
            point(5, "3"),
            point(5, "-4.5"),
        ] {
            recount.acknowledge(1, point);
        }
        assert_eq!(recount.len(), 2);
        assert_eq!(recount.sensors(), [1]);
        assert_eq!(recount.points(1), [point(1, "10"), point(5, "-4.5")]);
        let expected = recount.expected(1).unwrap();
        assert_eq!(expected.stats.count(), 2);
        assert_eq!(expected.stats.average(), Some(2.75));
        assert_eq!(
            (expected.first, expected.last),
            (point(1, "10"), point(5, "-4.5"))
        );
    }
}

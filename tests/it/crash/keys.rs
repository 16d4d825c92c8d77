//! Readings of a writer. The timestamps identify the writer for any sensor.

use std::fmt::Write as _;

use fieldstation::readings::{Temperature, Timestamp};

use super::WRITERS;
use crate::support::Random;

/// 2026-11-20T00:00:00Z.
const START_MICROS: i64 = 1_795_132_800_000_000;

/// The key of a reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    pub sensor: u16,
    pub timestamp: Timestamp,
}

impl Key {
    /// The key of a writer's reading number `step`. Steps are about a millisecond apart.
    pub fn new(writer: usize, sensor: u16, step: i64) -> Self {
        let micros = START_MICROS + (step * 64) * WRITERS as i64 + writer as i64;
        Self {
            sensor,
            timestamp: Timestamp::from_micros(micros).unwrap(),
        }
    }

    /// The writer of a reading.
    pub fn writer(self) -> usize {
        (self.timestamp.micros() - START_MICROS).rem_euclid(WRITERS as i64) as usize
    }

    /// The key in a line of an export.
    pub fn of_export(sensor_id: &str, timestamp: &str) -> Self {
        let number = sensor_id
            .strip_prefix("sensor-")
            .and_then(|number| number.parse().ok());
        Self {
            sensor: number.unwrap_or_else(|| panic!("{sensor_id} was never written")),
            timestamp: timestamp.parse().unwrap(),
        }
    }
}

/// A temperature in the format of machines, with all digits. Sometimes the temperature is an outlier.
pub fn temperature(random: &mut Random) -> Temperature {
    let (least, span) = if random.one_in(50) {
        (Temperature::MIN.micro_degrees(), 1_000_273_150_001)
    } else {
        (-20_000_000, 120_000_000)
    };
    Temperature::from_micro_degrees(least + random.below(span) as i64).unwrap()
}

/// A reading as a JSON object.
pub fn json(out: &mut String, key: Key, temperature: Temperature) {
    let (sensor, timestamp) = (key.sensor, key.timestamp);
    write!(
        out,
        r#"{{"sensorId":"sensor-{sensor}","timestamp":"{timestamp}","temperature":{temperature}}}"#
    )
    .unwrap();
}

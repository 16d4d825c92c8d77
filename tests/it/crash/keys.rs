//! Readings that belong to one writer alone, whatever the sensor: their times tell.

use std::fmt::Write as _;

use fieldstation::readings::{Temperature, Timestamp};

use super::WRITERS;
use crate::support::Random;

/// 2026-11-20T00:00:00Z.
const START_MICROS: i64 = 1_795_132_800_000_000;

/// What identifies a reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    pub sensor: u16,
    pub timestamp: Timestamp,
}

impl Key {
    /// The reading of a writer at its `step`th moment; a millisecond or so lies between two.
    pub fn new(writer: usize, sensor: u16, step: i64) -> Self {
        let micros = START_MICROS + (step * 64) * WRITERS as i64 + writer as i64;
        Self {
            sensor,
            timestamp: Timestamp::from_micros(micros).unwrap(),
        }
    }

    /// Whose reading it is.
    pub fn writer(self) -> usize {
        (self.timestamp.micros() - START_MICROS).rem_euclid(WRITERS as i64) as usize
    }

    /// The key that a line of an export has.
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

/// A temperature like those of machines, now and then far out, with all its digits.
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

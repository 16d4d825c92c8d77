//! The simulated sensors: their ids, and the temperatures they measure.

use std::f64::consts::TAU;

use crate::random::SplitMix64;
use crate::readings::encode;
use crate::readings::{Point, SensorId, SensorIdError, Temperature, Timestamp};

const MICROS_PER_SECOND: u128 = 1_000_000;
const SECONDS_PER_DAY: f64 = 86_400.0;

/// Sensors that measure in turn, at a fixed rate of all sensors together.
pub(super) struct Fleet {
    sensors: Vec<Sensor>,
    readings_per_second: u64,
    start: Timestamp,
    /// The resolution of timestamps in microseconds.
    resolution_micros: i64,
}

/// A sensor with its own climate.
struct Sensor {
    id: SensorId,
    json_id: String,
    mean: f64,
    /// Half the difference between the day's maximum and minimum.
    swing: f64,
    /// The time of the day's maximum, as a fraction of the day.
    noon: f64,
    noise: f64,
    /// The drift of the sensor per day.
    drift: f64,
}

impl Fleet {
    /// A fleet that starts to measure at `start`. The same seed gives the same fleet.
    ///
    /// # Errors
    /// The prefix makes no valid sensor ids.
    pub(super) fn new(
        prefix: &str,
        sensors: u32,
        readings_per_second: u64,
        start: Timestamp,
        seed: u64,
    ) -> Result<Self, SensorIdError> {
        let digits = sensors.saturating_sub(1).to_string().len();
        let sensors = (0..sensors)
            .map(|number| {
                let id = SensorId::new(&format!("{prefix}{number:0digits$}"))?;
                // After the first step, adjacent seeds give unrelated numbers.
                let mut random = SplitMix64::new(seed ^ SplitMix64::new(u64::from(number)).bits());
                Ok(Sensor {
                    json_id: encode::json_id(id.as_str()),
                    id,
                    mean: random.between(2.0, 30.0),
                    swing: random.between(0.5, 8.0),
                    noon: random.between(0.5, 0.65),
                    noise: random.between(0.02, 0.5),
                    drift: random.between(-0.5, 0.5),
                })
            })
            .collect::<Result<Vec<_>, _>>()?;
        let interval_micros =
            sensors.len() as u128 * MICROS_PER_SECOND / u128::from(readings_per_second.max(1));
        Ok(Self {
            sensors,
            readings_per_second: readings_per_second.max(1),
            start,
            // Devices send milliseconds. A faster sensor needs a finer resolution, so that each reading has its own timestamp.
            resolution_micros: if interval_micros >= 1000 { 1000 } else { 1 },
        })
    }

    /// The seconds between two readings of a sensor.
    pub(super) fn interval_seconds(&self) -> f64 {
        self.sensors.len() as f64 / self.readings_per_second as f64
    }

    pub(super) fn len(&self) -> usize {
        self.sensors.len()
    }

    pub(super) fn id(&self, sensor: u32) -> &SensorId {
        &self.sensors[sensor as usize].id
    }

    /// The id as a JSON string.
    pub(super) fn json_id(&self, sensor: u32) -> &str {
        &self.sensors[sensor as usize].json_id
    }

    /// The reading of the fleet with this number, from 0, and its sensor; `None` after the last possible timestamp.
    pub(super) fn reading(&self, number: u64, random: &mut SplitMix64) -> Option<(u32, Point)> {
        let sensor = (number % self.sensors.len() as u64) as u32;
        let since_start =
            u128::from(number) * MICROS_PER_SECOND / u128::from(self.readings_per_second);
        let micros = self
            .start
            .micros()
            .checked_add(i64::try_from(since_start).ok()?)?;
        let timestamp = Timestamp::from_micros(micros - micros.rem_euclid(self.resolution_micros))?;
        let temperature = self.sensors[sensor as usize].measure(timestamp, self.start, random);
        Some((
            sensor,
            Point {
                timestamp,
                temperature,
            },
        ))
    }

    /// A corrected temperature: different, but close.
    pub(super) fn corrected(
        &self,
        temperature: Temperature,
        random: &mut SplitMix64,
    ) -> Temperature {
        let shift = i64::from(1 + random.below(300)) * 10_000;
        let shift = if random.chance(50.0) { shift } else { -shift };
        let micro_degrees = temperature.micro_degrees();
        // At least one of the two is a valid temperature.
        Temperature::from_micro_degrees(micro_degrees + shift)
            .or_else(|| Temperature::from_micro_degrees(micro_degrees - shift))
            .unwrap_or(temperature)
    }
}

impl Sensor {
    /// The sum of daily curve, noise and drift, rounded to hundredths of a degree as a thermometer does.
    fn measure(&self, at: Timestamp, start: Timestamp, random: &mut SplitMix64) -> Temperature {
        let seconds = |timestamp: Timestamp| timestamp.micros() as f64 / 1e6;
        let day = seconds(at) / SECONDS_PER_DAY;
        let degrees = self.mean
            + self.swing * ((day - self.noon) * TAU).cos()
            + self.drift * (seconds(at) - seconds(start)) / SECONDS_PER_DAY
            + self.noise * random.normal();
        let micro_degrees = (degrees * 100.0).round() as i64 * 10_000;
        Temperature::from_micro_degrees(micro_degrees).unwrap_or(Temperature::MIN)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn fleet(sensors: u32, readings_per_second: u64) -> Fleet {
        let start = "2026-11-20T13:00:00.1234Z".parse().unwrap();
        Fleet::new("p-", sensors, readings_per_second, start, 1).unwrap()
    }

    #[test]
    fn every_reading_has_a_time_of_its_own() {
        for (sensors, readings_per_second) in [(1, 1_000_000), (3, 7), (10, 20_000), (7, 6999)] {
            let fleet = fleet(sensors, readings_per_second);
            let mut random = SplitMix64::new(2);
            let mut seen = HashSet::new();
            let mut last = vec![Timestamp::MIN; sensors as usize];
            for number in 0..5000 {
                let (sensor, point) = fleet.reading(number, &mut random).unwrap();
                assert!(seen.insert((sensor, point.timestamp)));
                assert!(last[sensor as usize] < point.timestamp);
                last[sensor as usize] = point.timestamp;
            }
            assert_eq!(last.len(), sensors as usize);
        }
    }

    #[test]
    fn temperatures_are_plausible_and_have_two_decimals() {
        let fleet = fleet(50, 1);
        let mut random = SplitMix64::new(3);
        for number in 0..10_000 {
            let (_, point) = fleet.reading(number * 997, &mut random).unwrap();
            let micro_degrees = point.temperature.micro_degrees();
            assert_eq!(micro_degrees % 10_000, 0);
            assert!((-120_000_000..160_000_000).contains(&micro_degrees));
            let corrected = fleet.corrected(point.temperature, &mut random);
            assert_ne!(corrected, point.temperature);
        }
        let lowest = fleet.corrected(Temperature::MIN, &mut random);
        assert!(lowest > Temperature::MIN);
    }

    #[test]
    fn ids_sort_as_they_count() {
        let fleet = fleet(11, 1);
        assert_eq!(fleet.id(0).as_str(), "p-00");
        assert_eq!(fleet.id(10).as_str(), "p-10");
        assert_eq!(fleet.json_id(10), "\"p-10\"");
        assert!(Fleet::new(&"x".repeat(128), 1, 1, Timestamp::MIN, 0).is_err());
    }
}

//! The naive oracle: a map of readings, counted again with big integers for each answer.

use std::collections::BTreeMap;

use fieldstation::readings::{
    Batch, BatchBuilder, Outcome, Point, SensorId, Stats, Temperature, Timestamp, Window,
};
use num_bigint::BigInt;

/// All readings in a map.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Oracle {
    readings: BTreeMap<(SensorId, Timestamp), Temperature>,
}

/// The exact statistics of some readings.
#[derive(Debug, PartialEq, Eq)]
pub struct Recount {
    pub count: usize,
    pub sum: BigInt,
    pub minimum: Option<Temperature>,
    pub maximum: Option<Temperature>,
}

impl Recount {
    pub fn of<'a>(temperatures: impl Iterator<Item = &'a Temperature> + Clone) -> Self {
        Self {
            count: temperatures.clone().count(),
            sum: temperatures
                .clone()
                .map(|t| BigInt::from(t.micro_degrees()))
                .sum(),
            minimum: temperatures.clone().min().copied(),
            maximum: temperatures.max().copied(),
        }
    }

    /// Asserts these exact statistics, and the nearest double as the average.
    pub fn assert_equals(&self, stats: &Stats) {
        let of_stats = Self {
            count: stats.count() as usize,
            sum: BigInt::from(stats.sum_micro_degrees()),
            minimum: stats.minimum(),
            maximum: stats.maximum(),
        };
        assert_eq!(*self, of_stats);
        assert_eq!(stats.average().is_none(), self.count == 0);
        if let Some(average) = stats.average() {
            assert_nearest(average, &self.sum, &(BigInt::from(self.count) * 1_000_000));
        }
    }
}

/// Asserts that no other double is nearer to `numerator / denominator`. With two equally near doubles, asserts the even double.
pub fn assert_nearest(double: f64, numerator: &BigInt, denominator: &BigInt) {
    // Every normal double times 2^1100 is an integer.
    let scaled = |double: f64| -> BigInt {
        let bits = double.abs().to_bits();
        let (exponent, fraction) = ((bits >> 52) as i32, bits & ((1 << 52) - 1));
        let (significand, exponent) = if exponent == 0 {
            (fraction, -1074)
        } else {
            (fraction | 1 << 52, exponent - 1075)
        };
        let magnitude = BigInt::from(significand) << (exponent + 1100);
        if double < 0.0 { -magnitude } else { magnitude }
    };
    let exact = numerator << 1100;
    let distance = |double: f64| {
        let difference: BigInt = scaled(double) * denominator - &exact;
        if difference < BigInt::ZERO {
            -difference
        } else {
            difference
        }
    };
    let mine = distance(double);
    for other in [double.next_up(), double.next_down()] {
        let theirs = distance(other);
        assert!(
            mine <= theirs,
            "{double} is not the nearest to {numerator}/{denominator}: {other} is nearer"
        );
        assert!(
            mine < theirs || double.to_bits().is_multiple_of(2),
            "{double} is as near as {other}, and is not even"
        );
    }
}

impl Oracle {
    /// Records a batch, and returns the outcome.
    pub fn record(&mut self, batch: &Batch) -> Outcome {
        let mut outcome = Outcome::default();
        for reading in batch.readings() {
            let sensor = batch.sensors()[reading.sensor as usize].clone();
            let Point {
                timestamp,
                temperature,
            } = reading.point;
            match self.readings.insert((sensor, timestamp), temperature) {
                None => outcome.recorded += 1,
                Some(before) if before == temperature => outcome.unchanged += 1,
                Some(_) => outcome.replaced += 1,
            }
        }
        outcome
    }

    pub fn sensors(&self) -> Vec<SensorId> {
        let mut sensors: Vec<_> = self
            .readings
            .keys()
            .map(|(sensor, _)| sensor.clone())
            .collect();
        sensors.dedup();
        sensors
    }

    pub fn points(&self, sensor: &SensorId, window: Window) -> Vec<Point> {
        self.readings
            .iter()
            .filter(|((id, timestamp), _)| id == sensor && window.contains(*timestamp))
            .map(|((_, timestamp), &temperature)| Point {
                timestamp: *timestamp,
                temperature,
            })
            .collect()
    }

    pub fn recount(&self, sensor: Option<&SensorId>, window: Window) -> Recount {
        let chosen = self.readings.iter().filter(|((id, timestamp), _)| {
            sensor.is_none_or(|sensor| sensor == id) && window.contains(*timestamp)
        });
        Recount::of(chosen.map(|(_, temperature)| temperature))
    }
}

/// A batch of `(sensor, microseconds, micro-degrees)`.
pub fn batch<'a>(readings: impl IntoIterator<Item = (&'a str, i64, i64)>) -> Batch {
    let mut builder = BatchBuilder::new();
    for (sensor, micros, micro_degrees) in readings {
        builder.push(sensor, point(micros, micro_degrees)).unwrap();
    }
    builder.build()
}

pub fn point(micros: i64, micro_degrees: i64) -> Point {
    Point {
        timestamp: Timestamp::from_micros(micros).unwrap(),
        temperature: Temperature::from_micro_degrees(micro_degrees).unwrap(),
    }
}

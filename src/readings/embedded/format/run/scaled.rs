//! The scaled numbers of a run: timestamps and temperatures without their common trailing zeros.

use crate::readings::embedded::format::codec::{CodecError, Scale};
use crate::readings::{Point, Temperature, Timestamp};

/// The scales of a run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scales {
    pub(super) times: Scale,
    pub(super) temperatures: Scale,
}

/// A point in the units of a run.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ScaledPoint {
    pub(super) time: i64,
    pub(super) temperature: i64,
}

impl ScaledPoint {
    pub(super) fn plus(self, time: i64, temperature: i64) -> Result<Self, CodecError> {
        let sum = |one: i64, other| one.checked_add(other).ok_or(CodecError::OutOfRange);
        Ok(Self {
            time: sum(self.time, time)?,
            temperature: sum(self.temperature, temperature)?,
        })
    }
}

impl Scales {
    pub(super) fn down(self, point: &Point) -> ScaledPoint {
        ScaledPoint {
            time: point.timestamp.micros() / self.times.factor(),
            temperature: point.temperature.micro_degrees() / self.temperatures.factor(),
        }
    }

    pub(super) fn up(self, numbers: ScaledPoint) -> Result<Point, CodecError> {
        let micros = self.times.scale_up(numbers.time)?;
        let micro_degrees = self.temperatures.scale_up(numbers.temperature)?;
        Ok(Point {
            timestamp: Timestamp::from_micros(micros).ok_or(CodecError::OutOfRange)?,
            temperature: Temperature::from_micro_degrees(micro_degrees)
                .ok_or(CodecError::OutOfRange)?,
        })
    }
}

/// Collects decoded points, and checks their ascending order.
#[derive(Debug)]
pub(super) struct AscendingPoints {
    scales: Scales,
    pub(super) points: Vec<Point>,
}

impl AscendingPoints {
    pub(super) fn new(scales: Scales) -> Self {
        let points = Vec::new();
        Self { scales, points }
    }

    pub(super) fn push(&mut self, numbers: ScaledPoint) -> Result<(), CodecError> {
        let point = self.scales.up(numbers)?;
        let last = self.points.last();
        if last.is_some_and(|last| last.timestamp >= point.timestamp) {
            return Err(CodecError::Order);
        }
        self.points.push(point);
        Ok(())
    }
}

//! The values of the readings domain. Every value is valid.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use hashbrown::HashMap;

use super::{Stats, Temperature, Timestamp};

/// The id of a sensor: 1 to 128 characters, no control characters, no white space at the ends.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SensorId(Arc<str>);

/// Why a text is not a sensor id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SensorIdError {
    /// The trimmed text is empty.
    #[error("is empty; send 1 to 128 characters")]
    Empty,
    /// More than [`SensorId::CHARACTERS_MAX`] characters.
    #[error("is longer than 128 characters")]
    TooLong,
    /// A control character, such as a line break or NUL.
    #[error("holds a control character")]
    ControlCharacter,
}

impl SensorId {
    /// The longest id, in Unicode scalar values.
    pub const CHARACTERS_MAX: usize = 128;

    /// Trims white space from both ends and checks the rest.
    ///
    /// # Errors
    /// [`SensorIdError`] names the broken rule.
    pub fn new(text: &str) -> Result<Self, SensorIdError> {
        Self::check(text).map(|id| Self(id.into()))
    }

    /// The trimmed text if it is a sensor id; allocates nothing.
    ///
    /// # Errors
    /// [`SensorIdError`] names the broken rule.
    pub fn check(text: &str) -> Result<&str, SensorIdError> {
        let id = text.trim();
        if id.is_empty() {
            return Err(SensorIdError::Empty);
        }
        if id.len() > Self::CHARACTERS_MAX && id.chars().count() > Self::CHARACTERS_MAX {
            return Err(SensorIdError::TooLong);
        }
        if id.chars().any(char::is_control) {
            return Err(SensorIdError::ControlCharacter);
        }
        Ok(id)
    }

    /// An id from a text that was checked before.
    pub(crate) fn of_checked(text: &str) -> Self {
        Self(text.into())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SensorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for SensorId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// A timestamp and a temperature of a sensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// The time of the measurement.
    pub timestamp: Timestamp,
    /// The measured temperature.
    pub temperature: Temperature,
}

/// A half-open span of time, `[from, to)`; `None` means an open end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// The first timestamp inside the window.
    pub from: Option<Timestamp>,
    /// The first timestamp after the window.
    pub to: Option<Timestamp>,
}

impl Window {
    /// All timestamps.
    pub const ALL: Self = Self {
        from: None,
        to: None,
    };

    /// Whether a timestamp lies inside the window.
    pub fn contains(&self, timestamp: Timestamp) -> bool {
        self.from.is_none_or(|from| from <= timestamp) && self.to.is_none_or(|to| timestamp < to)
    }
}

/// Selects readings: of a single sensor or of all sensors, in a window.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Only this sensor; `None` for every sensor.
    pub sensor: Option<SensorId>,
    /// Only readings in this window.
    pub window: Window,
}

/// Readings to record together. Each sensor id is stored once, and a reading holds the index of the id.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    sensors: Vec<SensorId>,
    readings: Vec<BatchReading>,
}

/// A reading within a [`Batch`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchReading {
    /// An index into [`Batch::sensors`].
    pub sensor: u32,
    /// The reading itself.
    pub point: Point,
}

impl Batch {
    /// A batch with a single reading.
    pub fn of_one(sensor: SensorId, point: Point) -> Self {
        Self {
            sensors: vec![sensor],
            readings: vec![BatchReading { sensor: 0, point }],
        }
    }

    /// The distinct sensors, in order of first appearance.
    pub fn sensors(&self) -> &[SensorId] {
        &self.sensors
    }

    /// The readings, in the order of sending. If two readings have the same sensor and timestamp, the later reading is stored.
    pub fn readings(&self) -> &[BatchReading] {
        &self.readings
    }

    /// The number of readings.
    pub fn len(&self) -> usize {
        self.readings.len()
    }

    /// Whether the batch has no readings.
    pub fn is_empty(&self) -> bool {
        self.readings.is_empty()
    }
}

/// Collects readings into a [`Batch`].
#[derive(Debug, Default)]
pub struct BatchBuilder {
    batch: Batch,
    index: HashMap<SensorId, u32>,
    /// The sensor of the previous reading. A device usually sends several readings in a row.
    last: u32,
}

impl BatchBuilder {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a reading of the sensor named `sensor_id`.
    ///
    /// # Errors
    /// When `sensor_id` is not a sensor id; nothing is added then.
    pub fn push(&mut self, sensor_id: &str, point: Point) -> Result<(), SensorIdError> {
        let sensor = self.sensor_index(sensor_id)?;
        self.batch.readings.push(BatchReading { sensor, point });
        Ok(())
    }

    fn sensor_index(&mut self, sensor_id: &str) -> Result<u32, SensorIdError> {
        let sensors = &mut self.batch.sensors;
        if let Some(last) = sensors.get(self.last as usize)
            && last.as_str() == sensor_id
        {
            return Ok(self.last);
        }
        self.last = match self.index.get(sensor_id) {
            Some(&known) => known,
            None => {
                let id = SensorId::check(sensor_id)?;
                // The trimmed id may be known.
                match self.index.get(id) {
                    Some(&known) => known,
                    None => {
                        // A batch is bounded in bytes far below 2³² readings.
                        let next = sensors.len() as u32;
                        let id = SensorId(id.into());
                        sensors.push(id.clone());
                        self.index.insert(id, next);
                        next
                    }
                }
            }
        };
        Ok(self.last)
    }

    /// The number of readings so far.
    pub fn len(&self) -> usize {
        self.batch.len()
    }

    /// Whether the batch has no readings yet.
    pub fn is_empty(&self) -> bool {
        self.batch.is_empty()
    }

    /// The approximate memory of the batch in bytes.
    pub fn memory_bytes(&self) -> usize {
        self.batch.readings.capacity() * size_of::<BatchReading>() + self.batch.sensors.len() * 160
    }

    /// The batch.
    pub fn build(self) -> Batch {
        self.batch
    }
}

/// A summary of a sensor.
#[derive(Clone, Debug, PartialEq)]
pub struct SensorSummary {
    /// The id of the sensor.
    pub sensor: SensorId,
    /// Statistics over all readings of the sensor; never empty.
    pub stats: Stats,
    /// The timestamp of the earliest reading.
    pub first: Timestamp,
    /// The timestamp of the latest reading.
    pub last: Timestamp,
    /// The temperature at `last`.
    pub latest: Temperature,
}

/// A bucket of a [`Series`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// The start of the bucket. The bucket ends at the start of the next bucket.
    pub start: Timestamp,
    /// Statistics of the readings in the bucket.
    pub stats: Stats,
}

/// Statistics of a sensor in buckets of equal width.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Series {
    /// The start of the first bucket.
    pub from: Timestamp,
    /// The end of the last bucket.
    pub to: Timestamp,
    /// The buckets, in order, without gaps.
    pub buckets: Vec<Bucket>,
}

/// A part of a longer list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Whether there are more items after the last item.
    pub more: bool,
}

//! The fields of a reading, and the clients' names for these fields.

/// A field of a reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// The sensor.
    SensorId,
    /// The time of the measurement.
    Timestamp,
    /// The measured value.
    Temperature,
}

impl Field {
    /// All fields.
    pub const ALL: [Self; 3] = [Self::SensorId, Self::Timestamp, Self::Temperature];

    /// The field with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|field| field.spellings().contains(&name))
    }

    /// The name of the field in errors.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SensorId => "sensorId",
            Self::Timestamp => "timestamp",
            Self::Temperature => "temperature",
        }
    }

    /// All accepted names, the usual name first. The fast path and the general path of JSON repeat the names as patterns; a test
    /// compares them.
    pub const fn spellings(self) -> &'static [&'static str] {
        match self {
            Self::SensorId => &["sensorId", "sensorID", "sensor_id"],
            Self::Timestamp => &["timestamp", "time"],
            Self::Temperature => &["temperature"],
        }
    }
}

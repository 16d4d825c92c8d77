//! What clients call the fields of a reading.

use super::ItemError;

/// A field of a reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// Which sensor measured.
    SensorId,
    /// When.
    Timestamp,
    /// What.
    Temperature,
}

impl Field {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::SensorId, Self::Timestamp, Self::Temperature];

    /// The field that a client calls by this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|field| field.spellings().contains(&name))
    }

    /// Its name, as it appears in errors.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SensorId => "sensorId",
            Self::Timestamp => "timestamp",
            Self::Temperature => "temperature",
        }
    }

    /// All its names, the usual one first. The fast path and the general path of JSON have them as patterns; a test compares.
    pub const fn spellings(self) -> &'static [&'static str] {
        match self {
            Self::SensorId => &["sensorId", "sensorID", "sensor_id"],
            Self::Timestamp => &["timestamp", "time"],
            Self::Temperature => &["temperature"],
        }
    }

    /// The field came twice, under whichever of its names.
    pub(super) fn sent_twice(self) -> ItemError {
        let others = match self {
            Self::SensorId => " (sensorID and sensor_id are other names of it)",
            Self::Timestamp => " (time is another name of it)",
            Self::Temperature => "",
        };
        ItemError::of(self, format!("is sent twice{others}"))
    }
}

//! Reads an item of the table as a reading, or gives the reason why the item is no reading.

use std::collections::BTreeSet;
use std::fmt;

use crate::readings::dynamodb::older::one_line;
use crate::readings::dynamodb::table::items::{Item, StoredReading, get_text};
use crate::readings::dynamodb::table::keys;
use crate::readings::dynamodb::table::scan::Attributes;
use crate::readings::{SensorId, Temperature, Timestamp};

/// The attributes of a reading.
pub(super) const OF_A_READING: Attributes =
    Attributes::Only(&["sensor_id", "timestamp", "temperature", "w", "n", "p", "pw"]);

/// How many faults are named.
const NAMED_MAX: usize = 100;

/// A reading as stored in the table.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) sensor: SensorId,
    /// The range key, in any spelling.
    pub(super) when: String,
    pub(super) timestamp: Timestamp,
    pub(super) stored: StoredReading,
}

impl Entry {
    pub(super) fn read(item: &Item) -> Result<Self, Fault> {
        let name = get_text(item, "sensor_id").unwrap_or_default();
        let when = get_text(item, "timestamp").unwrap_or_default();
        let wrong = |why: String| Fault::new(name, when, why);
        let sensor =
            SensorId::new(name).map_err(|error| wrong(format!("has a sensor_id that {error}")))?;
        if sensor.as_str() != name {
            return Err(wrong("has a sensor_id with white space around it".into()));
        }
        let timestamp: Timestamp = when
            .parse()
            .map_err(|error| wrong(format!("has a timestamp that {error}")))?;
        let stored = StoredReading::from_item(item)
            .ok_or_else(|| wrong("has no temperature between -273.15 and 1000000".into()))?;
        Ok(Self {
            sensor,
            when: when.to_owned(),
            timestamp,
            stored,
        })
    }

    pub(super) fn temperature(&self) -> Temperature {
        self.stored.temperature
    }

    /// Whether the range key has the spelling of this program.
    pub(super) fn is_canonical(&self) -> bool {
        keys::timestamp(self.timestamp) == self.when
    }

    pub(super) fn fault(&self, why: String) -> Fault {
        Fault::new(self.sensor.as_str(), &self.when, why)
    }
}

/// An item that is no reading, or has the timestamp of another item.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Fault {
    sensor: String,
    when: String,
    why: String,
}

impl Fault {
    pub(super) fn new(sensor: &str, when: &str, why: String) -> Self {
        Self {
            sensor: sensor.to_owned(),
            when: when.to_owned(),
            why,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sensor, when, why } = self;
        write!(
            f,
            "the reading of `{}` at `{}` {why}",
            one_line(sensor),
            one_line(when)
        )
    }
}

/// The number of faults, and the first of them in order of sensors and timestamps.
#[derive(Clone, Debug, Default)]
pub(super) struct Faults {
    pub(super) count: u64,
    first: BTreeSet<Fault>,
}

impl Faults {
    pub(super) fn add(&mut self, fault: Fault) {
        self.count += 1;
        self.keep(fault);
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.count += other.count;
        other.first.into_iter().for_each(|fault| self.keep(fault));
    }

    fn keep(&mut self, fault: Fault) {
        self.first.insert(fault);
        if self.first.len() > NAMED_MAX {
            self.first.pop_last();
        }
    }

    pub(super) fn named(&self) -> Vec<String> {
        self.first.iter().map(ToString::to_string).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_faults_are_named_whatever_the_order_they_are_found_in() {
        let mut faults = Faults::default();
        for number in (0..250).rev() {
            faults.add(Fault::new("a", &format!("{number:03}"), "is bad".into()));
        }
        assert_eq!(faults.count, 250);
        let named = faults.named();
        assert_eq!(named.len(), NAMED_MAX);
        assert_eq!(named[0], "the reading of `a` at `000` is bad");
        assert_eq!(named[99], "the reading of `a` at `099` is bad");
    }

    #[test]
    fn a_string_is_shown_as_one_short_line() {
        assert_eq!(one_line("é\n\u{7}'"), "é\\n\\u{7}'");
        assert_eq!(one_line(&"x".repeat(5_000)).chars().count(), 201);
    }
}

//! Derives the changes from readings and the stored readings. Does no I/O.

use std::collections::{BTreeMap, HashMap};

use super::super::table::items::StoredReading;
use crate::readings::{Point, SensorId, Temperature, Timestamp};

/// The key of a reading.
pub(crate) type Key = (SensorId, Timestamp);

/// The effect of a write on a reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadingOutcome {
    Recorded,
    Unchanged,
    Replaced,
}

/// The temperature of a reading before and after a write.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) before: Option<StoredReading>,
    pub(crate) after: Temperature,
}

impl Change {
    /// How many times the reading will have been written.
    pub(crate) fn version(&self) -> u64 {
        self.before.as_ref().map_or(1, |before| before.version + 1)
    }
}

/// The changes of a write, for each sensor.
pub(crate) type Changes = BTreeMap<SensorId, BTreeMap<Timestamp, Change>>;

/// Applies readings in their order. Returns the outcome of each reading, and the changes to write. A reading without an entry in
/// `stored` counts as new.
pub(crate) fn changes<'a>(
    readings: impl IntoIterator<Item = (&'a SensorId, Point)>,
    stored: &HashMap<Key, StoredReading>,
) -> (Vec<ReadingOutcome>, Changes) {
    let mut outcomes = Vec::new();
    let mut changes = Changes::new();
    for (sensor, point) in readings {
        let of_sensor = match changes.get_mut(sensor) {
            Some(of_sensor) => of_sensor,
            None => changes.entry(sensor.clone()).or_default(),
        };
        let new = point.temperature;
        let outcome = match of_sensor.get_mut(&point.timestamp) {
            Some(change) if change.after == new => ReadingOutcome::Unchanged,
            Some(change) => {
                change.after = new;
                ReadingOutcome::Replaced
            }
            None => {
                let before = stored.get(&(sensor.clone(), point.timestamp)).cloned();
                let outcome = match &before {
                    None => ReadingOutcome::Recorded,
                    Some(stored) if stored.temperature == new => ReadingOutcome::Unchanged,
                    Some(_) => ReadingOutcome::Replaced,
                };
                let after = new;
                of_sensor.insert(point.timestamp, Change { before, after });
                outcome
            }
        };
        outcomes.push(outcome);
    }
    for of_sensor in changes.values_mut() {
        of_sensor.retain(|_, change| {
            change
                .before
                .as_ref()
                .is_none_or(|before| before.temperature != change.after)
        });
    }
    changes.retain(|_, of_sensor| !of_sensor.is_empty());
    (outcomes, changes)
}

/// The temperature of a stored reading after the changes.
pub(crate) fn after_changes(
    changes: &BTreeMap<Timestamp, Change>,
    timestamp: Timestamp,
    stored: Temperature,
) -> Temperature {
    changes
        .get(&timestamp)
        .map_or(stored, |change| change.after)
}

/// Whether a change replaces a stored reading.
pub(crate) fn is_replacing(changes: &BTreeMap<Timestamp, Change>) -> bool {
    changes.values().any(|change| change.before.is_some())
}

/// The temperatures that the changes write.
pub(crate) fn new_temperatures(
    changes: &BTreeMap<Timestamp, Change>,
) -> impl Iterator<Item = Temperature> + '_ {
    changes.values().map(|change| change.after)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn temperature(micro_degrees: i64) -> Temperature {
        Temperature::from_micro_degrees(micro_degrees).unwrap()
    }

    fn time(micros: i64) -> Timestamp {
        Timestamp::from_micros(micros).unwrap()
    }

    fn stored(micro_degrees: i64) -> StoredReading {
        StoredReading {
            temperature: temperature(micro_degrees),
            written: None,
            version: 7,
            before: None,
        }
    }

    #[test]
    fn each_reading_follows_those_before_it() {
        let sensor = SensorId::new("a").unwrap();
        let key = |micros| (sensor.clone(), time(micros));
        let stored = HashMap::from([(key(1), stored(10)), (key(2), stored(20))]);
        let readings = [(1, 10), (2, 25), (3, 30), (3, 30), (3, 31), (2, 20)];
        let readings = readings.map(|(micros, value)| {
            let point = Point {
                timestamp: time(micros),
                temperature: temperature(value),
            };
            (&sensor, point)
        });
        let (outcomes, changes) = changes(readings, &stored);
        use ReadingOutcome::{Recorded, Replaced, Unchanged};
        let expected = [Unchanged, Replaced, Recorded, Unchanged, Replaced, Replaced];
        assert_eq!(outcomes, expected);
        // A reading with an unchanged temperature is not written.
        let of_sensor = &changes[&sensor];
        assert_eq!(of_sensor.keys().copied().collect::<Vec<_>>(), [time(3)]);
        assert_eq!(of_sensor[&time(3)].after, temperature(31));
        assert_eq!(of_sensor[&time(3)].version(), 1);
        assert!(!is_replacing(of_sensor));
    }

    #[test]
    fn a_replacement_goes_on_from_what_is_stored() {
        let sensor = SensorId::new("a").unwrap();
        let stored = HashMap::from([((sensor.clone(), time(1)), stored(10))]);
        let point = Point {
            timestamp: time(1),
            temperature: temperature(-5),
        };
        let (outcomes, changes) = changes([(&sensor, point)], &stored);
        assert_eq!(outcomes, [ReadingOutcome::Replaced]);
        let of_sensor = &changes[&sensor];
        assert!(is_replacing(of_sensor));
        assert_eq!(of_sensor[&time(1)].version(), 8);
        let after = |micros| after_changes(of_sensor, time(micros), temperature(10));
        assert_eq!((after(1), after(2)), (temperature(-5), temperature(10)));
    }
}

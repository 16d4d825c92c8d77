//! What readings change, given what is stored: pure.

use std::collections::{BTreeMap, HashMap};

use super::super::table::items::StoredReading;
use crate::readings::{Point, SensorId, Temperature, Timestamp};

/// The key of a reading.
pub(crate) type Key = (SensorId, Timestamp);

/// What has become of a reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Disposition {
    Recorded,
    Unchanged,
    Replaced,
}

/// A reading's temperature before and after.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) before: Option<StoredReading>,
    pub(crate) after: Temperature,
}

impl Change {
    /// How often the moment will have been written.
    pub(crate) fn version(&self) -> u64 {
        self.before.as_ref().map_or(1, |before| before.version + 1)
    }
}

/// The changes that some readings make, sensor by sensor.
pub(crate) type Changes = BTreeMap<SensorId, BTreeMap<Timestamp, Change>>;

/// Goes through readings in their order: what becomes of each, and what remains to be written. A reading that is not in
/// `stored` is taken for new.
pub(crate) fn changes<'a>(
    readings: impl IntoIterator<Item = (&'a SensorId, Point)>,
    stored: &HashMap<Key, StoredReading>,
) -> (Vec<Disposition>, Changes) {
    let mut dispositions = Vec::new();
    let mut changes = Changes::new();
    for (sensor, point) in readings {
        let of_sensor = match changes.get_mut(sensor) {
            Some(of_sensor) => of_sensor,
            None => changes.entry(sensor.clone()).or_default(),
        };
        let new = point.temperature;
        let disposition = match of_sensor.get_mut(&point.timestamp) {
            Some(change) if change.after == new => Disposition::Unchanged,
            Some(change) => {
                change.after = new;
                Disposition::Replaced
            }
            None => {
                let before = stored.get(&(sensor.clone(), point.timestamp)).cloned();
                let disposition = match &before {
                    None => Disposition::Recorded,
                    Some(stored) if stored.temperature == new => Disposition::Unchanged,
                    Some(_) => Disposition::Replaced,
                };
                let after = new;
                of_sensor.insert(point.timestamp, Change { before, after });
                disposition
            }
        };
        dispositions.push(disposition);
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
    (dispositions, changes)
}

/// The temperature of a stored reading once the changes are made.
pub(crate) fn after_changes(
    changes: &BTreeMap<Timestamp, Change>,
    timestamp: Timestamp,
    stored: Temperature,
) -> Temperature {
    changes
        .get(&timestamp)
        .map_or(stored, |change| change.after)
}

/// Whether one of the changes replaces a reading that is stored.
pub(crate) fn is_replacing(changes: &BTreeMap<Timestamp, Change>) -> bool {
    changes.values().any(|change| change.before.is_some())
}

/// The temperatures that changes bring.
pub(crate) fn brought(
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
        let (dispositions, changes) = changes(readings, &stored);
        use Disposition::{Recorded, Replaced, Unchanged};
        let expected = [Unchanged, Replaced, Recorded, Unchanged, Replaced, Replaced];
        assert_eq!(dispositions, expected);
        // What ends as it was is not written.
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
        let (dispositions, changes) = changes([(&sensor, point)], &stored);
        assert_eq!(dispositions, [Disposition::Replaced]);
        let of_sensor = &changes[&sensor];
        assert!(is_replacing(of_sensor));
        assert_eq!(of_sensor[&time(1)].version(), 8);
        let after = |micros| after_changes(of_sensor, time(micros), temperature(10));
        assert_eq!((after(1), after(2)), (temperature(-5), temperature(10)));
    }
}

//! Estimates how many items of a transaction some readings need, before the transaction is planned. Does no I/O.

use std::collections::HashMap;

use super::super::table::items::PartialStats;
use super::known_sensor::KnownSensor;
use crate::readings::SensorId;

/// How many items `TransactWriteItems` accepts.
pub(crate) const ITEMS_MAX: usize = 100;

/// A new sensor: the replacement version, the aggregate, and the entries in the order of minima and in the order of maxima.
const NEW_SENSOR: usize = 4;
/// A moved extreme: the old entry is deleted and the new entry is put.
const MOVED_EXTREME: usize = 2;

/// How many items a sensor needs, besides an item for each reading. An unknown sensor counts as new. Replacements may need more
/// items; only a lookup tells the number.
pub(crate) fn of_sensor(known: Option<&KnownSensor>, new_temperatures: &PartialStats) -> usize {
    let Some(known) = known else {
        return NEW_SENSOR;
    };
    let Some(own) = &known.own else {
        return NEW_SENSOR - usize::from(known.replacement_version.is_some());
    };
    let moved = [
        new_temperatures.minimum < own.partial.minimum,
        new_temperatures.maximum > own.partial.maximum,
    ];
    1 + MOVED_EXTREME * moved.into_iter().filter(|it| *it).count()
}

/// The sensors of a transaction, with the statistics of their new readings.
#[derive(Debug, Default)]
pub(crate) struct Sensors(HashMap<SensorId, PartialStats>);

impl Sensors {
    /// How many more items the transaction needs when readings with these extremes are added to a sensor.
    pub(crate) fn more(
        &self,
        sensor: &SensorId,
        known: Option<&KnownSensor>,
        added: &PartialStats,
    ) -> usize {
        let Some(before) = self.0.get(sensor) else {
            return of_sensor(known, added);
        };
        let mut after = *before;
        after.merge(added);
        of_sensor(known, &after) - of_sensor(known, before)
    }

    pub(crate) fn add(&mut self, sensor: &SensorId, added: &PartialStats) {
        let partial = self.0.entry(sensor.clone()).or_insert(PartialStats::EMPTY);
        partial.merge(added);
    }
}

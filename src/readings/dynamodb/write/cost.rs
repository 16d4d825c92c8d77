//! How many items of a transaction readings take, told before it is planned: pure.

use std::collections::HashMap;

use super::super::table::items::Part;
use super::known_sensor::KnownSensor;
use crate::readings::SensorId;

/// What `TransactWriteItems` takes.
pub(crate) const ITEMS_MAX: usize = 100;

/// A new sensor: its guard, its cell, and the cell's place in the order of minima and of maxima.
const NEW_SENSOR: usize = 4;
/// An extreme that moves: the old place in the order, and the new one.
const MOVED_EXTREME: usize = 2;

/// How many items a sensor takes besides one for each reading. A sensor that nothing is known of is taken for new. Replacements
/// may take more, which only those who look them up can tell.
pub(crate) fn of_sensor(known: Option<&KnownSensor>, brought: &Part) -> usize {
    let Some(known) = known else {
        return NEW_SENSOR;
    };
    let Some(own) = &known.own else {
        return NEW_SENSOR - usize::from(known.guard.is_some());
    };
    let moved = [
        brought.minimum < own.part.minimum,
        brought.maximum > own.part.maximum,
    ];
    1 + MOVED_EXTREME * moved.into_iter().filter(|it| *it).count()
}

/// The sensors of a transaction, and what their readings bring.
#[derive(Debug, Default)]
pub(crate) struct Sensors(HashMap<SensorId, Part>);

impl Sensors {
    /// How many more items it takes if readings of a sensor with these extremes are added.
    pub(crate) fn more(
        &self,
        sensor: &SensorId,
        known: Option<&KnownSensor>,
        added: &Part,
    ) -> usize {
        let Some(before) = self.0.get(sensor) else {
            return of_sensor(known, added);
        };
        let mut after = *before;
        after.merge(added);
        of_sensor(known, &after) - of_sensor(known, before)
    }

    pub(crate) fn add(&mut self, sensor: &SensorId, added: &Part) {
        let part = self.0.entry(sensor.clone()).or_insert(Part::EMPTY);
        part.merge(added);
    }
}

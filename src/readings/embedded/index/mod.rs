//! What is kept in memory of every sensor: its totals and its tail. All of it is derived from what is on disk.

pub(crate) mod id_list;
pub(crate) mod names;
mod order;

use self::names::Names;
use super::periods::Uncounted;
use super::sensor::Sensor;
use crate::readings::{SensorId, SensorSummary, Stats};

/// Every sensor, by number and by id.
#[derive(Debug, Default)]
pub(crate) struct Index {
    sensors: Vec<Sensor>,
    names: Names,
    /// Over all sensors.
    pub(crate) totals: Stats,
    /// How many points the tails hold.
    pub(crate) tail_points: usize,
    /// That of the ledger whose chunks the sensors and their tails go with.
    pub(crate) generation: u64,
    /// What is logged and not in `periods` of that generation yet.
    pub(crate) uncounted: Uncounted,
}

impl Index {
    /// Sensors in order of their numbers.
    pub(crate) fn of(names: Names, sensors: Vec<Sensor>) -> Self {
        let mut index = Self {
            names,
            ..Self::default()
        };
        for sensor in &sensors {
            index.totals.merge(&sensor.stats);
            index.tail_points += sensor.tail.len();
        }
        index.sensors = sensors;
        index
    }

    pub(crate) fn len(&self) -> usize {
        self.sensors.len()
    }

    pub(crate) fn number(&self, id: &str) -> Option<u32> {
        self.names.number(id)
    }

    /// The id of a sensor.
    pub(crate) fn id(&self, number: u32) -> SensorId {
        self.names.id(number)
    }

    pub(crate) fn get(&self, number: u32) -> Option<&Sensor> {
        self.sensors.get(number as usize)
    }

    pub(crate) fn get_mut(&mut self, number: u32) -> Option<&mut Sensor> {
        self.sensors.get_mut(number as usize)
    }

    /// A sensor with its number.
    pub(crate) fn find(&self, id: &SensorId) -> Option<(u32, &Sensor)> {
        let number = self.number(id.as_str())?;
        Some((number, self.get(number)?))
    }

    pub(crate) fn summary(&self, number: u32, sensor: &Sensor) -> SensorSummary {
        SensorSummary {
            sensor: self.id(number),
            stats: sensor.stats,
            first: sensor.first,
            last: sensor.last,
            latest: sensor.latest,
        }
    }

    pub(crate) fn sensors(&self) -> &[Sensor] {
        &self.sensors
    }

    /// Adds a sensor, which takes the number that follows.
    pub(crate) fn add(&mut self, id: &SensorId, sensor: Sensor) {
        self.names.add(id);
        self.sensors.push(sensor);
    }

    /// Sensors in order of ids, beginning after `after`.
    pub(crate) fn ordered_after(
        &self,
        after: Option<&SensorId>,
    ) -> impl Iterator<Item = (u32, &Sensor)> {
        let numbers = self.names.ordered_after(after);
        numbers.filter_map(|number| Some((number, self.get(number)?)))
    }

    /// Finds the overall extremes anew: a replaced reading may have been one.
    pub(crate) fn recount_extremes(&mut self) {
        let mut extremes = Stats::EMPTY;
        for sensor in &self.sensors {
            extremes.merge(&sensor.stats);
        }
        self.totals.set_extremes(&extremes);
    }
}

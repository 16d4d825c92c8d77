//! The index: all sensors in memory, with ids, statistics and tails. Recovery rebuilds the index from disk at every start.

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
    /// The statistics of all sensors.
    pub(crate) totals: Stats,
    /// The number of points in all tails.
    pub(crate) tail_points: usize,
    /// The generation of the ledger that matches the tails: the chunks of this generation and the tails fit together.
    pub(crate) generation: u64,
    /// The logged changes that are not in `periods` of this generation.
    pub(crate) uncounted: Uncounted,
}

impl Index {
    /// Builds an index. `sensors` is in order of their numbers.
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

    /// A sensor and its number, by id.
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

    /// Adds a sensor. The sensor takes the next number.
    pub(crate) fn add(&mut self, id: &SensorId, sensor: Sensor) {
        self.names.add(id);
        self.sensors.push(sensor);
    }

    /// The sensors in order of their ids, after the id `after`.
    pub(crate) fn ordered_after(
        &self,
        after: Option<&SensorId>,
    ) -> impl Iterator<Item = (u32, &Sensor)> {
        let numbers = self.names.ordered_after(after);
        numbers.filter_map(|number| Some((number, self.get(number)?)))
    }

    /// Recomputes the extremes of all sensors, after a reading with an extreme was replaced.
    pub(crate) fn recount_extremes(&mut self) {
        let mut extremes = Stats::EMPTY;
        for sensor in &self.sensors {
            extremes.merge(&sensor.stats);
        }
        self.totals.set_extremes(&extremes);
    }
}

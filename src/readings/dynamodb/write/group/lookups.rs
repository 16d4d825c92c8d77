//! The lookups of a group: sensors with the sensor limit, stored readings, extremes.

use std::collections::BTreeSet;

use super::super::changes::Changes;
use super::super::lookup::{extremes, own_aggregates, stored_readings};
use super::{Group, ReadingResult};
use crate::error::StoreError;
use crate::readings::SensorId;

impl Group {
    /// Looks up the unknown sensors, and refuses new sensors beyond the limit.
    pub(super) async fn look_up_sensors(&mut self) -> Result<(), StoreError> {
        let sensors: BTreeSet<_> = self.task.readings.iter().map(|it| &it.sensor).collect();
        let sensors: Vec<SensorId> = sensors.into_iter().cloned().collect();
        let known = &self.task.known;
        let unknown = sensors.iter().filter(|it| !known.contains_key(*it));
        let unknown: Vec<SensorId> = unknown.cloned().collect();
        if !unknown.is_empty() {
            let prefetched = std::mem::take(&mut self.task.prefetched);
            self.look_up(unknown, prefetched).await?;
        }
        let mut new = self.new_among(sensors);
        if new.is_empty() {
            return Ok(());
        }
        let room = self
            .task
            .sensor_limit
            .room(&self.task.tables, self.task.sensors_max)
            .await?;
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        if new.len() > room {
            // The lookup may be old, and another replica may have added the sensor since.
            self.look_up(new.clone(), Vec::new()).await?;
            new = self.new_among(new);
            let refused = new.split_off(new.len().min(room));
            self.refuse(&refused);
        }
        Ok(())
    }

    /// Looks up sensors of the group, and sensors for later groups.
    async fn look_up(
        &mut self,
        sensors: Vec<SensorId>,
        prefetched: Vec<SensorId>,
    ) -> Result<(), StoreError> {
        let all: Vec<SensorId> = sensors.iter().chain(&prefetched).cloned().collect();
        let mut found = own_aggregates(&self.task.tables, &self.task.attempt.lease, &all).await?;
        for sensor in sensors {
            let known = found.remove(&sensor).unwrap_or_default();
            self.task.known.insert(sensor, known);
        }
        for sensor in prefetched {
            let known = found.remove(&sensor).unwrap_or_default();
            self.prefetched.push((sensor, known));
        }
        Ok(())
    }

    /// The sensors without any reading.
    fn new_among(&self, mut sensors: Vec<SensorId>) -> Vec<SensorId> {
        let known = &self.task.known;
        sensors.retain(|it| {
            known
                .get(it)
                .is_none_or(|known| known.replacement_version.is_none())
        });
        sensors
    }

    /// Refuses the readings of new sensors beyond the limit. Also refuses each all-or-nothing batch with such a reading.
    fn refuse(&mut self, refused: &[SensorId]) {
        let readings = std::mem::take(&mut self.task.readings);
        let whole: BTreeSet<u64> = readings
            .iter()
            .filter(|it| it.all_or_nothing && refused.contains(&it.sensor))
            .map(|it| it.submission)
            .collect();
        for reading in readings {
            if refused.contains(&reading.sensor) || whole.contains(&reading.submission) {
                self.finished
                    .push((reading, ReadingResult::SensorLimitReached));
            } else {
                self.task.readings.push(reading);
            }
        }
    }

    /// Looks up which of the readings are stored.
    pub(super) async fn look_up_readings(&mut self) -> Result<(), StoreError> {
        let keys = self.task.readings.iter();
        let keys = keys.map(|it| (it.sensor.clone(), it.point.timestamp));
        let found = stored_readings(&self.task.tables, keys).await?;
        self.stored.extend(found);
        Ok(())
    }

    /// Looks up the lowest and the highest reading of a sensor after the changes.
    pub(super) async fn find_extremes(
        &mut self,
        sensor: &SensorId,
        changes: &Changes,
    ) -> Result<(), StoreError> {
        let Some(of_sensor) = changes.get(sensor) else {
            return Ok(());
        };
        let extremes = extremes(&self.task.tables, sensor, of_sensor).await?;
        if let Some(known) = self.task.known.get_mut(sensor) {
            known.extremes = Some(extremes);
        }
        Ok(())
    }
}

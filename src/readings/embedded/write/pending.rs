//! The pending changes of a commit: each reading is compared with the tail in memory, and with the chunks where necessary.

use rusqlite::Connection;

use super::stored_readings::{SensorReadings, StoredReadings};
use crate::error::{StoreError, StoreErrorKind};
use crate::readings::embedded::format::file::damaged;
use crate::readings::embedded::format::log_row::{Run, Runs};
use crate::readings::embedded::format::points::{position, put_into};
use crate::readings::embedded::index::Index;
use crate::readings::embedded::sensor::window;
use crate::readings::{
    Batch, Outcome, Point, RecordMode, Refusal, SensorId, Stats, Temperature, Timestamp,
};

/// Marks a sensor without changes in this commit.
const NO_ENTRY: u32 = u32::MAX;

/// The changes of a sensor.
#[derive(Debug)]
pub(crate) struct SensorChanges {
    pub(crate) sensor: u32,
    /// The latest timestamp, stored or pending. `None` before a new sensor's first reading.
    last: Option<Timestamp>,
    /// New and replacing points, in ascending order of time.
    pub(crate) points: Vec<Point>,
    /// For each point that replaces a stored reading: the timestamp and the stored temperature. In order of time after
    /// [`Pending::compute_stats`].
    pub(crate) replaced: Vec<(Timestamp, Temperature)>,
    /// The sensor's statistics after the commit, if readings are replaced. Otherwise the new readings are just added.
    pub(crate) stats: Option<Stats>,
}

/// The changes of a commit. Readers do not see the changes yet.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    /// The entries in use, then unused entries. The memory of the unused entries is reused.
    sensors: Vec<SensorChanges>,
    used: usize,
    /// By sensor number: the index of the sensor's entry.
    entries: Vec<u32>,
    /// New sensors of this commit. Their numbers follow the numbers of the index.
    pub(crate) new_sensors: Vec<SensorId>,
    new_numbers: hashbrown::HashMap<SensorId, u32>,
    /// Readings of the current batch that are not newer than the sensor's latest reading.
    late: Vec<(u32, Point)>,
}

impl SensorChanges {
    /// Merges late points of the sensor, in ascending order of time.
    fn merge(
        &mut self,
        late: &[(u32, Point)],
        stored: &mut SensorReadings<'_, '_>,
        outcome: &mut Outcome,
    ) -> Result<(), StoreError> {
        let Some((_, first)) = late.first() else {
            return Ok(());
        };
        let mut later = self
            .points
            .split_off(position(&self.points, first.timestamp))
            .into_iter()
            .peekable();
        for (_, point) in late {
            while let Some(pending) = later.next_if(|next| next.timestamp <= point.timestamp) {
                self.points.push(pending);
            }
            if let Some(pending) = self.points.last_mut()
                && pending.timestamp == point.timestamp
            {
                if pending.temperature == point.temperature {
                    outcome.unchanged += 1;
                } else {
                    pending.temperature = point.temperature;
                    outcome.replaced += 1;
                }
                continue;
            }
            match stored.temperature(point.timestamp)? {
                Some(stored) if stored == point.temperature => {
                    outcome.unchanged += 1;
                    continue;
                }
                Some(stored) => {
                    self.replaced.push((point.timestamp, stored));
                    outcome.replaced += 1;
                }
                None => outcome.recorded += 1,
            }
            self.points.push(*point);
        }
        self.points.extend(later);
        Ok(())
    }
}

impl Runs for Pending {
    fn for_each(&self, visit: &mut dyn FnMut(Run<'_>)) {
        for changes in self
            .sensors()
            .iter()
            .filter(|changes| !changes.points.is_empty())
        {
            visit(Run {
                sensor: changes.sensor,
                points: &changes.points,
                replaced: &changes.replaced,
            });
        }
    }
}

impl Pending {
    pub(crate) fn sensors(&self) -> &[SensorChanges] {
        &self.sensors[..self.used]
    }

    /// A sensor's changes, if any.
    pub(crate) fn changes_of(&self, sensor: u32) -> Option<&SensorChanges> {
        let at = *self.entries.get(sensor as usize)?;
        self.sensors().get(at as usize)
    }

    /// Whether no reading is new or replaced.
    pub(crate) fn is_empty(&self) -> bool {
        self.sensors()
            .iter()
            .all(|changes| changes.points.is_empty())
    }

    /// Removes all changes.
    pub(crate) fn clear(&mut self) {
        for changes in &mut self.sensors[..self.used] {
            if let Some(entry) = self.entries.get_mut(changes.sensor as usize) {
                *entry = NO_ENTRY;
            }
        }
        self.used = 0;
        self.new_sensors.clear();
        self.new_numbers.clear();
    }

    /// Adds a batch.
    ///
    /// # Errors
    /// After an error the changes are incomplete: call [`Pending::clear`], and add the other batches again.
    pub(crate) fn admit(
        &mut self,
        batch: &Batch,
        mode: RecordMode,
        sensors_max: usize,
        index: &Index,
        is_stuck: impl Fn(u32) -> bool,
        disk: &mut StoredReadings<'_>,
    ) -> Result<Outcome, StoreError> {
        let numbers = self.number_sensors(batch, sensors_max, index, is_stuck);
        if mode == RecordMode::AllOrNothing
            && let Some(no_number) = numbers.iter().find_map(|number| number.err())
        {
            return Err(no_number.error(sensors_max));
        }
        let mut outcome = Outcome::default();
        self.late.clear();
        for (at, reading) in batch.readings().iter().enumerate() {
            let number = match numbers[reading.sensor as usize] {
                Ok(number) => number,
                Err(no_number) => {
                    outcome.refused.push(Refusal {
                        index: at,
                        reason: no_number.error(sensors_max).message().to_owned(),
                    });
                    continue;
                }
            };
            let changes = self.changes_mut(number, index);
            if changes
                .last
                .is_none_or(|last| last < reading.point.timestamp)
            {
                changes.last = Some(reading.point.timestamp);
                changes.points.push(reading.point);
                outcome.recorded += 1;
            } else {
                self.late.push((number, reading.point));
            }
        }
        self.admit_late(index, disk, &mut outcome)?;
        Ok(outcome)
    }

    /// Adds the late readings of a batch, by sensor and time. Readings with the same timestamp keep their order in the batch.
    fn admit_late(
        &mut self,
        index: &Index,
        disk: &mut StoredReadings<'_>,
        outcome: &mut Outcome,
    ) -> Result<(), StoreError> {
        if self.late.is_empty() {
            return Ok(());
        }
        let mut late = std::mem::take(&mut self.late);
        late.sort_by_key(|(sensor, point)| (*sensor, point.timestamp));
        for run in late.chunk_by(|(sensor, _), (next, _)| sensor == next) {
            let number = run[0].0;
            let changes = self.changes_mut(number, index);
            changes.merge(run, &mut disk.of(number, index), outcome)?;
        }
        self.late = late;
        Ok(())
    }

    /// The numbers of a batch's sensors. Assigns numbers to new sensors.
    fn number_sensors(
        &mut self,
        batch: &Batch,
        sensors_max: usize,
        index: &Index,
        is_stuck: impl Fn(u32) -> bool,
    ) -> Vec<Result<u32, NoNumber>> {
        let ids = batch.sensors().iter();
        ids.map(|id| {
            let known = index.number(id.as_str());
            if let Some(number) = known.or_else(|| self.new_numbers.get(id).copied()) {
                return if is_stuck(number) {
                    Err(NoNumber::Stuck)
                } else {
                    Ok(number)
                };
            }
            let next = index.len() + self.new_sensors.len();
            if next >= sensors_max {
                return Err(NoNumber::TooManySensors);
            }
            self.new_sensors.push(id.clone());
            self.new_numbers.insert(id.clone(), next as u32);
            Ok(next as u32)
        })
        .collect()
    }

    fn changes_mut(&mut self, number: u32, index: &Index) -> &mut SensorChanges {
        let entry = number as usize;
        if entry >= self.entries.len() {
            self.entries.resize(entry + 1, NO_ENTRY);
        }
        let mut at = self.entries[entry] as usize;
        if at == NO_ENTRY as usize {
            at = self.used;
            self.used += 1;
            self.entries[entry] = at as u32;
            let last = index.get(number).map(|sensor| sensor.last);
            if let Some(changes) = self.sensors.get_mut(at) {
                changes.sensor = number;
                changes.last = last;
                changes.points.clear();
                changes.replaced.clear();
                changes.stats = None;
            } else {
                self.sensors.push(SensorChanges {
                    sensor: number,
                    last,
                    points: Vec::new(),
                    replaced: Vec::new(),
                    stats: None,
                });
            }
        }
        &mut self.sensors[at]
    }

    /// Computes the statistics of sensors with replaced readings. Runs before the commit, so that a damaged chunk fails the batch
    /// and nothing else.
    pub(crate) fn compute_stats(
        &mut self,
        index: &Index,
        dropped: impl Fn(u32) -> usize,
        connection: &Connection,
    ) -> Result<(), StoreError> {
        for changes in &mut self.sensors[..self.used] {
            if changes.replaced.is_empty() {
                continue;
            }
            let Some(sensor) = index.get(changes.sensor) else {
                continue;
            };
            let mut stats = sensor.stats;
            let mut extremes_known = true;
            changes
                .replaced
                .sort_unstable_by_key(|(timestamp, _)| *timestamp);
            let mut replaced = changes.replaced.iter().peekable();
            for point in &changes.points {
                match replaced.next_if(|(timestamp, _)| *timestamp == point.timestamp) {
                    Some((_, old)) => extremes_known &= stats.replace(*old, point.temperature),
                    None => stats.add(point.temperature),
                }
            }
            if !extremes_known {
                let mut tail =
                    sensor.tail[dropped(changes.sensor).min(sensor.tail.len())..].to_vec();
                put_into(&mut tail, &changes.points);
                let recount = window::extremes(connection, changes.sensor, &tail)?;
                stats.set_extremes(&recount);
            }
            changes.stats = Some(stats);
        }
        Ok(())
    }

    /// Frees the memory of an unusually large commit. Otherwise the memory is kept for the next commits.
    pub(crate) fn shrink(&mut self, points_max: usize) {
        let held: usize = self
            .sensors
            .iter()
            .map(|changes| changes.points.capacity())
            .sum();
        if held > points_max {
            self.sensors = Vec::new();
            self.used = 0;
            self.entries.fill(NO_ENTRY);
        }
    }
}

/// Why a sensor's readings are refused.
#[derive(Clone, Copy, Debug)]
enum NoNumber {
    TooManySensors,
    /// A damaged chunk prevents sealing, and the tail has reached the limit.
    Stuck,
}

impl NoNumber {
    fn error(self, sensors_max: usize) -> StoreError {
        match self {
            Self::TooManySensors => StoreError::new(
                StoreErrorKind::TooManySensors,
                format!(
                    "the sensor is new, and {sensors_max} sensors, which is the limit, are known already; check whether ids \
                     are made up anew each time, or raise --sensors-max"
                ),
            ),
            Self::Stuck => damaged(
                "a chunk of this sensor does not match its checksum, and no more of its readings can be held beside it",
            ),
        }
    }
}

//! What a commit is about to change: each reading checked against memory, and against disk where it has to be.

use rusqlite::Connection;

use super::lookup::{Disk, Stored};
use crate::error::{StoreError, StoreErrorKind};
use crate::readings::embedded::format::file::damaged;
use crate::readings::embedded::format::log_row::{Run, Runs};
use crate::readings::embedded::format::points::{position, put_into};
use crate::readings::embedded::index::Index;
use crate::readings::embedded::sensor::window;
use crate::readings::{
    Batch, Outcome, Point, RecordMode, Refusal, SensorId, Stats, Temperature, Timestamp,
};

/// Marks a sensor that has no slot in this commit.
const NO_SLOT: u32 = u32::MAX;

/// One sensor's changes.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) sensor: u32,
    /// The latest moment stored or pending; `None` before a new sensor's first reading.
    last: Option<Timestamp>,
    /// New and replacing points, in ascending order of time.
    pub(crate) points: Vec<Point>,
    /// For each that replaces a stored one: when, and what is stored. In order of time once the commit is settled.
    pub(crate) replaced: Vec<(Timestamp, Temperature)>,
    /// The sensor's statistics after the commit, where readings are replaced; otherwise the new ones are just added.
    pub(crate) stats: Option<Stats>,
}

/// The changes of one commit, as if they were made, but seen by nobody yet.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    /// The slots in use, and behind them slots whose memory is used again.
    slots: Vec<Slot>,
    used: usize,
    /// By sensor number: its slot.
    slot_of: Vec<u32>,
    /// Sensors that this commit adds, numbered from where the index ends.
    pub(crate) new_sensors: Vec<SensorId>,
    new_numbers: hashbrown::HashMap<SensorId, u32>,
    /// Of the batch being admitted: the readings that are not newer than what their sensor has.
    late: Vec<(u32, Point)>,
}

impl Slot {
    /// Takes in late points of the sensor, in ascending order of time.
    fn merge(
        &mut self,
        late: &[(u32, Point)],
        stored: &mut Stored<'_, '_>,
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
        for slot in self.slots().iter().filter(|slot| !slot.points.is_empty()) {
            visit(Run {
                sensor: slot.sensor,
                points: &slot.points,
                replaced: &slot.replaced,
            });
        }
    }
}

impl Pending {
    pub(crate) fn slots(&self) -> &[Slot] {
        &self.slots[..self.used]
    }

    /// A sensor's slot, if it has one.
    pub(crate) fn slot_of(&self, sensor: u32) -> Option<&Slot> {
        let at = *self.slot_of.get(sensor as usize)?;
        self.slots().get(at as usize)
    }

    /// Whether there is nothing to write.
    pub(crate) fn is_empty(&self) -> bool {
        self.slots().iter().all(|slot| slot.points.is_empty())
    }

    /// Starts the next commit.
    pub(crate) fn clear(&mut self) {
        for slot in &mut self.slots[..self.used] {
            if let Some(entry) = self.slot_of.get_mut(slot.sensor as usize) {
                *entry = NO_SLOT;
            }
        }
        self.used = 0;
        self.new_sensors.clear();
        self.new_numbers.clear();
    }

    /// Takes a batch in. On an error the changes are half made: clear, and admit the other batches again.
    pub(crate) fn admit(
        &mut self,
        batch: &Batch,
        mode: RecordMode,
        sensors_max: usize,
        index: &Index,
        is_stuck: impl Fn(u32) -> bool,
        disk: &mut Disk<'_>,
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
            let slot = self.slot(number, index);
            if slot.last.is_none_or(|last| last < reading.point.timestamp) {
                slot.last = Some(reading.point.timestamp);
                slot.points.push(reading.point);
                outcome.recorded += 1;
            } else {
                self.late.push((number, reading.point));
            }
        }
        self.admit_late(index, disk, &mut outcome)?;
        Ok(outcome)
    }

    /// Takes in the late readings of a batch, sensor by sensor and in order of time. What came before in the batch still comes
    /// before among those of one moment.
    fn admit_late(
        &mut self,
        index: &Index,
        disk: &mut Disk<'_>,
        outcome: &mut Outcome,
    ) -> Result<(), StoreError> {
        if self.late.is_empty() {
            return Ok(());
        }
        let mut late = std::mem::take(&mut self.late);
        late.sort_by_key(|(sensor, point)| (*sensor, point.timestamp));
        for run in late.chunk_by(|(sensor, _), (next, _)| sensor == next) {
            let number = run[0].0;
            let slot = self.slot(number, index);
            slot.merge(run, &mut disk.of(number, index), outcome)?;
        }
        self.late = late;
        Ok(())
    }

    /// The numbers of a batch's sensors, those of new ones given out here.
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

    fn slot(&mut self, number: u32, index: &Index) -> &mut Slot {
        let entry = number as usize;
        if entry >= self.slot_of.len() {
            self.slot_of.resize(entry + 1, NO_SLOT);
        }
        let mut at = self.slot_of[entry] as usize;
        if at == NO_SLOT as usize {
            at = self.used;
            self.used += 1;
            self.slot_of[entry] = at as u32;
            let last = index.get(number).map(|sensor| sensor.last);
            if let Some(slot) = self.slots.get_mut(at) {
                slot.sensor = number;
                slot.last = last;
                slot.points.clear();
                slot.replaced.clear();
                slot.stats = None;
            } else {
                self.slots.push(Slot {
                    sensor: number,
                    last,
                    points: Vec::new(),
                    replaced: Vec::new(),
                    stats: None,
                });
            }
        }
        &mut self.slots[at]
    }

    /// Works out the statistics of the sensors that have readings replaced, before anything is committed: should that need
    /// a chunk that is damaged, nothing has happened yet.
    pub(crate) fn settle(
        &mut self,
        index: &Index,
        dropped: impl Fn(u32) -> usize,
        connection: &Connection,
    ) -> Result<(), StoreError> {
        for slot in &mut self.slots[..self.used] {
            if slot.replaced.is_empty() {
                continue;
            }
            let Some(sensor) = index.get(slot.sensor) else {
                continue;
            };
            let mut stats = sensor.stats;
            let mut extremes_known = true;
            slot.replaced
                .sort_unstable_by_key(|(timestamp, _)| *timestamp);
            let mut replaced = slot.replaced.iter().peekable();
            for point in &slot.points {
                match replaced.next_if(|(timestamp, _)| *timestamp == point.timestamp) {
                    Some((_, old)) => extremes_known &= stats.replace(*old, point.temperature),
                    None => stats.add(point.temperature),
                }
            }
            if !extremes_known {
                let mut tail = sensor.tail[dropped(slot.sensor).min(sensor.tail.len())..].to_vec();
                put_into(&mut tail, &slot.points);
                let recount = window::extremes(connection, slot.sensor, &tail)?;
                stats.set_extremes(&recount);
            }
            slot.stats = Some(stats);
        }
        Ok(())
    }

    /// Bytes of memory kept for the next commits are bounded by the largest one; this lets go of an unusually large one's.
    pub(crate) fn shrink(&mut self, points_max: usize) {
        let held: usize = self.slots.iter().map(|slot| slot.points.capacity()).sum();
        if held > points_max {
            self.slots = Vec::new();
            self.used = 0;
            self.slot_of.fill(NO_SLOT);
        }
    }
}

/// Why a sensor's readings are not taken.
#[derive(Clone, Copy, Debug)]
enum NoNumber {
    TooManySensors,
    /// They could only gather in memory: what is on disk is in the way.
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

//! What a commit is about to change: each reading checked against memory, and against disk where it has to be.

use rusqlite::Connection;

use super::cache::ChunkCache;
use super::index::{Index, put_into};
use super::log::Runs;
use super::{window, window::position};
use crate::error::{StoreError, StoreErrorKind};
use crate::readings::{
    Batch, Outcome, Point, RecordMode, Refusal, SensorId, Stats, Temperature, Timestamp, Window,
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
    /// For each that replaces a stored one: when, and what is stored.
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
}

impl Runs for Pending {
    fn for_each(&self, visit: &mut dyn FnMut(u32, &[Point])) {
        for slot in self.slots().iter().filter(|slot| !slot.points.is_empty()) {
            visit(slot.sensor, &slot.points);
        }
    }
}

/// What a reading turns out to be.
enum Finding {
    Recorded,
    Unchanged,
    Replaced,
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
        disk: &mut Disk<'_>,
    ) -> Result<Outcome, StoreError> {
        let numbers = self.number_sensors(batch, mode, sensors_max, index)?;
        let mut outcome = Outcome::default();
        for (at, reading) in batch.readings().iter().enumerate() {
            let Some(number) = numbers[reading.sensor as usize] else {
                outcome.refused.push(Refusal {
                    index: at,
                    reason: too_many_sensors(sensors_max),
                });
                continue;
            };
            match self.admit_point(number, reading.point, index, disk)? {
                Finding::Recorded => outcome.recorded += 1,
                Finding::Unchanged => outcome.unchanged += 1,
                Finding::Replaced => outcome.replaced += 1,
            }
        }
        Ok(outcome)
    }

    /// The numbers of a batch's sensors; `None` for one that there is no room for.
    fn number_sensors(
        &mut self,
        batch: &Batch,
        mode: RecordMode,
        sensors_max: usize,
        index: &Index,
    ) -> Result<Vec<Option<u32>>, StoreError> {
        let mut numbers: Vec<Option<u32>> = batch
            .sensors()
            .iter()
            .map(|id| {
                index
                    .number(id.as_str())
                    .or_else(|| self.new_numbers.get(id).copied())
            })
            .collect();
        let missing = numbers.iter().filter(|number| number.is_none()).count();
        let room = sensors_max.saturating_sub(index.len() + self.new_sensors.len());
        if missing > room && mode == RecordMode::AllOrNothing {
            return Err(StoreError::new(
                StoreErrorKind::TooManySensors,
                too_many_sensors(sensors_max),
            ));
        }
        let new = batch
            .sensors()
            .iter()
            .zip(&mut numbers)
            .filter(|(_, number)| number.is_none());
        for (id, number) in new.take(room) {
            let next = (index.len() + self.new_sensors.len()) as u32;
            self.new_sensors.push(id.clone());
            self.new_numbers.insert(id.clone(), next);
            *number = Some(next);
        }
        Ok(numbers)
    }

    fn admit_point(
        &mut self,
        number: u32,
        point: Point,
        index: &Index,
        disk: &mut Disk<'_>,
    ) -> Result<Finding, StoreError> {
        let slot = self.slot(number, index);
        if slot.last.is_none_or(|last| last < point.timestamp) {
            slot.last = Some(point.timestamp);
            slot.points.push(point);
            return Ok(Finding::Recorded);
        }
        let at = position(&slot.points, point.timestamp);
        if let Some(pending) = slot.points.get_mut(at)
            && pending.timestamp == point.timestamp
        {
            if pending.temperature == point.temperature {
                return Ok(Finding::Unchanged);
            }
            pending.temperature = point.temperature;
            return Ok(Finding::Replaced);
        }
        match disk.stored(number, point.timestamp, index)? {
            Some(stored) if stored == point.temperature => Ok(Finding::Unchanged),
            Some(stored) => {
                slot.points.insert(at, point);
                slot.replaced.push((point.timestamp, stored));
                Ok(Finding::Replaced)
            }
            None => {
                slot.points.insert(at, point);
                Ok(Finding::Recorded)
            }
        }
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
                let recount = window::stats(connection, slot.sensor, &tail, Window::ALL)?;
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

/// The message of [`StoreErrorKind::TooManySensors`].
fn too_many_sensors(sensors_max: usize) -> String {
    format!(
        "the sensor is new, and {sensors_max} sensors, which is the limit, are known already; check whether ids are made up \
         anew each time, or raise --sensors-max"
    )
}

/// Looks readings up where they are stored.
pub(crate) struct Disk<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) cache: &'a mut ChunkCache,
}

impl Disk<'_> {
    /// The stored temperature of a sensor at a moment that is not later than its last.
    fn stored(
        &mut self,
        number: u32,
        timestamp: Timestamp,
        index: &Index,
    ) -> Result<Option<Temperature>, StoreError> {
        let Some(sensor) = index.get(number) else {
            return Ok(None);
        };
        let find = |points: &[Point]| {
            points
                .get(position(points, timestamp))
                .filter(|found| found.timestamp == timestamp)
                .map(|found| found.temperature)
        };
        if let Some(found) = find(&sensor.tail) {
            return Ok(Some(found));
        }
        if sensor
            .sealed_last
            .is_none_or(|sealed_last| sealed_last < timestamp)
        {
            return Ok(None);
        }
        let points = self.cache.covering(self.connection, number, timestamp)?;
        Ok(points.and_then(find))
    }
}

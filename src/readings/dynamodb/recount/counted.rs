//! What readings add up to: of one sensor, and of all.

use xxhash_rust::xxh3::xxh3_128;

use super::entry::Entry;
use crate::readings::dynamodb::table::items::{Cell, LANES, Part, StoredReading};
use crate::readings::{SensorId, Timestamp};

/// One sensor as its readings tell.
pub(super) struct Counted {
    pub(super) sensor: SensorId,
    pub(super) part: Part,
    pub(super) first: Timestamp,
    pub(super) last: (Timestamp, StoredReading),
}

impl Counted {
    pub(super) fn begin(entry: Entry) -> Self {
        let mut part = Part::EMPTY;
        add(&mut part, &entry);
        Self {
            sensor: entry.sensor,
            part,
            first: entry.timestamp,
            last: (entry.timestamp, entry.stored),
        }
    }

    pub(super) fn add(&mut self, entry: Entry) {
        add(&mut self.part, &entry);
        self.first = self.first.min(entry.timestamp);
        if entry.timestamp >= self.last.0 {
            self.last = (entry.timestamp, entry.stored);
        }
    }

    /// Its only cell.
    pub(super) fn cell(&self) -> Cell {
        Cell {
            version: 1,
            part: self.part,
            first: self.first,
            last: self.last.0,
            latest: self.last.1.temperature,
            latest_version: self.last.1.version,
            lanes: [0; LANES],
        }
    }
}

fn add(part: &mut Part, entry: &Entry) {
    let micro_degrees = entry.temperature().micro_degrees();
    part.count += 1;
    part.sum += i128::from(micro_degrees);
    part.widen(micro_degrees);
}

/// Everything that was read, in whatever order: two passes that have read the same have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Whole {
    pub(super) part: Part,
    pub(super) sensors: u64,
    /// A sum over all readings of a hash of sensor, moment and temperature.
    fingerprint: u128,
}

impl Default for Whole {
    fn default() -> Self {
        Self {
            part: Part::EMPTY,
            sensors: 0,
            fingerprint: 0,
        }
    }
}

impl Whole {
    pub(super) fn add(&mut self, entry: &Entry) {
        add(&mut self.part, entry);
        let mut bytes = [0; 16 + 4 * SensorId::CHARACTERS_MAX];
        let name = entry.sensor.as_str().as_bytes();
        bytes[..8].copy_from_slice(&entry.timestamp.micros().to_le_bytes());
        bytes[8..16].copy_from_slice(&entry.temperature().micro_degrees().to_le_bytes());
        // A character is four bytes at the most.
        bytes[16..16 + name.len()].copy_from_slice(name);
        let hash = xxh3_128(&bytes[..16 + name.len()]);
        self.fingerprint = self.fingerprint.wrapping_add(hash);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.part.merge(&other.part);
        self.sensors += other.sensors;
        self.fingerprint = self.fingerprint.wrapping_add(other.fingerprint);
    }
}

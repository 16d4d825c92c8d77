//! The statistics of counted readings: of a sensor, and of all sensors.

use xxhash_rust::xxh3::xxh3_128;

use super::entry::Entry;
use crate::readings::dynamodb::table::items::{
    PartialAggregate, PartialStats, StoredReading, WRITE_SHARDS,
};
use crate::readings::{SensorId, Timestamp};

/// The statistics of a sensor.
pub(super) struct SensorCount {
    pub(super) sensor: SensorId,
    pub(super) partial: PartialStats,
    pub(super) first: Timestamp,
    pub(super) last: (Timestamp, StoredReading),
}

impl SensorCount {
    pub(super) fn begin(entry: Entry) -> Self {
        let mut partial = PartialStats::EMPTY;
        add(&mut partial, &entry);
        Self {
            sensor: entry.sensor,
            partial,
            first: entry.timestamp,
            last: (entry.timestamp, entry.stored),
        }
    }

    pub(super) fn add(&mut self, entry: Entry) {
        add(&mut self.partial, &entry);
        self.first = self.first.min(entry.timestamp);
        if entry.timestamp >= self.last.0 {
            self.last = (entry.timestamp, entry.stored);
        }
    }

    /// The sensor's only partial aggregate.
    pub(super) fn aggregate(&self) -> PartialAggregate {
        PartialAggregate {
            version: 1,
            partial: self.partial,
            first: self.first,
            last: self.last.0,
            latest: self.last.1.temperature,
            latest_version: self.last.1.version,
            shards: [0; WRITE_SHARDS],
        }
    }
}

fn add(partial: &mut PartialStats, entry: &Entry) {
    let micro_degrees = entry.temperature().micro_degrees();
    partial.count += 1;
    partial.sum += i128::from(micro_degrees);
    partial.widen(micro_degrees);
}

/// The statistics of all readings, in any order. Two passes over the same readings give equal totals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) partial: PartialStats,
    pub(super) sensors: u64,
    /// The sum of a hash of each reading's sensor, timestamp and temperature.
    fingerprint: u128,
}

impl Default for Totals {
    fn default() -> Self {
        Self {
            partial: PartialStats::EMPTY,
            sensors: 0,
            fingerprint: 0,
        }
    }
}

impl Totals {
    pub(super) fn add(&mut self, entry: &Entry) {
        add(&mut self.partial, entry);
        let mut bytes = [0; 16 + 4 * SensorId::CHARACTERS_MAX];
        let name = entry.sensor.as_str().as_bytes();
        bytes[..8].copy_from_slice(&entry.timestamp.micros().to_le_bytes());
        bytes[8..16].copy_from_slice(&entry.temperature().micro_degrees().to_le_bytes());
        // A character has four bytes at most.
        bytes[16..16 + name.len()].copy_from_slice(name);
        let hash = xxh3_128(&bytes[..16 + name.len()]);
        self.fingerprint = self.fingerprint.wrapping_add(hash);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.partial.merge(&other.partial);
        self.sensors += other.sensors;
        self.fingerprint = self.fingerprint.wrapping_add(other.fingerprint);
    }
}

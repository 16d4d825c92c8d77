//! The state of sealing: moves the tails into chunks, a little with each commit.
//!
//! Sealing passes through the sensors again and again. A *cycle* is one pass. At the end of a cycle, the readings logged before
//! the cycle are in chunks or in later log rows, so the old log rows can be removed. A cycle pauses while the tails are small. So
//! a tail is as long as memory allows when the cycle reaches the sensor.

use std::time::{Duration, Instant};

use hashbrown::HashSet;
use rusqlite::Connection;

use super::cycle::Cycle;
use super::slice::{Slice, SliceBuilder, SliceError};
use crate::readings::embedded::format::ledger::Ledger;
use crate::readings::embedded::index::Index;
use crate::readings::embedded::options::EmbeddedOptions;
use crate::readings::embedded::sensor::range_cache::RangeCache;

/// How long a slice may take: about as long as a flush to disk, so that clients do not notice the slice.
const SLICE_TIME: Duration = Duration::from_millis(2);

/// How long a slice may take when the tails are full.
const SLICE_TIME_CROWDED: Duration = Duration::from_millis(20);

/// How long a slice may take while the store closes.
const SLICE_TIME_CLOSING: Duration = Duration::from_millis(100);

/// The tail limit, in chunks, of a sensor that cannot be sealed because a chunk is damaged.
const STUCK_CHUNKS: usize = 8;

/// The state of sealing between slices.
#[derive(Debug)]
pub(crate) struct Sealer {
    pub(crate) ledger: Ledger,
    cycle: Option<Cycle>,
    /// The last log row sealed by a finished cycle. The log keeps rows that are not counted into `periods`.
    pub(crate) sealed: u64,
    next_data: i64,
    /// Sensors with tails longer than a chunk. They are sealed first.
    overfull: Vec<u32>,
    /// Sensors that cannot be sealed because a chunk is damaged. Their tails are carried.
    damaged: HashSet<u32>,
    /// The time of the first log row that no cycle covers.
    unsealed_since: Option<Instant>,
    /// The number of readings in these rows.
    logged_readings: usize,
    /// The time and the number for rows logged since the current cycle began. The cycle does not cover them.
    newer: (Option<Instant>, usize),
    slice_time: Duration,
}

impl Sealer {
    pub(crate) fn new(ledger: Ledger, last_data: i64) -> Self {
        Self {
            ledger,
            sealed: ledger.log_sealed,
            cycle: None,
            next_data: last_data + 1,
            overfull: Vec::new(),
            damaged: HashSet::new(),
            unsealed_since: None,
            logged_readings: 0,
            newer: (None, 0),
            slice_time: SLICE_TIME,
        }
    }

    /// Counts the readings logged by a commit.
    pub(crate) fn logged(&mut self, readings: usize) {
        if readings == 0 {
            return;
        }
        let (since, logged) = match self.cycle {
            Some(_) => (&mut self.newer.0, &mut self.newer.1),
            None => (&mut self.unsealed_since, &mut self.logged_readings),
        };
        since.get_or_insert_with(Instant::now);
        *logged += readings;
    }

    /// Records the length of a grown tail.
    pub(crate) fn tail_grown(
        &mut self,
        sensor: u32,
        tail_points: usize,
        options: &EmbeddedOptions,
    ) {
        if tail_points > 2 * options.chunk_points_max && !self.damaged.contains(&sensor) {
            self.overfull.push(sensor);
        }
    }

    /// Starts a full cycle without pauses. The cycle covers everything in the log.
    pub(crate) fn start_full_cycle(&mut self, last_sequence: u64, options: &EmbeddedOptions) {
        let (newer_since, newer_readings) = std::mem::take(&mut self.newer);
        self.unsealed_since = self.unsealed_since.or(newer_since);
        self.logged_readings += newer_readings;
        if self.unsealed_since.is_some() {
            let points_min = options.chunk_points_min;
            self.cycle = Some(Cycle {
                log_end: last_sequence,
                next: 0,
                points_min,
                urgent: true,
            });
        }
    }

    /// Uses longer slices, because no client waits any more.
    pub(crate) fn prepare_to_close(&mut self) {
        self.slice_time = SLICE_TIME_CLOSING;
    }

    /// Whether a slice is due. Starts a cycle when the cycle is due.
    pub(crate) fn is_due(
        &mut self,
        last_sequence: u64,
        index: &Index,
        options: &EmbeddedOptions,
    ) -> bool {
        let aged = self
            .unsealed_since
            .is_some_and(|since| since.elapsed() >= options.seal_age);
        let long_log = self.logged_readings + self.newer.1 >= 3 * options.tail_points_max;
        let sealable_points = self.sealable_points(index);
        let crowded = sealable_points >= options.tail_points_max;
        let urgent = aged || long_log;
        if (crowded || urgent) && self.cycle.is_none() {
            self.cycle = Some(Cycle::new(last_sequence, index, sealable_points, options));
        }
        if let Some(cycle) = &mut self.cycle {
            cycle.urgent |= urgent;
        }
        !self.overfull.is_empty() || self.cycle.is_some_and(|cycle| cycle.urgent || crowded)
    }

    /// Seals for a few milliseconds within the open transaction. The tails contain the log rows up to `last_sequence`.
    pub(crate) fn slice(
        &self,
        connection: &Connection,
        index: &Index,
        last_sequence: u64,
        cache: &mut RangeCache,
        options: &EmbeddedOptions,
    ) -> Result<Slice, SliceError> {
        let mut work = SliceBuilder {
            connection,
            last_sequence,
            cache,
            options,
            deadline: Instant::now() + self.slice_time(index, options),
            slice: Slice {
                ledger: self.ledger,
                cycle: self.cycle,
                sealed: self.sealed,
                next_data: self.next_data,
                ..Slice::default()
            },
        };
        for &sensor in &self.overfull {
            if work.is_over() {
                break;
            }
            work.seal_overfull(sensor, index)?;
        }
        if let Some(mut cycle) = work.slice.cycle {
            work.advance_cycle(&mut cycle, index, &self.damaged)?;
            work.slice.cycle = Some(cycle);
            if cycle.next as usize >= index.len() {
                work.slice.cycle = None;
                work.slice.finished = true;
                work.slice.sealed = cycle.log_end;
            }
        }
        work.slice.ledger.generation += 1;
        Ok(work.slice)
    }

    /// Takes over the state of a slice after the commit.
    pub(crate) fn committed(&mut self, slice: &Slice) {
        self.ledger = slice.ledger;
        self.next_data = slice.next_data;
        self.cycle = slice.cycle;
        self.sealed = slice.sealed;
        self.overfull
            .retain(|sensor| !slice.dropped.contains_key(sensor));
        if slice.finished {
            (self.unsealed_since, self.logged_readings) = std::mem::take(&mut self.newer);
        }
    }

    /// The number of tail points of sensors that can be sealed. Cycles do not shorten the other tails.
    fn sealable_points(&self, index: &Index) -> usize {
        let stuck = self.damaged.iter().filter_map(|&sensor| index.get(sensor));
        index.tail_points - stuck.map(|sensor| sensor.tail.len()).sum::<usize>()
    }

    /// Whether the tails hold twice as many points as a cycle needs to start. If so, sealing cannot keep up.
    pub(crate) fn is_overcrowded(&self, index: &Index, options: &EmbeddedOptions) -> bool {
        self.sealable_points(index) >= 2 * options.tail_points_max
    }

    /// How long a slice may take. Grows as the tails exceed their limit.
    pub(crate) fn slice_time(&self, index: &Index, options: &EmbeddedOptions) -> Duration {
        let full = options.tail_points_max.max(1);
        let behind = self.sealable_points(index).saturating_sub(full).min(full);
        let more = SLICE_TIME_CROWDED - SLICE_TIME;
        self.slice_time
            .max(SLICE_TIME + more.mul_f64(behind as f64 / full as f64))
    }

    /// Whether a sensor cannot be sealed, and the sensor's tail has reached the limit.
    pub(crate) fn is_stuck(&self, number: u32, index: &Index, options: &EmbeddedOptions) -> bool {
        self.damaged.contains(&number)
            && index
                .get(number)
                .is_some_and(|sensor| sensor.tail.len() >= STUCK_CHUNKS * options.chunk_points_max)
    }

    /// Excludes a sensor from sealing.
    pub(crate) fn exclude(&mut self, sensor: u32) {
        self.damaged.insert(sensor);
        self.overfull.retain(|&other| other != sensor);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_logged_while_a_cycle_goes_round_is_sealed_by_the_next() {
        let options = EmbeddedOptions::default();
        let mut sealer = Sealer::new(Ledger::default(), 0);
        sealer.logged(1);
        sealer.start_full_cycle(1, &options);
        sealer.logged(1);
        sealer.committed(&Slice {
            finished: true,
            ..Slice::default()
        });
        assert!(sealer.cycle.is_none());
        sealer.start_full_cycle(2, &options);
        assert_eq!(sealer.cycle.map(|cycle| cycle.log_end), Some(2));
        sealer.committed(&Slice {
            finished: true,
            ..Slice::default()
        });
        sealer.start_full_cycle(2, &options);
        assert!(sealer.cycle.is_none(), "there is nothing to seal");
    }
}

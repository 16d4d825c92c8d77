//! Moving the tail into chunks, a little at a time.
//!
//! Sealing goes round the sensors again and again. A *cycle* is one round: what was in the log when it began is in chunks when
//! it ends, or in later rows of the log, so those rows can go. It rests while the tails are small, so that a sensor has
//! gathered as much as memory allows by the time its turn comes.

use std::time::{Duration, Instant};

use hashbrown::HashSet;
use rusqlite::Connection;

use super::cycle::Cycle;
use super::slice::{Slice, SliceError, Work};
use crate::readings::embedded::format::ledger::Ledger;
use crate::readings::embedded::index::Index;
use crate::readings::embedded::options::EmbeddedOptions;
use crate::readings::embedded::sensor::range_cache::StretchCache;

/// How long a slice may encode: about what a flush to disk takes, so that nobody who waits for one notices.
const SLICE_TIME: Duration = Duration::from_millis(2);

/// How long a slice may encode when the tails hold as much as they may.
const SLICE_TIME_CROWDED: Duration = Duration::from_millis(20);

/// How long a slice may encode when nobody waits for an acknowledgement.
const SLICE_TIME_CLOSING: Duration = Duration::from_millis(100);

/// How many chunks' worth of readings a sensor may gather that cannot be sealed because what is on disk is damaged.
const STUCK_CHUNKS: usize = 8;

/// The state of sealing between slices.
#[derive(Debug)]
pub(crate) struct Sealer {
    pub(crate) ledger: Ledger,
    cycle: Option<Cycle>,
    /// The mark of the last cycle that has ended. The log keeps what is not counted into `periods` until it is.
    pub(crate) sealed: u64,
    next_data: i64,
    /// Sensors whose tails have outgrown a chunk: sealed before their turn.
    overfull: Vec<u32>,
    /// Sensors with a damaged chunk in the way. They are carried, and the rest goes on.
    damaged: HashSet<u32>,
    /// Since when there has been something in the log that no cycle has dealt with.
    unsealed_since: Option<Instant>,
    /// How many readings those are.
    logged_readings: usize,
    /// The same of what has been logged since the cycle under way began, which does not deal with it.
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

    /// Takes note of what a commit has logged.
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

    /// Takes note of a tail that has grown.
    pub(crate) fn grown(&mut self, sensor: u32, tail_points: usize, options: &EmbeddedOptions) {
        if tail_points > 2 * options.chunk_points_max && !self.damaged.contains(&sensor) {
            self.overfull.push(sensor);
        }
    }

    /// Goes round once without resting: everything that is in the log now is dealt with.
    pub(crate) fn hurry(&mut self, last_sequence: u64, options: &EmbeddedOptions) {
        let (newer_since, newer_readings) = std::mem::take(&mut self.newer);
        self.unsealed_since = self.unsealed_since.or(newer_since);
        self.logged_readings += newer_readings;
        if self.unsealed_since.is_some() {
            let points_min = options.chunk_points_min;
            self.cycle = Some(Cycle {
                mark: last_sequence,
                next: 0,
                points_min,
                urgent: true,
            });
        }
    }

    /// From now on nobody waits for an acknowledgement.
    pub(crate) fn closing(&mut self) {
        self.slice_time = SLICE_TIME_CLOSING;
    }

    /// Whether there is something to do now; begins a cycle when it is time for one.
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

    /// Seals for a few milliseconds within the transaction that is open. The tails hold what the log has up to row
    /// `last_sequence`.
    pub(crate) fn slice(
        &self,
        connection: &Connection,
        index: &Index,
        last_sequence: u64,
        cache: &mut StretchCache,
        options: &EmbeddedOptions,
    ) -> Result<Slice, SliceError> {
        let mut work = Work {
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
            work.go_round(&mut cycle, index, &self.damaged)?;
            work.slice.cycle = Some(cycle);
            if cycle.next as usize >= index.len() {
                work.slice.cycle = None;
                work.slice.finished = true;
                work.slice.sealed = cycle.mark;
            }
        }
        work.slice.ledger.generation += 1;
        Ok(work.slice)
    }

    /// The transaction of a slice is committed.
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

    /// What the tails hold of the sensors that can be sealed: going round makes no room of the others.
    fn sealable_points(&self, index: &Index) -> usize {
        let stuck = self.damaged.iter().filter_map(|&sensor| index.get(sensor));
        index.tail_points - stuck.map(|sensor| sensor.tail.len()).sum::<usize>()
    }

    /// Whether the tails hold twice what sealing begins to go round at: it cannot keep up.
    pub(crate) fn is_overcrowded(&self, index: &Index, options: &EmbeddedOptions) -> bool {
        self.sealable_points(index) >= 2 * options.tail_points_max
    }

    /// How long a slice may encode: longer the more it falls behind.
    pub(crate) fn slice_time(&self, index: &Index, options: &EmbeddedOptions) -> Duration {
        let full = options.tail_points_max.max(1);
        let behind = self.sealable_points(index).saturating_sub(full).min(full);
        let more = SLICE_TIME_CROWDED - SLICE_TIME;
        self.slice_time
            .max(SLICE_TIME + more.mul_f64(behind as f64 / full as f64))
    }

    /// Whether a sensor cannot be sealed and has gathered as much as it may.
    pub(crate) fn is_stuck(&self, number: u32, index: &Index, options: &EmbeddedOptions) -> bool {
        self.damaged.contains(&number)
            && index
                .get(number)
                .is_some_and(|sensor| sensor.tail.len() >= STUCK_CHUNKS * options.chunk_points_max)
    }

    /// Leaves a sensor's tail where it is from now on.
    pub(crate) fn give_up_on(&mut self, sensor: u32) {
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
        sealer.hurry(1, &options);
        sealer.logged(1);
        sealer.committed(&Slice {
            finished: true,
            ..Slice::default()
        });
        assert!(sealer.cycle.is_none());
        sealer.hurry(2, &options);
        assert_eq!(sealer.cycle.map(|cycle| cycle.mark), Some(2));
        sealer.committed(&Slice {
            finished: true,
            ..Slice::default()
        });
        sealer.hurry(2, &options);
        assert!(sealer.cycle.is_none(), "there is nothing to seal");
    }
}

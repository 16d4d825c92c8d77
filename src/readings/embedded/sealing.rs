//! Moving the tail into chunks, a little at a time.
//!
//! Sealing goes round the sensors again and again. A *cycle* is one round: what was in the log when it began is in chunks when
//! it ends, or in later rows of the log, so those rows can go. It rests while the tails are small, so that a sensor has
//! gathered as much as memory allows by the time its turn comes.

use std::time::{Duration, Instant};

use hashbrown::{HashMap, HashSet};
use rusqlite::Connection;

use super::cache::ChunkCache;
use super::chunks::{self, Chunk};
use super::database::Ledger;
use super::index::Index;
use super::options::EmbeddedOptions;
use super::window::{self, position};
use crate::error::StoreError;
use crate::readings::{Point, Timestamp};

/// How long a slice may encode: about what a flush to disk takes, so that nobody who waits for one notices.
const SLICE_TIME: Duration = Duration::from_millis(2);

/// How long a slice may encode when nobody waits for an acknowledgement.
const SLICE_TIME_CLOSING: Duration = Duration::from_millis(100);

/// How many sensors are passed between looks at the clock.
const SENSORS_PER_LOOK: usize = 64;

/// How many chunks' worth of readings a sensor may gather that cannot be sealed because what is on disk is damaged.
const STUCK_CHUNKS: usize = 8;

/// What a slice did within its transaction; it takes effect in memory once that is committed.
#[derive(Debug, Default)]
pub(crate) struct Slice {
    /// By sensor: how many of its tail's first points are sealed now, and up to when.
    pub(crate) dropped: HashMap<u32, (usize, Timestamp)>,
    /// Tails too short for a chunk: they go into the log again, so that the old rows can leave it.
    pub(crate) carried: Vec<(u32, Vec<Point>)>,
    /// The ledger as it is then.
    pub(crate) ledger: Ledger,
    /// The cycle as it is then.
    cycle: Option<Cycle>,
    next_data: i64,
    finished: bool,
}

impl Slice {
    /// How many of a sensor's first points this slice has sealed.
    pub(crate) fn dropped_of(&self, sensor: u32) -> usize {
        self.dropped.get(&sensor).map_or(0, |(count, _)| *count)
    }
}

#[derive(Clone, Copy, Debug)]
struct Cycle {
    /// The last log row when it began.
    mark: u64,
    /// The sensor whose turn it is.
    next: u32,
    /// Shorter tails are carried.
    points_min: usize,
    /// Goes through to the end without resting.
    urgent: bool,
}

/// The state of sealing between slices.
#[derive(Debug)]
pub(crate) struct Sealer {
    pub(crate) ledger: Ledger,
    cycle: Option<Cycle>,
    next_data: i64,
    /// Sensors whose tails have outgrown a chunk: sealed before their turn.
    overfull: Vec<u32>,
    /// Sensors with a damaged chunk in the way. They are carried, and the rest goes on.
    damaged: HashSet<u32>,
    /// Since when there has been something in the log that no cycle has dealt with.
    unsealed_since: Option<Instant>,
    /// Readings logged since the last cycle began.
    logged_readings: usize,
    slice_time: Duration,
}

impl Sealer {
    pub(crate) fn new(ledger: Ledger, last_data: i64) -> Self {
        Self {
            ledger,
            cycle: None,
            next_data: last_data + 1,
            overfull: Vec::new(),
            damaged: HashSet::new(),
            unsealed_since: None,
            logged_readings: 0,
            slice_time: SLICE_TIME,
        }
    }

    /// Takes note of what a commit has logged.
    pub(crate) fn logged(&mut self, readings: usize) {
        if readings > 0 {
            self.unsealed_since.get_or_insert_with(Instant::now);
            self.logged_readings += readings;
        }
    }

    /// Takes note of a tail that has grown.
    pub(crate) fn grown(&mut self, sensor: u32, tail_points: usize, options: &EmbeddedOptions) {
        if tail_points > 2 * options.chunk_points_max && !self.damaged.contains(&sensor) {
            self.overfull.push(sensor);
        }
    }

    /// Goes round once without resting: everything that is in the log now is dealt with.
    pub(crate) fn hurry(&mut self, last_sequence: u64, options: &EmbeddedOptions) {
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
        let long_log = self.logged_readings >= 3 * options.tail_points_max;
        let sealable_points = index.tail_points - self.stuck_points(index);
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
        cache: &mut ChunkCache,
        options: &EmbeddedOptions,
    ) -> Result<Slice, SliceError> {
        let mut work = Work {
            connection,
            last_sequence,
            cache,
            options,
            deadline: Instant::now() + self.slice_time,
            slice: Slice {
                ledger: self.ledger,
                cycle: self.cycle,
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
                work.slice.ledger.log_sealed = cycle.mark;
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
        self.overfull
            .retain(|sensor| !slice.dropped.contains_key(sensor));
        if slice.finished {
            self.unsealed_since = None;
            self.logged_readings = 0;
        }
    }

    /// What the tails hold of the sensors that cannot be sealed: going round makes no room of it.
    fn stuck_points(&self, index: &Index) -> usize {
        let tails = self.damaged.iter().filter_map(|&sensor| index.get(sensor));
        tails.map(|sensor| sensor.tail.len()).sum()
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

impl Cycle {
    fn new(
        last_sequence: u64,
        index: &Index,
        sealable_points: usize,
        options: &EmbeddedOptions,
    ) -> Self {
        let tails = index
            .sensors()
            .iter()
            .filter(|sensor| !sensor.tail.is_empty())
            .count();
        let crowded = 2 * sealable_points >= options.tail_points_max;
        // Where short tails are what fills the memory, they have to go too.
        let points_min = if crowded {
            (sealable_points / tails.max(1) / 2).clamp(1, options.chunk_points_min)
        } else {
            options.chunk_points_min
        };
        Self {
            mark: last_sequence,
            next: 0,
            points_min,
            urgent: false,
        }
    }
}

/// A sensor could not be sealed.
#[derive(Debug)]
pub(crate) struct SliceError {
    pub(crate) sensor: u32,
    pub(crate) error: StoreError,
}

/// A slice under way.
struct Work<'a> {
    connection: &'a Connection,
    last_sequence: u64,
    cache: &'a mut ChunkCache,
    options: &'a EmbeddedOptions,
    deadline: Instant,
    slice: Slice,
}

impl Work<'_> {
    fn is_over(&self) -> bool {
        Instant::now() >= self.deadline
    }

    fn go_round(
        &mut self,
        cycle: &mut Cycle,
        index: &Index,
        damaged: &HashSet<u32>,
    ) -> Result<(), SliceError> {
        let mut passed = 0;
        while let Some(sensor) = index.get(cycle.next) {
            passed += 1;
            if passed % SENSORS_PER_LOOK == 0 && self.is_over() {
                return Ok(());
            }
            let tail = &*sensor.tail;
            if tail.len() < cycle.points_min || damaged.contains(&cycle.next) {
                if !tail.is_empty() {
                    self.slice.carried.push((cycle.next, tail.to_vec()));
                }
            } else if self.is_over() || self.slice.dropped.contains_key(&cycle.next) {
                return Ok(()); // Its turn is in the next slice.
            } else if self.seal(cycle.next, tail, tail.len(), sensor.sealed_last())? < tail.len() {
                return Ok(()); // Its turn is not over.
            }
            cycle.next += 1;
        }
        Ok(())
    }

    /// Seals whole chunks of a long tail and leaves the rest to grow.
    fn seal_overfull(&mut self, number: u32, index: &Index) -> Result<(), SliceError> {
        let Some(sensor) = index.get(number) else {
            return Ok(());
        };
        let whole = sensor.tail.len() - sensor.tail.len() % self.options.chunk_points_max;
        if whole > 0 && !self.slice.dropped.contains_key(&number) {
            self.seal(number, &sensor.tail, whole, sensor.sealed_last())?;
        }
        Ok(())
    }

    /// Seals the first points of a tail, as many as there is time for, `count` at the most; returns how many.
    fn seal(
        &mut self,
        sensor: u32,
        tail: &[Point],
        count: usize,
        mut sealed_last: Option<Timestamp>,
    ) -> Result<usize, SliceError> {
        let mut sealed = 0;
        while sealed < count && (sealed == 0 || !self.is_over()) {
            sealed += self
                .seal_piece(sensor, &tail[sealed..], count - sealed, sealed_last)
                .map_err(|error| SliceError { sensor, error })?;
            sealed_last = sealed_last.max(Some(tail[sealed - 1].timestamp));
        }
        if let Some(last) = sealed_last.filter(|_| sealed > 0) {
            self.slice.dropped.insert(sensor, (sealed, last));
        }
        Ok(sealed)
    }

    /// Seals the first points of a tail, `count` at the most, into one place among the sensor's chunks; returns how many, at least
    /// one.
    fn seal_piece(
        &mut self,
        sensor: u32,
        tail: &[Point],
        count: usize,
        sealed_last: Option<Timestamp>,
    ) -> Result<usize, StoreError> {
        let bound = count.min(4 * self.options.chunk_points_max);
        let start = tail[0].timestamp;
        // What the chunks say of the log that are written with the first so many points of the tail.
        let last_sequence = self.last_sequence;
        let through = |taken| {
            if taken == tail.len() {
                last_sequence
            } else {
                0
            }
        };
        if sealed_last.is_none_or(|sealed_last| sealed_last < start) {
            let run = self.with_small_chunks_before(sensor, &tail[..bound], sealed_last)?;
            self.write(sensor, &run, through(bound))?;
            return Ok(bound);
        }
        let before = chunks::at_or_before(self.connection, sensor, start)?;
        if let Some(chunk) = before.filter(|chunk| chunk.last >= start) {
            let inside = tail[..bound].partition_point(|point| point.timestamp <= chunk.last);
            self.merge_into(&chunk, &tail[..inside], through(inside))?;
            return Ok(inside);
        }
        let after = chunks::after(self.connection, sensor, start)?;
        let between = after.map_or(bound, |chunk| position(&tail[..bound], chunk.first));
        let run = &tail[..between];
        // A few late readings join a neighbour, rather than stand in a chunk of their own.
        match before
            .or(after)
            .filter(|_| between < self.options.chunk_points_max / 4)
        {
            Some(neighbour) => self.merge_into(&neighbour, run, through(between))?,
            None => self.write(sensor, run, through(between))?,
        }
        Ok(between)
    }

    /// Points, and before them those of the sensor's last chunks that are no longer: so every reading is rewritten only
    /// when what it stands in doubles, until the chunk is large enough.
    fn with_small_chunks_before(
        &mut self,
        sensor: u32,
        points: &[Point],
        sealed_last: Option<Timestamp>,
    ) -> Result<Vec<Point>, StoreError> {
        let mut run = points.to_vec();
        if sealed_last.is_none() {
            return Ok(run);
        }
        while let Some(first) = run.first()
            && run.len() < self.options.chunk_points_max
            && let Some(chunk) = chunks::at_or_before(self.connection, sensor, first.timestamp)?
            && chunk.stats.count() <= run.len() as u64
        {
            let mut merged = chunks::points(self.connection, &chunk)?;
            self.delete(&chunk)?;
            merged.append(&mut run);
            run = merged;
        }
        Ok(run)
    }

    fn merge_into(
        &mut self,
        chunk: &Chunk,
        points: &[Point],
        sealed_through: u64,
    ) -> Result<(), StoreError> {
        let merged = window::merge(&chunks::points(self.connection, chunk)?, points);
        self.delete(chunk)?;
        self.write(chunk.sensor, &merged, sealed_through)
    }

    /// Writes points as chunks of about equal size.
    fn write(
        &mut self,
        sensor: u32,
        points: &[Point],
        sealed_through: u64,
    ) -> Result<(), StoreError> {
        let max = self.options.chunk_points_max;
        let pieces = if points.len() <= max + max / 2 {
            1
        } else {
            points.len().div_ceil(max)
        };
        for points in points.chunks(points.len().div_ceil(pieces)) {
            let chunk = chunks::insert(
                self.connection,
                sensor,
                self.slice.next_data,
                sealed_through,
                points,
            )?;
            self.slice.next_data += 1;
            self.slice.ledger.chunks += 1;
            self.slice.ledger.chunk_checksums = self
                .slice
                .ledger
                .chunk_checksums
                .wrapping_add(chunk.checksum());
        }
        Ok(())
    }

    fn delete(&mut self, chunk: &Chunk) -> Result<(), StoreError> {
        chunks::delete(self.connection, chunk)?;
        self.cache.forget(chunk);
        self.slice.ledger.chunks = self.slice.ledger.chunks.wrapping_sub(1);
        self.slice.ledger.chunk_checksums = self
            .slice
            .ledger
            .chunk_checksums
            .wrapping_sub(chunk.checksum());
        Ok(())
    }
}

//! A slice of sealing: the readings that move into chunks within a transaction, and their place among the chunks of a sensor.

use std::time::Instant;

use hashbrown::{HashMap, HashSet};
use rusqlite::Connection;

use super::cycle::Cycle;
use super::neighbours::{self, Neighbour, Placement, Span};
use crate::error::StoreError;
use crate::readings::embedded::format::chunks::{self, Chunk};
use crate::readings::embedded::format::ledger::Ledger;
use crate::readings::embedded::format::points::{merge, position};
use crate::readings::embedded::index::Index;
use crate::readings::embedded::options::EmbeddedOptions;
use crate::readings::embedded::sensor::range_cache::RangeCache;
use crate::readings::{Point, Timestamp};

/// How many sensors are passed between two checks of the clock.
const SENSORS_PER_CLOCK_CHECK: usize = 64;

/// The result of a slice. The result takes effect in memory after the commit.
#[derive(Debug, Default)]
pub(crate) struct Slice {
    /// By sensor: the number of sealed points at the front of the tail, and the last timestamp in chunks.
    pub(crate) dropped: HashMap<u32, (usize, Timestamp)>,
    /// Tails too short for a chunk. Their readings are logged again, so that the old rows can be removed.
    pub(crate) carried: Vec<(u32, Vec<Point>)>,
    /// The ledger after the slice.
    pub(crate) ledger: Ledger,
    /// The cycle after the slice.
    pub(crate) cycle: Option<Cycle>,
    /// Readings in log rows up to this sequence are sealed after the slice.
    pub(crate) sealed: u64,
    pub(crate) next_data: i64,
    pub(crate) finished: bool,
    /// The frozen totals before this timestamp are in `periods`.
    pub(crate) folded_before: Option<i64>,
}

impl Slice {
    /// Releases the log rows that are both sealed and counted.
    pub(crate) fn release_log(&mut self) {
        let counted = self
            .ledger
            .counted
            .map_or(u64::MAX, |counted| counted.through);
        self.ledger.log_sealed = self.ledger.log_sealed.max(self.sealed.min(counted));
    }

    /// How many points at the front of a sensor's tail this slice has sealed.
    pub(crate) fn dropped_of(&self, sensor: u32) -> usize {
        self.dropped.get(&sensor).map_or(0, |(count, _)| *count)
    }
}

/// The failure to seal a sensor.
#[derive(Debug)]
pub(crate) struct SliceError {
    pub(crate) sensor: u32,
    pub(crate) error: StoreError,
}

/// Builds a slice.
pub(crate) struct SliceBuilder<'a> {
    pub(crate) connection: &'a Connection,
    /// The tails contain the log rows up to this sequence.
    pub(crate) last_sequence: u64,
    pub(crate) cache: &'a mut RangeCache,
    pub(crate) options: &'a EmbeddedOptions,
    pub(crate) deadline: Instant,
    pub(crate) slice: Slice,
}

impl SliceBuilder<'_> {
    pub(crate) fn is_over(&self) -> bool {
        Instant::now() >= self.deadline
    }

    pub(crate) fn advance_cycle(
        &mut self,
        cycle: &mut Cycle,
        index: &Index,
        damaged: &HashSet<u32>,
    ) -> Result<(), SliceError> {
        let mut passed = 0;
        while let Some(sensor) = index.get(cycle.next) {
            passed += 1;
            if passed % SENSORS_PER_CLOCK_CHECK == 0 && self.is_over() {
                return Ok(());
            }
            let tail = &*sensor.tail;
            if tail.len() < cycle.points_min || damaged.contains(&cycle.next) {
                if !tail.is_empty() {
                    self.slice.carried.push((cycle.next, tail.to_vec()));
                }
            } else if self.is_over() || self.slice.dropped.contains_key(&cycle.next) {
                return Ok(()); // The next slice takes this sensor.
            } else if self.seal(cycle.next, tail, tail.len(), sensor.sealed_last())? < tail.len() {
                return Ok(()); // The next slice continues with this sensor.
            }
            cycle.next += 1;
        }
        Ok(())
    }

    /// Seals full chunks of a long tail, and leaves the rest in the tail.
    pub(crate) fn seal_overfull(&mut self, number: u32, index: &Index) -> Result<(), SliceError> {
        let Some(sensor) = index.get(number) else {
            return Ok(());
        };
        let whole = sensor.tail.len() - sensor.tail.len() % self.options.chunk_points_max;
        if whole > 0 && !self.slice.dropped.contains_key(&number) {
            self.seal(number, &sensor.tail, whole, sensor.sealed_last())?;
        }
        Ok(())
    }

    /// Seals points from the front of a tail, as many as time allows, at most `count`. Returns how many.
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
                .seal_next(sensor, &tail[sealed..], count - sealed, sealed_last)
                .map_err(|error| SliceError { sensor, error })?;
            sealed_last = sealed_last.max(Some(tail[sealed - 1].timestamp));
        }
        self.cache.forget(sensor);
        if let Some(last) = sealed_last.filter(|_| sealed > 0) {
            self.slice.dropped.insert(sensor, (sealed, last));
        }
        Ok(sealed)
    }

    /// Seals points from the front of a tail, at most `count`, into a single place among the sensor's chunks. Returns the number
    /// of sealed points, at least 1.
    fn seal_next(
        &mut self,
        sensor: u32,
        tail: &[Point],
        count: usize,
        sealed_last: Option<Timestamp>,
    ) -> Result<usize, StoreError> {
        let bound = count.min(4 * self.options.chunk_points_max);
        let start = tail[0].timestamp;
        // The value of `sealed_through` for chunks with this many points of the tail.
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
            self.seal_inside(&chunk, &tail[..inside], through(inside))?;
            return Ok(inside);
        }
        let after = chunks::after(self.connection, sensor, start)?;
        let between = after.map_or(bound, |chunk| position(&tail[..bound], chunk.first));
        let run = tail[..between].to_vec();
        self.seal_between(sensor, before, run, after, through(between))?;
        Ok(between)
    }

    /// Seals a run between two chunks. Merges the run with neighbours as [`neighbours::merge_partner`] decides.
    fn seal_between(
        &mut self,
        sensor: u32,
        mut before: Option<Chunk>,
        mut run: Vec<Point>,
        mut after: Option<Chunk>,
        sealed_through: u64,
    ) -> Result<(), StoreError> {
        let span = |chunk: &Option<Chunk>| chunk.as_ref().map(Span::from);
        while let Some(own) = Span::of(&run)
            && let Some(side) =
                neighbours::merge_partner(span(&before), own, span(&after), self.options)
        {
            match side {
                Neighbour::Previous => {
                    let Some(chunk) = before else { break };
                    let mut merged = self.take(&chunk)?;
                    merged.append(&mut run);
                    run = merged;
                    before = chunks::at_or_before(self.connection, sensor, chunk.first)?;
                }
                Neighbour::Next => {
                    let Some(chunk) = after else { break };
                    run.append(&mut self.take(&chunk)?);
                    after = chunks::after(self.connection, sensor, chunk.last)?;
                }
            }
        }
        self.write(sensor, &run, sealed_through)
    }

    /// Seals points between the first and the last point of a chunk. Splits the chunk if the points belong to a gap in the chunk.
    fn seal_inside(
        &mut self,
        chunk: &Chunk,
        points: &[Point],
        sealed_through: u64,
    ) -> Result<(), StoreError> {
        let sensor = chunk.sensor;
        let held = self.take(chunk)?;
        let Placement::InGap(range, at) = neighbours::placement_of(points, &held, self.options)
        else {
            return self.write(sensor, &merge(&held, points), sealed_through);
        };
        let left = merge(&held[..at], &points[..range.start]);
        let right = merge(&held[at..], &points[range.end..]);
        let run = &points[range];
        self.write(sensor, &left, sealed_through)?;
        self.write(sensor, &right, sealed_through)?;
        let before = chunks::at_or_before(self.connection, sensor, run[0].timestamp)?;
        let after = chunks::after(self.connection, sensor, run[0].timestamp)?;
        self.seal_between(sensor, before, run.to_vec(), after, sealed_through)
    }

    /// Reads and deletes a chunk. The points are written again in another chunk.
    fn take(&mut self, chunk: &Chunk) -> Result<Vec<Point>, StoreError> {
        let points = chunks::points(self.connection, chunk)?;
        self.delete(chunk)?;
        Ok(points)
    }

    /// Prepends the sensor's last chunks, as long as the next chunk has no more points than the run so far. So a reading is
    /// rewritten only when its chunk doubles, until the chunk is full.
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
            let mut merged = self.take(&chunk)?;
            merged.append(&mut run);
            run = merged;
        }
        Ok(run)
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
        self.slice.ledger.chunks = self.slice.ledger.chunks.wrapping_sub(1);
        self.slice.ledger.chunk_checksums = self
            .slice
            .ledger
            .chunk_checksums
            .wrapping_sub(chunk.checksum());
        Ok(())
    }
}

//! What a body held: a batch, what was rejected, and where in the body each reading stood.

use super::{Item, ItemError};
use crate::readings::{Batch, BatchBuilder, Point, RecordMode, Refusal, SensorId};

/// How many rejections are kept to be named; the others are counted.
const REJECTIONS_MAX: usize = 100;

/// What a position in a body counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PositionKind {
    /// Items of an array, from 0.
    Index,
    /// Lines, from 1.
    Line,
}

/// An item that is no reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Where it stood, counted as [`Parsed::position_kind`] says.
    pub position: u64,
    /// The field that is wrong, `None` for the whole item.
    pub field: Option<&'static str>,
    /// What is wrong.
    pub reason: String,
}

/// A body that was read to its end.
#[derive(Debug)]
pub struct Parsed {
    /// The readings; none when something was rejected and the batch is all or nothing.
    pub batch: Batch,
    /// How many items were rejected.
    pub rejected: u64,
    /// The first of them.
    pub rejections: Vec<Rejection>,
    /// What positions count.
    pub position_kind: PositionKind,
    runs: Vec<Run>,
}

impl Parsed {
    /// Where the reading with this index in the batch stood in the body.
    pub fn position(&self, index: usize) -> u64 {
        let after = self.runs.partition_point(|run| run.index <= index);
        match after.checked_sub(1).and_then(|at| self.runs.get(at)) {
            Some(run) => run.position + (index - run.index) as u64,
            None => index as u64,
        }
    }

    /// Adds what the store refused of the batch.
    pub fn refuse(&mut self, refusals: &[Refusal]) {
        self.rejected += refusals.len() as u64;
        let named = refusals.iter().take(REJECTIONS_MAX);
        let named: Vec<_> = named
            .map(|refusal| Rejection {
                position: self.position(refusal.index),
                field: None,
                reason: refusal.reason.clone(),
            })
            .collect();
        self.rejections.extend(named);
        self.rejections.sort_by_key(|rejection| rejection.position);
        self.rejections.truncate(REJECTIONS_MAX);
    }
}

/// Readings whose positions follow one another: nearly always all of them.
#[derive(Clone, Copy, Debug)]
struct Run {
    index: usize,
    position: u64,
}

/// Gathers the items of a body.
#[derive(Debug)]
pub(super) struct Gathering {
    builder: BatchBuilder,
    mode: RecordMode,
    position_kind: PositionKind,
    rejected: u64,
    rejections: Vec<Rejection>,
    runs: Vec<Run>,
    /// The position that the next reading has if nothing lies between.
    expected: u64,
}

impl Gathering {
    pub(super) fn new(mode: RecordMode, position_kind: PositionKind) -> Self {
        Self {
            builder: BatchBuilder::new(),
            mode,
            position_kind,
            rejected: 0,
            rejections: Vec::new(),
            runs: Vec::new(),
            expected: u64::MAX,
        }
    }

    /// From now on positions are lines. Nothing may have been taken before.
    pub(super) fn count_lines(&mut self) {
        self.position_kind = PositionKind::Line;
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.builder.memory_bytes() + self.runs.capacity() * size_of::<Run>()
    }

    pub(super) fn take(&mut self, position: u64, item: Result<Item<'_>, ItemError>) {
        let taken = item.and_then(|item| {
            let timestamp = item.timestamp.ok_or_else(ItemError::missing_timestamp)?;
            let point = Point {
                timestamp,
                temperature: item.temperature,
            };
            let taken = if self.keeps_nothing() {
                SensorId::check(&item.sensor_id).map(|_| ())
            } else {
                self.builder.push(&item.sensor_id, point)
            };
            taken.map_err(|error| ItemError::sensor_id(&item.sensor_id, error))
        });
        match taken {
            Err(error) => self.reject(position, &error),
            Ok(()) if position == self.expected => self.expected += 1,
            Ok(()) if self.keeps_nothing() => {}
            Ok(()) => {
                self.runs.push(Run {
                    index: self.builder.len() - 1,
                    position,
                });
                self.expected = position + 1;
            }
        }
    }

    /// Whether the rest is only read to name what else is wrong.
    fn keeps_nothing(&self) -> bool {
        self.rejected > 0 && self.mode == RecordMode::AllOrNothing
    }

    pub(super) fn reject(&mut self, position: u64, error: &ItemError) {
        self.rejected += 1;
        if self.mode == RecordMode::AllOrNothing && !self.builder.is_empty() {
            self.builder = BatchBuilder::new();
            self.runs = Vec::new();
        }
        if self.rejections.len() < REJECTIONS_MAX {
            self.rejections.push(Rejection {
                position,
                field: error.field(),
                reason: error.reason().to_owned(),
            });
        }
    }

    pub(super) fn finish(self) -> Parsed {
        Parsed {
            batch: self.builder.build(),
            rejected: self.rejected,
            rejections: self.rejections,
            position_kind: self.position_kind,
            runs: self.runs,
        }
    }
}

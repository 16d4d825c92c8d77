//! The result of parsing a body: the batch, the rejected items, and the position of each reading in the body.

use super::Item;
use super::error::{ItemError, PositionKind};
use crate::readings::{Batch, BatchBuilder, Point, RecordMode, Refusal, SensorId};

/// The most rejections to keep. Further rejections are only counted.
const REJECTIONS_MAX: usize = 100;

/// An item that is not accepted as a reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The position of the item in the body, in the unit of [`Parsed::position_kind`].
    pub position: u64,
    /// The wrong field; `None` when the whole item is wrong.
    pub field: Option<&'static str>,
    /// The mistake.
    pub reason: String,
}

/// A body, parsed to the end.
#[derive(Debug)]
pub struct Parsed {
    /// The readings. Empty when an item was rejected and the batch is all or nothing.
    pub batch: Batch,
    /// The number of rejected items.
    pub rejected: u64,
    /// The first rejections, in order.
    pub rejections: Vec<Rejection>,
    /// The unit of positions.
    pub position_kind: PositionKind,
    runs: Vec<Run>,
}

impl Parsed {
    /// The position in the body of the reading with this index in the batch.
    pub fn position(&self, index: usize) -> u64 {
        let after = self.runs.partition_point(|run| run.index <= index);
        match after.checked_sub(1).and_then(|at| self.runs.get(at)) {
            Some(run) => run.position + (index - run.index) as u64,
            None => index as u64,
        }
    }

    /// Adds the readings that the store refused.
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

/// Readings with consecutive positions. Nearly every body is a single run.
#[derive(Clone, Copy, Debug)]
struct Run {
    index: usize,
    position: u64,
}

/// Collects the items of a body.
#[derive(Debug)]
pub(super) struct Collector {
    builder: BatchBuilder,
    mode: RecordMode,
    position_kind: PositionKind,
    rejected: u64,
    rejections: Vec<Rejection>,
    runs: Vec<Run>,
    /// The next position in the last run.
    expected: u64,
}

impl Collector {
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

    /// Makes lines the unit of positions. To be called before the first item.
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
            let taken = if self.is_refused() {
                SensorId::check(&item.sensor_id).map(|_| ())
            } else {
                self.builder.push(&item.sensor_id, point)
            };
            taken.map_err(|error| ItemError::sensor_id(&item.sensor_id, error))
        });
        match taken {
            Err(error) => self.reject(position, &error),
            Ok(()) if position == self.expected => self.expected += 1,
            Ok(()) if self.is_refused() => {}
            Ok(()) => {
                self.runs.push(Run {
                    index: self.builder.len() - 1,
                    position,
                });
                self.expected = position + 1;
            }
        }
    }

    /// Whether further items are only checked, because the batch is refused already.
    fn is_refused(&self) -> bool {
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

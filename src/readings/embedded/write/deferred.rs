//! Deferred batches: a commit has no time for all their lookups. Other batches are committed meanwhile.

use std::collections::VecDeque;

use super::lookups::BatchLookups;
use crate::error::{StoreError, StoreErrorKind};
use crate::readings::Point;
use crate::readings::embedded::shared::queue::Submission;

/// A batch with the lookups of the batch.
#[derive(Debug)]
pub(crate) struct PreparedBatch {
    pub(crate) submission: Submission,
    pub(crate) lookups: BatchLookups,
}

/// Batches with incomplete lookups, in order of arrival. Bounded.
#[derive(Debug)]
pub(crate) struct DeferredBatches {
    waiting: VecDeque<PreparedBatch>,
    readings: usize,
    readings_max: usize,
}

impl DeferredBatches {
    pub(crate) fn new(readings_max: usize) -> Self {
        Self {
            waiting: VecDeque::new(),
            readings: 0,
            readings_max,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Defers a batch, or refuses the batch as overload if too many readings are deferred. A batch larger than the bound is
    /// accepted if no other batch is deferred.
    pub(crate) fn add(&mut self, prepared: PreparedBatch) {
        let readings = self.readings + prepared.submission.batch.len();
        if readings > self.readings_max && !self.waiting.is_empty() {
            prepared.submission.answer(Err(StoreError::new(
                StoreErrorKind::Overloaded,
                "too many late readings are waiting to be compared with stored readings; nothing of this request was stored, \
                 send it again",
            )));
            return;
        }
        self.readings = readings;
        self.waiting.push_back(prepared);
    }

    /// The batch with the longest waiting time.
    pub(crate) fn first(&mut self) -> Option<&mut PreparedBatch> {
        self.waiting.front_mut()
    }

    /// Takes the batch with the longest waiting time.
    pub(crate) fn take_first(&mut self) -> Option<PreparedBatch> {
        let first = self.waiting.pop_front()?;
        self.readings -= first.submission.batch.len();
        Some(first)
    }

    /// Updates all lookups: points of a sensor have moved into chunks.
    pub(crate) fn sealed(&mut self, sensor: u32, points: &[Point]) {
        for prepared in &mut self.waiting {
            prepared.lookups.sealed(sensor, points);
        }
    }

    /// Answers every deferred batch with an error.
    pub(crate) fn refuse_all(&mut self, error: impl Fn() -> StoreError) {
        while let Some(prepared) = self.take_first() {
            prepared.submission.answer(Err(error()));
        }
    }
}

//! Batches set aside because they need more lookups than a commit has time for. Others are committed meanwhile.

use std::collections::VecDeque;

use super::survey::Survey;
use crate::error::{StoreError, StoreErrorKind};
use crate::readings::Point;
use crate::readings::embedded::shared::queue::Submission;

/// A batch, and what is known of the chunks that it touches.
#[derive(Debug)]
pub(crate) struct Surveyed {
    pub(crate) submission: Submission,
    pub(crate) survey: Survey,
}

/// Batches that wait for lookups, in the order in which they came; bounded.
#[derive(Debug)]
pub(crate) struct Aside {
    waiting: VecDeque<Surveyed>,
    readings: usize,
    readings_max: usize,
}

impl Aside {
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

    /// Sets a batch aside, or refuses it when too much waits already. One alone may be larger than the bound.
    pub(crate) fn add(&mut self, surveyed: Surveyed) {
        let readings = self.readings + surveyed.submission.batch.len();
        if readings > self.readings_max && !self.waiting.is_empty() {
            surveyed.submission.answer(Err(StoreError::new(
                StoreErrorKind::Overloaded,
                "more late readings are waiting to be compared with what is stored than the server holds; nothing of this \
                 was stored, send it again",
            )));
            return;
        }
        self.readings = readings;
        self.waiting.push_back(surveyed);
    }

    /// The one that has waited longest.
    pub(crate) fn first(&mut self) -> Option<&mut Surveyed> {
        self.waiting.front_mut()
    }

    /// Takes that one.
    pub(crate) fn take_first(&mut self) -> Option<Surveyed> {
        let first = self.waiting.pop_front()?;
        self.readings -= first.submission.batch.len();
        Some(first)
    }

    /// Tells all of them that points of a sensor have moved into chunks.
    pub(crate) fn sealed(&mut self, sensor: u32, points: &[Point]) {
        for surveyed in &mut self.waiting {
            surveyed.survey.sealed(sensor, points);
        }
    }

    /// Answers all of them that nothing more is stored.
    pub(crate) fn refuse_all(&mut self, error: impl Fn() -> StoreError) {
        while let Some(surveyed) = self.take_first() {
            surveyed.submission.answer(Err(error()));
        }
    }
}

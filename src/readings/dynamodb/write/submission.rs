//! Batches with readings that are not stored yet.

use std::collections::HashMap;
use std::fmt::Write as _;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::changes::ReadingOutcome;
use crate::error::{StoreError, StoreErrorKind};
use crate::readings::{Batch, Outcome, RecordMode, Refusal};

/// A batch, and the channel of its answer.
#[derive(Debug)]
pub(crate) struct Submission {
    pub(crate) batch: Batch,
    pub(crate) mode: RecordMode,
    pub(crate) deadline: Instant,
    pub(crate) reply: oneshot::Sender<Result<Outcome, StoreError>>,
}

#[derive(Debug)]
struct Open {
    submission: Submission,
    outcome: Outcome,
    /// Whether each reading has a result.
    finished: Vec<bool>,
    left: usize,
    /// The last error that prevented the storage of readings.
    last_error: Option<(StoreErrorKind, String)>,
}

/// The batches without an answer.
#[derive(Debug, Default)]
pub(crate) struct Submissions {
    open: HashMap<u64, Open>,
    next: u64,
    given_up: bool,
}

impl Submissions {
    pub(crate) fn add(&mut self, submission: Submission) -> u64 {
        let number = self.next;
        self.next += 1;
        let left = submission.batch.len();
        let open = Open {
            submission,
            outcome: Outcome::default(),
            finished: vec![false; left],
            left,
            last_error: None,
        };
        self.open.insert(number, open);
        number
    }

    /// How many batches have no answer yet.
    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    /// The deadline of a batch; `None` when the batch was answered.
    pub(crate) fn deadline(&self, number: u64) -> Option<Instant> {
        Some(self.open.get(&number)?.submission.deadline)
    }

    /// Takes the result of a reading. The last result answers the batch.
    pub(crate) fn finish(
        &mut self,
        number: u64,
        index: u32,
        answer: Result<ReadingOutcome, StoreError>,
    ) {
        let Some(open) = self.open.get_mut(&number) else {
            return;
        };
        match answer {
            Ok(ReadingOutcome::Recorded) => open.outcome.recorded += 1,
            Ok(ReadingOutcome::Unchanged) => open.outcome.unchanged += 1,
            Ok(ReadingOutcome::Replaced) => open.outcome.replaced += 1,
            Err(error) => match open.submission.mode {
                RecordMode::Partial => open.outcome.refused.push(Refusal {
                    index: index as usize,
                    reason: error.message().to_owned(),
                }),
                RecordMode::AllOrNothing => {
                    open.last_error = Some((error.kind(), error.message().to_owned()));
                    return self.give_up(number);
                }
            },
        }
        if let Some(finished) = open.finished.get_mut(index as usize) {
            *finished = true;
        }
        open.left -= 1;
        if open.left == 0
            && let Some(mut open) = self.open.remove(&number)
        {
            open.outcome.refused.sort_by_key(|refusal| refusal.index);
            // The receiver is gone when the client's connection is gone.
            let _ = open.submission.reply.send(Ok(open.outcome));
        }
    }

    /// Keeps an error for some batches: the batches fail with this error when their deadline passes.
    pub(crate) fn note_error(&mut self, numbers: impl Iterator<Item = u64>, error: &StoreError) {
        for number in numbers {
            if let Some(open) = self.open.get_mut(&number) {
                open.last_error = Some((error.kind(), error.message().to_owned()));
            }
        }
    }

    /// Keeps an error for all batches: the batches fail with this error when their deadline passes.
    pub(crate) fn note_error_of_all(&mut self, error: &StoreError) {
        for open in self.open.values_mut() {
            open.last_error = Some((error.kind(), error.message().to_owned()));
        }
    }

    /// Answers a batch with the batch's last error, and names the readings that are not known to be stored.
    pub(crate) fn give_up(&mut self, number: u64) {
        let Some(open) = self.open.remove(&number) else {
            return;
        };
        self.given_up = true;
        let (kind, why) = open.last_error.unwrap_or((
            StoreErrorKind::Unavailable,
            "DynamoDB did not take the readings in time".to_owned(),
        ));
        let unstored: Vec<usize> = open
            .finished
            .iter()
            .enumerate()
            .filter(|(_, finished)| !**finished)
            .map(|(index, _)| index)
            .collect();
        let mut message = why;
        let stored = open.finished.len() - unstored.len();
        if stored > 0 {
            // Writing to memory does not fail.
            let _ = write!(
                message,
                "; {stored} of the {} readings are stored",
                open.finished.len()
            );
        }
        message.push_str("; sending all of it again is safe");
        let error = StoreError::new(kind, message).with_unstored(unstored);
        let _ = open.submission.reply.send(Err(error));
    }

    /// Gives up all batches.
    pub(crate) fn give_up_all(&mut self) {
        let all: Vec<u64> = self.open.keys().copied().collect();
        all.into_iter().for_each(|number| self.give_up(number));
    }

    /// Gives up the batches past their deadline.
    pub(crate) fn expire(&mut self, now: Instant) {
        let late: Vec<u64> = self
            .open
            .iter()
            .filter(|(_, open)| open.submission.deadline <= now)
            .map(|(number, _)| *number)
            .collect();
        late.into_iter().for_each(|number| self.give_up(number));
    }

    /// Whether batches were given up and readings of these batches may still be in the queue.
    pub(crate) fn has_given_up(&self) -> bool {
        self.given_up
    }

    /// The readings of these batches were removed from the queue.
    pub(crate) fn clear_given_up(&mut self) {
        self.given_up = false;
    }
}

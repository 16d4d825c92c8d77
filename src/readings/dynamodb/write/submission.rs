//! Batches that wait for their readings to be stored, reading by reading.

use std::collections::HashMap;
use std::fmt::Write as _;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::changes::Disposition;
use crate::error::{StoreError, StoreErrorKind};
use crate::readings::{Batch, Outcome, RecordMode, Refusal};

/// A batch, and who waits for it.
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
    /// Whether each reading is settled.
    settled: Vec<bool>,
    left: usize,
    /// What last stood in the way.
    obstacle: Option<(StoreErrorKind, String)>,
}

/// The batches under way.
#[derive(Debug, Default)]
pub(crate) struct Submissions {
    open: HashMap<u64, Open>,
    next: u64,
    gone: bool,
}

impl Submissions {
    pub(crate) fn add(&mut self, submission: Submission) -> u64 {
        let number = self.next;
        self.next += 1;
        let left = submission.batch.len();
        let open = Open {
            submission,
            outcome: Outcome::default(),
            settled: vec![false; left],
            left,
            obstacle: None,
        };
        self.open.insert(number, open);
        number
    }

    /// How many batches are under way.
    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    /// When a batch has to be answered; none when it has been.
    pub(crate) fn deadline(&self, number: u64) -> Option<Instant> {
        Some(self.open.get(&number)?.submission.deadline)
    }

    /// A reading is settled; the batch is answered with its last one.
    pub(crate) fn settle(
        &mut self,
        number: u64,
        index: u32,
        answer: Result<Disposition, StoreError>,
    ) {
        let Some(open) = self.open.get_mut(&number) else {
            return;
        };
        match answer {
            Ok(Disposition::Recorded) => open.outcome.recorded += 1,
            Ok(Disposition::Unchanged) => open.outcome.unchanged += 1,
            Ok(Disposition::Replaced) => open.outcome.replaced += 1,
            Err(error) => match open.submission.mode {
                RecordMode::Partial => open.outcome.refused.push(Refusal {
                    index: index as usize,
                    reason: error.message().to_owned(),
                }),
                RecordMode::AllOrNothing => {
                    open.obstacle = Some((error.kind(), error.message().to_owned()));
                    return self.fail(number);
                }
            },
        }
        if let Some(settled) = open.settled.get_mut(index as usize) {
            *settled = true;
        }
        open.left -= 1;
        if open.left == 0
            && let Some(mut open) = self.open.remove(&number)
        {
            open.outcome.refused.sort_by_key(|refusal| refusal.index);
            // Nobody waits any more when the connection is gone.
            let _ = open.submission.reply.send(Ok(open.outcome));
        }
    }

    /// Notes what stands in the way of some batches.
    pub(crate) fn remember(&mut self, numbers: impl Iterator<Item = u64>, error: &StoreError) {
        for number in numbers {
            if let Some(open) = self.open.get_mut(&number) {
                open.obstacle = Some((error.kind(), error.message().to_owned()));
            }
        }
    }

    /// Notes what stands in the way of all of them.
    pub(crate) fn remember_all(&mut self, error: &StoreError) {
        for open in self.open.values_mut() {
            open.obstacle = Some((error.kind(), error.message().to_owned()));
        }
    }

    /// Gives a batch up, and names what of it is not known to be stored.
    pub(crate) fn fail(&mut self, number: u64) {
        let Some(open) = self.open.remove(&number) else {
            return;
        };
        self.gone = true;
        let (kind, why) = open.obstacle.unwrap_or((
            StoreErrorKind::Unavailable,
            "DynamoDB did not take the readings in time".to_owned(),
        ));
        let unstored: Vec<usize> = open
            .settled
            .iter()
            .enumerate()
            .filter(|(_, settled)| !**settled)
            .map(|(index, _)| index)
            .collect();
        let mut message = why;
        let stored = open.settled.len() - unstored.len();
        if stored > 0 {
            // Writing to memory does not fail.
            let _ = write!(
                message,
                "; {stored} of the {} readings are stored",
                open.settled.len()
            );
        }
        message.push_str("; sending all of it again is safe");
        let error = StoreError::new(kind, message).with_unstored(unstored);
        let _ = open.submission.reply.send(Err(error));
    }

    /// Gives up all of them.
    pub(crate) fn fail_all(&mut self) {
        let all: Vec<u64> = self.open.keys().copied().collect();
        all.into_iter().for_each(|number| self.fail(number));
    }

    /// Gives up the batches whose time has passed.
    pub(crate) fn expire(&mut self, now: Instant) {
        let late: Vec<u64> = self
            .open
            .iter()
            .filter(|(_, open)| open.submission.deadline <= now)
            .map(|(number, _)| *number)
            .collect();
        late.into_iter().for_each(|number| self.fail(number));
    }

    /// Whether batches were given up whose readings may still be in line.
    pub(crate) fn has_gone(&self) -> bool {
        self.gone
    }

    /// Their readings have been taken out of the line.
    pub(crate) fn forget_gone(&mut self) {
        self.gone = false;
    }
}

//! The one thread that writes. It takes whatever is waiting, checks it against memory, writes one log row, commits with one
//! flush, makes it visible, and then answers everyone who waited.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tracing::{error, info, warn};

use super::deferred::{Aside, Surveyed};
use super::writer::{WriteError, Writer};
use crate::error::{StoreError, StoreErrorKind};
use crate::readings::Outcome;
use crate::readings::embedded::options::EmbeddedOptions;
use crate::readings::embedded::seal::slice::Slice;
use crate::readings::embedded::shared::Shared;
use crate::readings::embedded::shared::queue::{Closed, Submission, Taken};

/// How often the committer looks whether sealing is due when nothing arrives.
const IDLE_LOOK: Duration = Duration::from_millis(500);

/// How long sealing and giving back space may take when the store is closed. What is left stays in the log, which the next start reads.
const CLOSING_TIME: Duration = Duration::from_secs(5);

pub(crate) struct Committer {
    shared: Arc<Shared>,
    options: EmbeddedOptions,
    writer: Writer,
    aside: Aside,
    waiting_for_seal: Vec<oneshot::Sender<()>>,
}

impl Committer {
    pub(crate) fn new(shared: Arc<Shared>, options: EmbeddedOptions, writer: Writer) -> Self {
        Self {
            aside: Aside::new(options.queue_readings_max / 2),
            shared,
            options,
            writer,
            waiting_for_seal: Vec::new(),
        }
    }

    /// Works until the queue is closed and empty, or a write to disk fails.
    pub(crate) fn run(mut self) {
        loop {
            let patience = if self.has_chores() || !self.aside.is_empty() {
                Duration::ZERO
            } else {
                IDLE_LOOK
            };
            let taken = self
                .shared
                .queue
                .take(self.options.commit_readings_max, patience);
            let Taken {
                submissions,
                seal,
                closed,
            } = taken;
            if !seal.is_empty() {
                self.writer.hurry();
                self.waiting_for_seal.extend(seal);
            }
            let last = closed && submissions.is_empty() && self.aside.is_empty();
            if (!submissions.is_empty() || !self.aside.is_empty() || self.has_chores())
                && let Err(error) = self.commit(submissions)
            {
                self.fail(&error);
                return;
            }
            if !self.has_chores() {
                for waiting in self.waiting_for_seal.drain(..) {
                    // Nobody may be waiting any more.
                    let _ = waiting.send(());
                }
            }
            if last {
                break;
            }
        }
        self.finish();
    }

    /// Seals what there is, as far as there is time, and folds the write-ahead log into the file, so that the next start has little to do. What
    /// fails here costs only that.
    fn finish(mut self) {
        let deadline = Instant::now() + CLOSING_TIME;
        self.writer.closing();
        while Instant::now() < deadline && self.has_chores() {
            if let Err(error) = self.commit(Vec::new()) {
                self.fail(&error);
                return;
            }
        }
        if let Err(error) = self.writer.tidy(deadline) {
            self.writer.leave();
            warn!(%error, "could not fold the write-ahead log into readings.db; the next start will");
        }
        info!("readings are closed");
    }

    fn has_chores(&mut self) -> bool {
        self.writer.has_chores(&self.shared.index.read())
    }

    /// After a failed write nothing is known of the disk: a second flush may say that all is well when it is not.
    fn fail(&mut self, error: &StoreError) {
        error!(error = %error, "a write to readings.db failed; no more readings are taken");
        self.writer.leave();
        self.aside.refuse_all(|| Closed::Failed.error());
        self.shared.queue.refuse(Closed::Failed);
        self.shared.failed.send_replace(true);
    }

    /// One commit. An error is one after which nothing more may be acknowledged.
    fn commit(&mut self, arrived: Vec<Submission>) -> Result<(), StoreError> {
        let surveyed = self.look_up(arrived)?;
        let answers = self.admit(&surveyed);
        let submissions: Vec<_> = surveyed.into_iter().map(|s| s.submission).collect();
        self.freeze();
        let written = self.writer.write(&self.shared.index.read());
        match written {
            Ok(slice) => {
                self.publish(slice.as_ref());
                let confirmed = self.writer.confirm();
                for (submission, answer) in submissions.into_iter().zip(answers) {
                    submission.answer(match &confirmed {
                        Ok(()) => answer,
                        Err(error) => answer.and_then(|_| Err(again(error))),
                    });
                }
                self.writer.fold_when_due()
            }
            Err(WriteError {
                error,
                outcome_known: true,
            }) => self.refuse(submissions, answers, &error),
            Err(WriteError { error, .. }) => {
                for submission in submissions {
                    submission.answer(Err(Closed::Failed.error()));
                }
                Err(error)
            }
        }
    }

    /// Sets the changes of totals in memory apart that are to go to disk now.
    fn freeze(&mut self) {
        if self.writer.freezes(&self.shared.index.read()) {
            self.writer.freeze(&mut self.shared.index.write().uncounted);
        }
    }

    /// After a commit that left nothing behind.
    fn refuse(
        &mut self,
        submissions: Vec<Submission>,
        answers: Vec<Result<Outcome, StoreError>>,
        error: &StoreError,
    ) -> Result<(), StoreError> {
        let is_of_one = matches!(
            error.kind(),
            StoreErrorKind::Damaged | StoreErrorKind::Unsupported
        );
        if is_of_one && submissions.len() > 1 {
            // What cannot be read stands in the way of one of them: the others are not to suffer for it.
            for submission in submissions {
                self.commit(vec![submission])?;
            }
            return Ok(());
        }
        // A full disk has lines of its own in the log.
        if error.kind() != StoreErrorKind::StorageFull {
            error!(%error, "a commit was refused");
        }
        self.writer.rest();
        self.waiting_for_seal.clear();
        for (submission, answer) in submissions.into_iter().zip(answers) {
            submission.answer(answer.and_then(|_| Err(again(error))));
        }
        Ok(())
    }

    /// Looks up what batches have to know of the chunks; returns those that know all of it. The others are set aside.
    fn look_up(&mut self, arrived: Vec<Submission>) -> Result<Vec<Surveyed>, StoreError> {
        let index = self.shared.index.read();
        let begin = Instant::now();
        // Sealing has to make room before more readings come that it has to work on.
        let crowded = self.writer.is_overcrowded(&index);
        let mut ready = Vec::with_capacity(arrived.len());
        for submission in arrived {
            let mut survey = self.writer.survey(&submission.batch, &index);
            // Those that arrive have half of the time for themselves: a few lookups do not wait behind thousands.
            let deadline = begin + self.options.lookup_time / 2;
            let known = match crowded && !survey.is_empty() {
                true => Ok(false),
                false => self.writer.advance(&mut survey, &index, deadline),
            };
            match known {
                Ok(true) => ready.push(Surveyed { submission, survey }),
                Ok(false) => {
                    self.writer.widen(&mut survey, &submission.batch, &index);
                    self.aside.add(Surveyed { submission, survey });
                }
                Err(error) => submission.answer(Err(error)),
            }
        }
        let deadline = begin + self.options.lookup_time;
        while !crowded && let Some(first) = self.aside.first() {
            let known = self.writer.advance(&mut first.survey, &index, deadline);
            if matches!(known, Ok(false)) {
                break;
            }
            let Some(surveyed) = self.aside.take_first() else {
                break;
            };
            match known {
                Ok(_) => ready.push(surveyed),
                Err(error) => surveyed.submission.answer(Err(error)),
            }
        }
        self.writer.end_lookups()?;
        Ok(ready)
    }

    /// Takes batches into `pending`. A batch that fails leaves nothing there: the others are admitted anew without it.
    fn admit(&mut self, surveyed: &[Surveyed]) -> Vec<Result<Outcome, StoreError>> {
        let index = self.shared.index.read();
        let mut refused: Vec<Option<StoreError>> = surveyed.iter().map(|_| None).collect();
        let outcomes = 'again: loop {
            self.writer.clear_pending();
            let mut outcomes = Vec::with_capacity(surveyed.len());
            for (surveyed, refused) in surveyed.iter().zip(&mut refused) {
                if refused.is_some() {
                    outcomes.push(Outcome::default());
                    continue;
                }
                match self.writer.admit(surveyed, &index) {
                    Ok(outcome) => outcomes.push(outcome),
                    Err(error) => {
                        *refused = Some(error);
                        continue 'again;
                    }
                }
            }
            break outcomes;
        };
        refused
            .into_iter()
            .zip(outcomes)
            .map(|(refused, outcome)| refused.map_or(Ok(outcome), Err))
            .collect()
    }

    /// Makes what is committed visible, all of it at one moment.
    fn publish(&mut self, slice: Option<&Slice>) {
        let mut index = self.shared.index.write();
        let aside = &mut self.aside;
        self.writer.publish(slice, &mut index, |number, points| {
            aside.sealed(number, points);
        });
        *self.shared.totals.lock() = index.totals;
        drop(index);
        self.writer.shrink_pending();
    }
}

/// The same error for another of those who waited for one commit.
fn again(error: &StoreError) -> StoreError {
    StoreError::new(error.kind(), error.message())
}

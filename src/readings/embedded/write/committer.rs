//! The committer: the only thread that writes. The committer takes the waiting batches, checks them, commits them as a single log
//! row with a single flush, makes the commit visible, and answers every batch.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tracing::{error, info, warn};

use super::deferred::{DeferredBatches, PreparedBatch};
use super::transaction::WriteError;
use super::writer::Writer;
use crate::error::{StoreError, StoreErrorKind};
use crate::readings::Outcome;
use crate::readings::embedded::options::EmbeddedOptions;
use crate::readings::embedded::seal::slice::Slice;
use crate::readings::embedded::shared::Shared;
use crate::readings::embedded::shared::queue::{CloseReason, Submission, Taken};

/// How often an idle committer checks whether maintenance is due.
const IDLE_POLL_INTERVAL: Duration = Duration::from_millis(500);

/// How long sealing and freeing disk space may take when the store closes. Unsealed readings stay in the log; the next start
/// reads the log.
const CLOSING_TIME_MAX: Duration = Duration::from_secs(5);

pub(crate) struct Committer {
    shared: Arc<Shared>,
    options: EmbeddedOptions,
    writer: Writer,
    deferred: DeferredBatches,
    waiting_for_seal: Vec<oneshot::Sender<()>>,
}

impl Committer {
    pub(crate) fn new(shared: Arc<Shared>, options: EmbeddedOptions, writer: Writer) -> Self {
        Self {
            deferred: DeferredBatches::new(options.queue_readings_max / 2),
            shared,
            options,
            writer,
            waiting_for_seal: Vec::new(),
        }
    }

    /// Commits until the queue is closed and empty, or a write to disk fails.
    pub(crate) fn run(mut self) {
        loop {
            let timeout = if self.has_maintenance() || !self.deferred.is_empty() {
                Duration::ZERO
            } else {
                IDLE_POLL_INTERVAL
            };
            let taken = self
                .shared
                .queue
                .take(self.options.commit_readings_max, timeout);
            let Taken {
                submissions,
                seal,
                closed,
            } = taken;
            if !seal.is_empty() {
                self.writer.start_full_cycle();
                self.waiting_for_seal.extend(seal);
            }
            let last = closed && submissions.is_empty() && self.deferred.is_empty();
            if (!submissions.is_empty() || !self.deferred.is_empty() || self.has_maintenance())
                && let Err(error) = self.commit(submissions)
            {
                self.fail(&error);
                return;
            }
            if !self.has_maintenance() {
                for waiting in self.waiting_for_seal.drain(..) {
                    // The receiver may be gone.
                    let _ = waiting.send(());
                }
            }
            if last {
                break;
            }
        }
        self.finish();
    }

    /// Seals as much as time allows, and checkpoints the write-ahead log, so that the next start has little to read. A failure
    /// here loses no data.
    fn finish(mut self) {
        let deadline = Instant::now() + CLOSING_TIME_MAX;
        self.writer.prepare_to_close();
        while Instant::now() < deadline && self.has_maintenance() {
            if let Err(error) = self.commit(Vec::new()) {
                self.fail(&error);
                return;
            }
        }
        if let Err(error) = self.writer.checkpoint(deadline) {
            self.writer.abandon();
            warn!(%error, "cannot checkpoint the write-ahead log into readings.db; the next start does");
        }
        info!("readings are closed");
    }

    fn has_maintenance(&mut self) -> bool {
        self.writer.has_maintenance(&self.shared.index.read())
    }

    /// Stops all writing. After a failed write the state of the disk is unknown: a later flush may report success although data
    /// is missing.
    fn fail(&mut self, error: &StoreError) {
        error!(error = %error, "a write to readings.db failed; no more readings are taken");
        self.writer.abandon();
        self.deferred.refuse_all(|| CloseReason::Failed.error());
        self.shared.queue.refuse(CloseReason::Failed);
        self.shared.failed.send_replace(true);
    }

    /// Makes a commit, and answers the batches.
    ///
    /// # Errors
    /// If nothing more may be acknowledged.
    fn commit(&mut self, arrived: Vec<Submission>) -> Result<(), StoreError> {
        let prepared = self.look_up(arrived)?;
        let answers = self.admit(&prepared);
        let submissions: Vec<_> = prepared.into_iter().map(|s| s.submission).collect();
        self.freeze();
        let written = self.writer.write(&self.shared.index.read());
        match written {
            Ok(slice) => {
                self.publish(slice.as_ref());
                let confirmed = self.writer.confirm();
                for (submission, answer) in submissions.into_iter().zip(answers) {
                    submission.answer(match &confirmed {
                        Ok(()) => answer,
                        Err(error) => answer.and_then(|_| Err(copy_of(error))),
                    });
                }
                self.writer.checkpoint_when_due()
            }
            Err(WriteError {
                error,
                outcome_known: true,
            }) => self.refuse(submissions, answers, &error),
            Err(WriteError { error, .. }) => {
                for submission in submissions {
                    submission.answer(Err(CloseReason::Failed.error()));
                }
                Err(error)
            }
        }
    }

    /// Freezes the changes of totals in memory if they are to be written to disk now.
    fn freeze(&mut self) {
        if self.writer.should_freeze(&self.shared.index.read()) {
            self.writer.freeze(&mut self.shared.index.write().uncounted);
        }
    }

    /// Answers the batches of a commit with nothing on disk.
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
            // A batch needs unreadable data. Each batch is tried alone, so that only this batch fails.
            for submission in submissions {
                self.commit(vec![submission])?;
            }
            return Ok(());
        }
        // A full disk is logged elsewhere.
        if error.kind() != StoreErrorKind::StorageFull {
            error!(%error, "a commit was refused");
        }
        self.writer.back_off();
        self.waiting_for_seal.clear();
        for (submission, answer) in submissions.into_iter().zip(answers) {
            submission.answer(answer.and_then(|_| Err(copy_of(error))));
        }
        Ok(())
    }

    /// Looks up the stored readings for the batches. Returns the batches with complete lookups; defers the others.
    fn look_up(&mut self, arrived: Vec<Submission>) -> Result<Vec<PreparedBatch>, StoreError> {
        let index = self.shared.index.read();
        let begin = Instant::now();
        // While sealing is behind, batches with lookups wait: their readings are expensive to seal.
        let crowded = self.writer.is_overcrowded(&index);
        let mut ready = Vec::with_capacity(arrived.len());
        for submission in arrived {
            let mut lookups = self.writer.lookups(&submission.batch, &index);
            // New batches get half of the time, so that a batch with few lookups does not wait behind thousands.
            let deadline = begin + self.options.lookup_time / 2;
            let known = match crowded && !lookups.is_empty() {
                true => Ok(false),
                false => self.writer.advance(&mut lookups, &index, deadline),
            };
            match known {
                Ok(true) => ready.push(PreparedBatch {
                    submission,
                    lookups,
                }),
                Ok(false) => {
                    self.writer
                        .widen_to_all(&mut lookups, &submission.batch, &index);
                    self.deferred.add(PreparedBatch {
                        submission,
                        lookups,
                    });
                }
                Err(error) => submission.answer(Err(error)),
            }
        }
        let deadline = begin + self.options.lookup_time;
        while !crowded && let Some(first) = self.deferred.first() {
            let known = self.writer.advance(&mut first.lookups, &index, deadline);
            if matches!(known, Ok(false)) {
                break;
            }
            let Some(prepared) = self.deferred.take_first() else {
                break;
            };
            match known {
                Ok(_) => ready.push(prepared),
                Err(error) => prepared.submission.answer(Err(error)),
            }
        }
        self.writer.end_lookups()?;
        Ok(ready)
    }

    /// Adds batches to the pending changes. If a batch fails, starts again without this batch.
    fn admit(&mut self, prepared: &[PreparedBatch]) -> Vec<Result<Outcome, StoreError>> {
        let index = self.shared.index.read();
        let mut refused: Vec<Option<StoreError>> = prepared.iter().map(|_| None).collect();
        let outcomes = 'again: loop {
            self.writer.clear_pending();
            let mut outcomes = Vec::with_capacity(prepared.len());
            for (prepared, refused) in prepared.iter().zip(&mut refused) {
                if refused.is_some() {
                    outcomes.push(Outcome::default());
                    continue;
                }
                match self.writer.admit(prepared, &index) {
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

    /// Makes the whole commit visible to readers at once.
    fn publish(&mut self, slice: Option<&Slice>) {
        let mut index = self.shared.index.write();
        let deferred = &mut self.deferred;
        self.writer.publish(slice, &mut index, |number, points| {
            deferred.sealed(number, points);
        });
        *self.shared.totals.lock() = index.totals;
        drop(index);
        self.writer.shrink_pending();
    }
}

/// A copy of an error, for another batch of the same commit.
fn copy_of(error: &StoreError) -> StoreError {
    StoreError::new(error.kind(), error.message())
}

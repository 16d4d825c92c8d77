//! Batches on their way to the committer: bounded, and taken all at once.

use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use crate::error::{SHUTTING_DOWN, StoreError, StoreErrorKind};
use crate::readings::{Batch, Outcome, RecordMode};

/// A batch that waits for its commit, and who waits for it.
#[derive(Debug)]
pub(crate) struct Submission {
    pub(crate) batch: Batch,
    pub(crate) mode: RecordMode,
    pub(crate) reply: oneshot::Sender<Result<Outcome, StoreError>>,
}

impl Submission {
    /// Whoever waited may have gone; what is stored is stored all the same.
    pub(crate) fn answer(self, answer: Result<Outcome, StoreError>) {
        let _ = self.reply.send(answer);
    }
}

/// What the committer finds when it looks.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    pub(crate) submissions: Vec<Submission>,
    /// Those who wait until everything is sealed.
    pub(crate) seal: Vec<oneshot::Sender<()>>,
    pub(crate) closed: bool,
}

#[derive(Debug, Default)]
struct State {
    submissions: VecDeque<Submission>,
    readings: usize,
    seal: Vec<oneshot::Sender<()>>,
    /// Why nothing is taken any more.
    closed: Option<Closed>,
}

/// Why the queue takes nothing any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Closed {
    /// The store was asked to close.
    Shutdown,
    /// A write to disk failed, and what reached the disk is not known.
    Failed,
    /// What is on disk cannot be read.
    NotOpened,
}

impl Closed {
    pub(crate) fn error(self) -> StoreError {
        let message = match self {
            Self::Shutdown => SHUTTING_DOWN,
            Self::NotOpened => {
                "the stored readings cannot be opened, and the server is stopping; see its log"
            }
            Self::Failed => "a write to disk has failed, and the server is stopping; see its log",
        };
        StoreError::new(StoreErrorKind::Unavailable, message)
    }
}

#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    wakeup: Condvar,
    readings_max: usize,
}

impl Queue {
    pub(crate) fn new(readings_max: usize) -> Self {
        Self {
            state: Mutex::default(),
            wakeup: Condvar::new(),
            readings_max,
        }
    }

    /// Puts a batch in line. A batch alone may be larger than the bound: it was let in by the bounds of whoever built it.
    pub(crate) fn submit(&self, submission: Submission) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        if let Some(closed) = state.closed {
            return Err(closed.error());
        }
        let readings = state.readings + submission.batch.len();
        if readings > self.readings_max && !state.submissions.is_empty() {
            return Err(StoreError::new(
                StoreErrorKind::Overloaded,
                "more readings are waiting to be stored than the server holds; nothing of this was stored, send it again",
            ));
        }
        state.readings = readings;
        state.submissions.push_back(submission);
        drop(state);
        self.wakeup.notify_one();
        Ok(())
    }

    /// Asks for everything to be sealed.
    pub(crate) fn seal(&self) -> Result<oneshot::Receiver<()>, StoreError> {
        let (done, sealed) = oneshot::channel();
        let mut state = self.state.lock();
        if let Some(closed) = state.closed {
            return Err(closed.error());
        }
        state.seal.push(done);
        drop(state);
        self.wakeup.notify_one();
        Ok(sealed)
    }

    /// Takes nothing more; what is in line is still the committer's.
    pub(crate) fn close(&self, why: Closed) {
        let mut state = self.state.lock();
        if state.closed != Some(Closed::Failed) {
            state.closed = Some(why);
        }
        drop(state);
        self.wakeup.notify_all();
    }

    /// Takes nothing more, and answers those in line with why.
    pub(crate) fn refuse(&self, why: Closed) {
        self.close(why);
        while let Taken { submissions, .. } = self.take(usize::MAX, Duration::ZERO)
            && !submissions.is_empty()
        {
            for submission in submissions {
                submission.answer(Err(why.error()));
            }
        }
    }

    pub(crate) fn closed(&self) -> Option<Closed> {
        self.state.lock().closed
    }

    /// Takes what is in line, about `readings_max` readings; waits for something for as long as `patience`.
    pub(crate) fn take(&self, readings_max: usize, patience: Duration) -> Taken {
        let mut state = self.state.lock();
        if state.submissions.is_empty()
            && state.seal.is_empty()
            && state.closed.is_none()
            && !patience.is_zero()
        {
            self.wakeup.wait_for(&mut state, patience);
        }
        let mut taken = Taken {
            seal: std::mem::take(&mut state.seal),
            closed: state.closed.is_some(),
            ..Taken::default()
        };
        let mut readings = 0;
        while readings < readings_max
            && let Some(submission) = state.submissions.pop_front()
        {
            readings += submission.batch.len();
            taken.submissions.push(submission);
        }
        state.readings -= readings;
        taken
    }
}

//! The write queue: bounded; the committer takes many batches at once.

use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use crate::error::{SHUTTING_DOWN, StoreError, StoreErrorKind};
use crate::readings::{Batch, Outcome, RecordMode};

/// A batch in the queue, and the channel for its answer.
#[derive(Debug)]
pub(crate) struct Submission {
    pub(crate) batch: Batch,
    pub(crate) mode: RecordMode,
    pub(crate) reply: oneshot::Sender<Result<Outcome, StoreError>>,
}

impl Submission {
    /// Sends the answer. The receiver may be gone; this does not undo the commit.
    pub(crate) fn answer(self, answer: Result<Outcome, StoreError>) {
        let _ = self.reply.send(answer);
    }
}

/// The contents of the queue, taken by the committer.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    pub(crate) submissions: Vec<Submission>,
    /// Senders to notify when all readings are sealed.
    pub(crate) seal: Vec<oneshot::Sender<()>>,
    pub(crate) closed: bool,
}

#[derive(Debug, Default)]
struct State {
    submissions: VecDeque<Submission>,
    readings: usize,
    seal: Vec<oneshot::Sender<()>>,
    /// Set when the queue accepts nothing more.
    closed: Option<CloseReason>,
}

/// Why the queue accepts nothing more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CloseReason {
    /// The store was asked to close.
    Shutdown,
    /// A write to disk failed. Unknown: how much of the write reached the disk.
    Failed,
    /// The file could not be opened.
    NotOpened,
}

impl CloseReason {
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

    /// Adds a batch to the queue. A batch larger than the bound is accepted if the queue is empty; the sender bounds the size of a
    /// batch.
    ///
    /// # Errors
    /// [`StoreErrorKind::Overloaded`] if the queue is full. [`StoreErrorKind::Unavailable`] if the queue is closed.
    pub(crate) fn submit(&self, submission: Submission) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        if let Some(closed) = state.closed {
            return Err(closed.error());
        }
        let readings = state.readings + submission.batch.len();
        if readings > self.readings_max && !state.submissions.is_empty() {
            return Err(StoreError::new(
                StoreErrorKind::Overloaded,
                "the queue of readings to be stored is full; nothing of this request was stored, send it again",
            ));
        }
        state.readings = readings;
        state.submissions.push_back(submission);
        drop(state);
        self.wakeup.notify_one();
        Ok(())
    }

    /// Asks the committer to seal all readings. The receiver is notified when this is done.
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

    /// Closes the queue. The committer still takes the batches in the queue.
    pub(crate) fn close(&self, why: CloseReason) {
        let mut state = self.state.lock();
        if state.closed != Some(CloseReason::Failed) {
            state.closed = Some(why);
        }
        drop(state);
        self.wakeup.notify_all();
    }

    /// Closes the queue, and answers every waiting batch with the reason.
    pub(crate) fn refuse(&self, why: CloseReason) {
        self.close(why);
        while let Taken { submissions, .. } = self.take(usize::MAX, Duration::ZERO)
            && !submissions.is_empty()
        {
            for submission in submissions {
                submission.answer(Err(why.error()));
            }
        }
    }

    pub(crate) fn closed(&self) -> Option<CloseReason> {
        self.state.lock().closed
    }

    /// Takes about `readings_max` readings from the queue. If the queue is empty, waits up to `timeout`.
    pub(crate) fn take(&self, readings_max: usize, timeout: Duration) -> Taken {
        let mut state = self.state.lock();
        if state.submissions.is_empty()
            && state.seal.is_empty()
            && state.closed.is_none()
            && !timeout.is_zero()
        {
            self.wakeup.wait_for(&mut state, timeout);
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

//! Shared by the start, the committer and the readers: the queue of writes, the index, and the status of the store.

pub(crate) mod opening;
pub(crate) mod queue;

use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

use self::opening::Opening;
use self::queue::{CloseReason, Queue};
use super::index::Index;
use super::options::EmbeddedOptions;
use crate::error::StoreError;
use crate::readings::Stats;

/// The state that the committer, the readers and the start share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) queue: Queue,
    pub(crate) index: RwLock<Index>,
    /// A copy of the totals in the index. A read of this copy never waits for a commit that updates the index.
    pub(crate) totals: Mutex<Stats>,
    pub(crate) opening: Opening,
    /// Becomes true when a write to disk fails, or the store cannot be opened.
    pub(crate) failed: watch::Sender<bool>,
}

impl Shared {
    /// The state before the start: no sensors, not open.
    pub(crate) fn new(options: &EmbeddedOptions) -> Self {
        Self {
            queue: Queue::new(options.queue_readings_max),
            index: RwLock::default(),
            totals: Mutex::default(),
            opening: Opening::default(),
            failed: watch::Sender::new(false),
        }
    }

    /// Records a failed opening of the store. Ignores the error if the store was closed during the start.
    pub(crate) fn not_opened(&self, error: &StoreError) {
        let is_closing = self.queue.closed() == Some(CloseReason::Shutdown);
        if is_closing {
            self.queue.refuse(CloseReason::Shutdown);
            return;
        }
        self.opening.failed(error);
        self.queue.refuse(CloseReason::NotOpened);
        self.failed.send_replace(true);
    }
}

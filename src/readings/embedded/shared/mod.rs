//! What the start, the committer and the readers share: the queue of writes, the index, and whether the store is open.

pub(crate) mod opening;
pub(crate) mod queue;

use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

use self::opening::Opening;
use self::queue::{Closed, Queue};
use super::index::Index;
use super::options::EmbeddedOptions;
use crate::error::StoreError;
use crate::readings::Stats;

/// What the committer and the readers share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) queue: Queue,
    pub(crate) index: RwLock<Index>,
    /// The totals of the index, where a reader never waits for a batch being taken into it.
    pub(crate) totals: Mutex<Stats>,
    pub(crate) opening: Opening,
    /// Turns true when a write to disk has failed, or the store cannot be opened.
    pub(crate) failed: watch::Sender<bool>,
}

impl Shared {
    /// Without any sensor.
    pub(crate) fn new(options: &EmbeddedOptions) -> Self {
        Self {
            queue: Queue::new(options.queue_readings_max),
            index: RwLock::default(),
            totals: Mutex::default(),
            opening: Opening::default(),
            failed: watch::Sender::new(false),
        }
    }

    /// The store cannot be opened, or it was closed meanwhile.
    pub(crate) fn not_opened(&self, error: &StoreError) {
        let is_closing = self.queue.closed() == Some(Closed::Shutdown);
        if is_closing {
            self.queue.refuse(Closed::Shutdown);
            return;
        }
        self.opening.failed(error);
        self.queue.refuse(Closed::NotOpened);
        self.failed.send_replace(true);
    }
}

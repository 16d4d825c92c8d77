//! The moment after an answer in which those who were answered mostly come back.

use std::time::Duration;

use tokio::time::Instant;

/// How long they have: this part of what the transaction took, and no longer than so.
const PART: u32 = 4;
const TIME_MAX: Duration = Duration::from_millis(10);

/// Such a moment.
#[derive(Debug)]
pub(crate) struct Gathering {
    until: Instant,
    /// How many batches waited before; with as many there is nothing more to wait for.
    expected: usize,
}

impl Gathering {
    /// After a transaction that took so long, while so many batches waited.
    pub(crate) fn after(took: Duration, expected: usize) -> Self {
        Self {
            until: Instant::now() + (took / PART).min(TIME_MAX),
            expected,
        }
    }

    /// Whether more is expected when so many batches wait.
    pub(crate) fn goes_on(&self, waiting: usize) -> bool {
        waiting < self.expected && Instant::now() < self.until
    }

    /// Waits until the moment is over.
    pub(crate) async fn end(&self) {
        tokio::time::sleep_until(self.until).await;
    }
}

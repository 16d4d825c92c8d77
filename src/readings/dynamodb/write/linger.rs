//! A short pause after an answer. In this pause, most of the answered clients send their next readings.

use std::time::Duration;

use tokio::time::Instant;

/// The pause is this fraction of the transaction's time, and at most this long.
const FRACTION: u32 = 4;
const TIME_MAX: Duration = Duration::from_millis(10);

/// A pause before the next transaction.
#[derive(Debug)]
pub(crate) struct Linger {
    until: Instant,
    /// How many batches waited before; when as many wait again, the pause ends.
    expected: usize,
}

impl Linger {
    /// The pause after a transaction of length `elapsed`, while `expected` batches waited.
    pub(crate) fn after(elapsed: Duration, expected: usize) -> Self {
        Self {
            until: Instant::now() + (elapsed / FRACTION).min(TIME_MAX),
            expected,
        }
    }

    /// Whether more batches are expected.
    pub(crate) fn continues(&self, waiting: usize) -> bool {
        waiting < self.expected && Instant::now() < self.until
    }

    /// Waits until the pause is over.
    pub(crate) async fn wait(&self) {
        tokio::time::sleep_until(self.until).await;
    }
}

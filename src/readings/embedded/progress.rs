//! The progress of a start, and the request to stop the start.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::error::{StoreError, StoreErrorKind};

/// How many rows are read between two checks for a stop request.
const ROWS_PER_STOP_CHECK: u64 = 1024;

/// Shared by the thread that reads rows and the threads that watch or stop the start.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    done: AtomicU64,
    expected: AtomicU64,
    is_stopped: AtomicBool,
}

impl Progress {
    /// Sets the expected number of rows.
    pub(crate) fn expect(&self, rows: u64) {
        self.expected.store(rows, Ordering::Relaxed);
    }

    /// Counts a row as read.
    ///
    /// # Errors
    /// [`StoreErrorKind::Unavailable`] after [`Progress::stop`].
    pub(crate) fn advance(&self) -> Result<(), StoreError> {
        let done = self.done.fetch_add(1, Ordering::Relaxed);
        match done.is_multiple_of(ROWS_PER_STOP_CHECK) {
            true => self.check(),
            false => Ok(()),
        }
    }

    /// Checks for a stop request.
    ///
    /// # Errors
    /// [`StoreErrorKind::Unavailable`] after [`Progress::stop`].
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        if self.is_stopped.load(Ordering::Relaxed) {
            return Err(StoreError::new(
                StoreErrorKind::Unavailable,
                "the server was stopped while it read the readings",
            ));
        }
        Ok(())
    }

    /// Asks the reading thread to stop.
    pub(crate) fn stop(&self) {
        self.is_stopped.store(true, Ordering::Relaxed);
    }

    /// The percentage of expected rows already read.
    pub(crate) fn percent(&self) -> u64 {
        let done = self.done.load(Ordering::Relaxed);
        let expected = self.expected.load(Ordering::Relaxed);
        (100 * done.min(expected))
            .checked_div(expected)
            .unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_told_in_parts_of_a_hundred_and_ends_when_it_is_stopped() {
        let progress = Progress::default();
        assert_eq!(progress.percent(), 0);
        progress.expect(3_000);
        for _ in 0..750 {
            progress.advance().unwrap();
        }
        assert_eq!(progress.percent(), 25);
        progress.stop();
        let stopped = (0..ROWS_PER_STOP_CHECK).find_map(|_| progress.advance().err());
        assert_eq!(stopped.unwrap().kind(), StoreErrorKind::Unavailable);
        progress.expect(1);
        assert_eq!(progress.percent(), 100);
    }
}

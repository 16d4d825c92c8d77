//! How far a start has come, and whether it is to go on.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::error::{StoreError, StoreErrorKind};

/// How many rows are read between looks at whether to stop.
const ROWS_PER_LOOK: u64 = 1024;

/// What whoever reads many rows tells, and is told, meanwhile.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    done: AtomicU64,
    expected: AtomicU64,
    is_stopped: AtomicBool,
}

impl Progress {
    /// Says how many rows there are.
    pub(crate) fn expect(&self, rows: u64) {
        self.expected.store(rows, Ordering::Relaxed);
    }

    /// One more row is done.
    ///
    /// # Errors
    /// When it is to stop.
    pub(crate) fn advance(&self) -> Result<(), StoreError> {
        let done = self.done.fetch_add(1, Ordering::Relaxed);
        match done.is_multiple_of(ROWS_PER_LOOK) {
            true => self.check(),
            false => Ok(()),
        }
    }

    /// # Errors
    /// When it is to stop.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        if self.is_stopped.load(Ordering::Relaxed) {
            return Err(StoreError::new(
                StoreErrorKind::Unavailable,
                "the server was stopped while it read the readings",
            ));
        }
        Ok(())
    }

    /// Tells whoever reads to stop.
    pub(crate) fn stop(&self) {
        self.is_stopped.store(true, Ordering::Relaxed);
    }

    /// How many of a hundred parts are done.
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
        let stopped = (0..ROWS_PER_LOOK).find_map(|_| progress.advance().err());
        assert_eq!(stopped.unwrap().kind(), StoreErrorKind::Unavailable);
        progress.expect(1);
        assert_eq!(progress.percent(), 100);
    }
}

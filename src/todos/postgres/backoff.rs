//! A pause after a failure, so that waiting clients do not repeat the failed attempt all the time.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::errors::{Cause, PostgresError};

const PAUSE_MIN: Duration = Duration::from_millis(50);

/// The present pause, if any. Each further failure doubles the pause.
pub(super) struct Backoff {
    pause_max: Duration,
    current: Mutex<Option<Pause>>,
}

struct Pause {
    until: Instant,
    length: Duration,
    cause: Cause,
    reason: String,
    source: Option<String>,
}

impl Backoff {
    pub(super) fn new(pause_max: Duration) -> Self {
        Self {
            pause_max,
            current: Mutex::default(),
        }
    }

    /// The error of the last attempt, while the pause lasts. `action` completes "could not".
    pub(super) fn check(&self, action: &str) -> Result<(), PostgresError> {
        match &*self.current.lock() {
            Some(pause) if Instant::now() < pause.until => Err(PostgresError::repeated(
                action,
                pause.cause,
                &pause.reason,
                pause.source.clone(),
            )),
            _ => Ok(()),
        }
    }

    /// Begins a pause after an attempt failed with this error. Returns the error.
    pub(super) fn begin(&self, error: PostgresError) -> PostgresError {
        let mut current = self.current.lock();
        let length = current.as_ref().map_or(PAUSE_MIN, |pause| pause.length * 2);
        let length = length.min(self.pause_max);
        *current = Some(Pause {
            until: Instant::now() + length,
            length,
            cause: error.cause,
            reason: error.reason.clone(),
            source: error.source_text(),
        });
        error
    }

    /// Ends the pause after an attempt succeeded.
    pub(super) fn end(&self) {
        *self.current.lock() = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_maximum_and_end_after_a_success() {
        let backoff = Backoff::new(Duration::from_millis(120));
        let length = || backoff.current.lock().as_ref().map(|pause| pause.length);
        assert!(backoff.check("read").is_ok());
        let lengths = [50, 100, 120, 120].map(Duration::from_millis);
        for expected in lengths {
            let _ = backoff.begin(PostgresError::timed_out("read"));
            assert_eq!(length(), Some(expected));
            let error = backoff.check("add a todo").unwrap_err().into_error();
            assert!(
                error.message().starts_with("could not add a todo: "),
                "{error}"
            );
        }
        backoff.end();
        assert!(backoff.check("read").is_ok());
    }
}

//! A pause after something that failed, so that waiting clients do not try it over and over.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::errors::{Cause, Failure};

const PAUSE_MIN: Duration = Duration::from_millis(50);

/// Whether to try. Each failure in a row makes the pause twice as long.
pub(super) struct Rest {
    pause_max: Duration,
    current: Mutex<Option<Pause>>,
}

struct Pause {
    until: Instant,
    length: Duration,
    cause: Cause,
    why: String,
    source: Option<String>,
}

impl Rest {
    pub(super) fn new(pause_max: Duration) -> Self {
        Self {
            pause_max,
            current: Mutex::default(),
        }
    }

    /// What was wrong, while there is a pause.
    pub(super) fn check(&self, what: &str) -> Result<(), Failure> {
        match &*self.current.lock() {
            Some(pause) if Instant::now() < pause.until => Err(Failure::again(
                what,
                pause.cause,
                &pause.why,
                pause.source.clone(),
            )),
            _ => Ok(()),
        }
    }

    /// A pause begins, which everybody is told the reason of.
    pub(super) fn begin(&self, failure: Failure) -> Failure {
        let mut current = self.current.lock();
        let length = current.as_ref().map_or(PAUSE_MIN, |pause| pause.length * 2);
        let length = length.min(self.pause_max);
        *current = Some(Pause {
            until: Instant::now() + length,
            length,
            cause: failure.cause,
            why: failure.why.clone(),
            source: failure.source_text(),
        });
        failure
    }

    /// It went well.
    pub(super) fn end(&self) {
        *self.current.lock() = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_bound_and_end_with_success() {
        let rest = Rest::new(Duration::from_millis(120));
        let length = || rest.current.lock().as_ref().map(|pause| pause.length);
        assert!(rest.check("read").is_ok());
        let lengths = [50, 100, 120, 120].map(Duration::from_millis);
        for expected in lengths {
            let _ = rest.begin(Failure::timed_out("read"));
            assert_eq!(length(), Some(expected));
            let told = rest.check("add a todo").unwrap_err().into_error();
            assert!(
                told.message().starts_with("could not add a todo: "),
                "{told}"
            );
        }
        rest.end();
        assert!(rest.check("read").is_ok());
    }
}

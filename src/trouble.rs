//! Trouble with a backend, as the log tells it: one line when it starts, one a minute while it lasts, one when it ends.
//!
//! However many requests fail meanwhile, these are all the lines there are: each of them says how many it was. Only a cause that
//! was not named before has a line of its own, up to a few.

use std::error::Error;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tracing::{info, warn};

/// How long trouble lasts until it is told again.
const REMINDER: Duration = Duration::from_secs(60);
/// How many causes are named as soon as they show.
const CAUSES_MAX: usize = 5;

/// Whether a backend is in trouble, and since when.
#[derive(Debug)]
pub struct Trouble {
    store: &'static str,
    backend: &'static str,
    current: Mutex<Option<Current>>,
}

#[derive(Debug)]
struct Current {
    since: Instant,
    told: Instant,
    failures: u64,
    /// What failed last.
    reason: String,
    /// What the log has named.
    named: Vec<String>,
}

/// What there is to tell.
#[derive(Debug, PartialEq, Eq)]
enum Event {
    Started,
    GoesOn(u64, Duration),
    Ended(u64, Duration),
}

impl Trouble {
    /// A backend without trouble: the store it serves, and the kind it is.
    pub const fn new(store: &'static str, backend: &'static str) -> Self {
        Self {
            store,
            backend,
            current: Mutex::new(None),
        }
    }

    /// Something failed, and it was the backend's doing. The line names the error and those below it.
    pub fn failed(&self, error: &dyn Error) {
        let Some(event) = self.note_failure(error, Instant::now()) else {
            return;
        };
        let Self { store, backend, .. } = self;
        let error = chain(error);
        match event {
            Event::Started => warn!(store, backend, error, "trouble with a backend"),
            Event::GoesOn(failures, lasted) => warn!(
                store,
                backend,
                error,
                failures,
                seconds = lasted.as_secs(),
                "trouble with a backend goes on"
            ),
            Event::Ended(..) => {}
        }
    }

    /// Something went well that would not have if the trouble were still there.
    pub fn ended(&self) {
        if let Some(Event::Ended(failures, lasted)) = self.note_success(Instant::now()) {
            let Self { store, backend, .. } = self;
            let seconds = lasted.as_secs_f64();
            info!(
                store,
                backend, failures, seconds, "trouble with a backend has ended"
            );
        }
    }

    /// The message of the last failure while there is trouble.
    pub fn reason(&self) -> Option<String> {
        let current = self.current.lock();
        current.as_ref().map(|current| current.reason.clone())
    }

    fn note_failure(&self, error: &dyn Error, now: Instant) -> Option<Event> {
        let reason = error.to_string();
        let mut current = self.current.lock();
        let Some(current) = &mut *current else {
            *current = Some(Current {
                since: now,
                told: now,
                failures: 1,
                named: vec![reason.clone()],
                reason,
            });
            return Some(Event::Started);
        };
        current.failures += 1;
        let lasted = now - current.since;
        let is_new = current.named.len() < CAUSES_MAX && !current.named.contains(&reason);
        if is_new {
            current.named.push(reason.clone());
        }
        current.reason = reason;
        if is_new || now - current.told >= REMINDER {
            current.told = now;
            return Some(Event::GoesOn(current.failures, lasted));
        }
        None
    }

    fn note_success(&self, now: Instant) -> Option<Event> {
        // Nearly always there is none, and nobody waits for the lock.
        let ended = self.current.lock().take()?;
        Some(Event::Ended(ended.failures, now - ended.since))
    }
}

/// An error and those below it, in one line.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut below = error.source();
    while let Some(error) = below {
        // Writing to a text cannot fail.
        let _ = write!(text, ": {error}");
        below = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_failures_are_a_line_a_minute() {
        let trouble = Trouble::new("readings", "dynamodb");
        let begin = Instant::now();
        let error = std::io::Error::other("away");
        let at = |seconds| begin + Duration::from_secs(seconds);
        assert_eq!(trouble.note_success(begin), None);
        assert_eq!(trouble.note_failure(&error, begin), Some(Event::Started));
        let told = (1..1_000).filter_map(|n| trouble.note_failure(&error, at(n * 180 / 1_000)));
        assert_eq!(
            told.collect::<Vec<_>>(),
            [
                Event::GoesOn(335, Duration::from_secs(60)),
                Event::GoesOn(668, Duration::from_secs(120))
            ]
        );
        assert_eq!(trouble.reason().as_deref(), Some("away"));
        assert_eq!(
            trouble.note_success(at(180)),
            Some(Event::Ended(1_000, Duration::from_secs(180)))
        );
        assert_eq!(
            (trouble.reason(), trouble.note_success(at(181))),
            (None, None)
        );
    }

    #[test]
    fn a_new_cause_is_named_at_once_and_a_few_of_them_only() {
        let trouble = Trouble::new("readings", "dynamodb");
        let now = Instant::now();
        let failed = |n: usize| trouble.note_failure(&std::io::Error::other(n.to_string()), now);
        assert_eq!(failed(0), Some(Event::Started));
        let told = (0..20).filter(|n| failed(n % 10).is_some());
        assert_eq!(told.count(), CAUSES_MAX - 1);
    }

    #[test]
    fn an_error_is_told_with_those_below_it() {
        let below = std::io::Error::other("no route to host");
        let error = crate::error::StoreError::new(
            crate::error::StoreErrorKind::Unavailable,
            "Redis cannot be reached",
        );
        assert_eq!(
            chain(&error.with_source(below)),
            "Redis cannot be reached: no route to host"
        );
    }
}

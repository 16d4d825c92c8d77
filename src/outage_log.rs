//! Reports the outages of a backend to the log: a line at the start of an outage, a line each minute, a line at the end.
//!
//! The number of failed requests adds no lines; each line counts the failures. A new cause gets a line at once, up to a few causes.

use std::error::Error;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tracing::{info, warn};

use crate::error::chain;

/// After how long the log reports an outage again.
const REMINDER: Duration = Duration::from_secs(60);
/// How many causes of one outage are reported at once.
const CAUSES_MAX: usize = 5;

/// The outages of one backend.
#[derive(Debug)]
pub struct OutageLog {
    store: &'static str,
    backend: &'static str,
    outage: Mutex<Option<Outage>>,
}

/// A current outage.
#[derive(Debug)]
struct Outage {
    since: Instant,
    /// When the log reported the outage last.
    reported: Instant,
    failures: u64,
    /// The message of the last failure.
    reason: String,
    /// The causes in the log so far.
    causes: Vec<String>,
}

/// A line for the log.
#[derive(Debug, PartialEq, Eq)]
enum Event {
    Started,
    GoesOn(u64, Duration),
    Ended(u64, Duration),
}

impl OutageLog {
    /// A backend without an outage. `store` and `backend` are fields of the log lines, such as "readings" and "dynamodb".
    pub const fn new(store: &'static str, backend: &'static str) -> Self {
        Self {
            store,
            backend,
            outage: Mutex::new(None),
        }
    }

    /// Reports a request that failed because of the backend. The line names the error and its causes.
    pub fn report_failure(&self, error: &dyn Error) {
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

    /// Reports a request that needed the backend and succeeded.
    pub fn report_success(&self) {
        if let Some(Event::Ended(failures, lasted)) = self.note_success(Instant::now()) {
            let Self { store, backend, .. } = self;
            let seconds = lasted.as_secs_f64();
            info!(
                store,
                backend, failures, seconds, "trouble with a backend has ended"
            );
        }
    }

    /// The message of the last failure, while the outage lasts.
    pub fn reason(&self) -> Option<String> {
        let outage = self.outage.lock();
        outage.as_ref().map(|outage| outage.reason.clone())
    }

    fn note_failure(&self, error: &dyn Error, now: Instant) -> Option<Event> {
        let reason = error.to_string();
        let mut current = self.outage.lock();
        let Some(outage) = &mut *current else {
            *current = Some(Outage {
                since: now,
                reported: now,
                failures: 1,
                causes: vec![reason.clone()],
                reason,
            });
            return Some(Event::Started);
        };
        outage.failures += 1;
        let lasted = now - outage.since;
        let is_new = outage.causes.len() < CAUSES_MAX && !outage.causes.contains(&reason);
        if is_new {
            outage.causes.push(reason.clone());
        }
        outage.reason = reason;
        if is_new || now - outage.reported >= REMINDER {
            outage.reported = now;
            return Some(Event::GoesOn(outage.failures, lasted));
        }
        None
    }

    fn note_success(&self, now: Instant) -> Option<Event> {
        // Nearly always there is no outage, and nobody waits for the lock.
        let ended = self.outage.lock().take()?;
        Some(Event::Ended(ended.failures, now - ended.since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_failures_are_a_line_a_minute() {
        let outages = OutageLog::new("readings", "dynamodb");
        let begin = Instant::now();
        let error = std::io::Error::other("unavailable");
        let at = |seconds| begin + Duration::from_secs(seconds);
        assert_eq!(outages.note_success(begin), None);
        assert_eq!(outages.note_failure(&error, begin), Some(Event::Started));
        let reported = (1..1_000).filter_map(|n| outages.note_failure(&error, at(n * 180 / 1_000)));
        assert_eq!(
            reported.collect::<Vec<_>>(),
            [
                Event::GoesOn(335, Duration::from_secs(60)),
                Event::GoesOn(668, Duration::from_secs(120))
            ]
        );
        assert_eq!(outages.reason().as_deref(), Some("unavailable"));
        assert_eq!(
            outages.note_success(at(180)),
            Some(Event::Ended(1_000, Duration::from_secs(180)))
        );
        assert_eq!(
            (outages.reason(), outages.note_success(at(181))),
            (None, None)
        );
    }

    #[test]
    fn a_new_cause_is_named_at_once_and_only_a_few_are() {
        let outages = OutageLog::new("readings", "dynamodb");
        let now = Instant::now();
        let report = |n: usize| outages.note_failure(&std::io::Error::other(n.to_string()), now);
        assert_eq!(report(0), Some(Event::Started));
        let reported = (0..20).filter(|n| report(n % 10).is_some());
        assert_eq!(reported.count(), CAUSES_MAX - 1);
    }
}

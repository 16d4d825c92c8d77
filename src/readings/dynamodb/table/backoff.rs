//! Pauses between attempts.

use std::time::Duration;

use tokio::time::Instant;

use crate::random::{self, SplitMix64};

const PAUSE_MIN: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Pauses that grow, and differ from replica to replica.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
    random: SplitMix64,
}

impl Backoff {
    pub(crate) fn new() -> Self {
        Self {
            next: PAUSE_MIN,
            random: SplitMix64::new(random::seed()),
        }
    }

    /// A half to the whole of the next pause.
    pub(crate) fn next(&mut self) -> Duration {
        let half = self.next / 2;
        let pause = half + half.mul_f64(self.random.fraction());
        self.next = (self.next * 2).min(PAUSE_MAX);
        pause
    }

    /// Waits for the next pause, at most until the deadline. `false` when that has passed.
    pub(crate) async fn pause(&mut self, deadline: Instant) -> bool {
        let pause = self.next();
        let now = Instant::now();
        if now >= deadline {
            return false;
        }
        tokio::time::sleep_until((now + pause).min(deadline)).await;
        true
    }
}

/// The pauses of whoever tries one thing after the other, which begin with the first failure and end with a success.
#[derive(Debug, Default)]
pub(crate) struct Pauses {
    current: Option<(Backoff, Instant)>,
}

impl Pauses {
    /// Something failed: from now on nothing is tried for a while, longer each time.
    pub(crate) fn begin(&mut self) {
        let (mut backoff, _) = self
            .current
            .take()
            .unwrap_or_else(|| (Backoff::new(), Instant::now()));
        let until = Instant::now() + backoff.next();
        self.current = Some((backoff, until));
    }

    /// Something went well.
    pub(crate) fn end(&mut self) {
        self.current = None;
    }

    /// Whether what was tried last has failed.
    pub(crate) const fn is_failing(&self) -> bool {
        self.current.is_some()
    }

    /// Whether nothing is to be tried now.
    pub(crate) fn is_pausing(&self) -> bool {
        let until = self.current.as_ref().map(|(_, until)| *until);
        until.is_some_and(|until| until > Instant::now())
    }

    /// Waits for the end of a pause.
    pub(crate) async fn over(&self) {
        if let Some((_, until)) = &self.current {
            tokio::time::sleep_until(*until).await;
        }
    }
}

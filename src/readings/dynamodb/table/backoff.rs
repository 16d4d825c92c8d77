//! Pauses between attempts.

use std::time::Duration;

use tokio::time::Instant;

use crate::random::{self, SplitMix64};

const PAUSE_MIN: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Growing, random pauses between attempts. Replicas with random pauses do not retry together.
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

    /// The next pause: a random part between a half and all of the current maximum.
    pub(crate) fn next(&mut self) -> Duration {
        let half = self.next / 2;
        let pause = half + half.mul_f64(self.random.fraction());
        self.next = (self.next * 2).min(PAUSE_MAX);
        pause
    }

    /// Waits for the next pause, at most until the deadline. Returns `false` when the deadline has passed.
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

/// Pauses between attempts, which begin with the first failure and end with the first success.
#[derive(Debug, Default)]
pub(crate) struct Pauses {
    current: Option<(Backoff, Instant)>,
}

impl Pauses {
    /// An attempt failed. The pause until the next attempt grows with each failure.
    pub(crate) fn begin(&mut self) {
        let (mut backoff, _) = self
            .current
            .take()
            .unwrap_or_else(|| (Backoff::new(), Instant::now()));
        let until = Instant::now() + backoff.next();
        self.current = Some((backoff, until));
    }

    /// An attempt succeeded.
    pub(crate) fn end(&mut self) {
        self.current = None;
    }

    /// Whether the last attempt failed.
    pub(crate) const fn is_failing(&self) -> bool {
        self.current.is_some()
    }

    /// Whether the pause is not over yet.
    pub(crate) fn is_pausing(&self) -> bool {
        let until = self.current.as_ref().map(|(_, until)| *until);
        until.is_some_and(|until| until > Instant::now())
    }

    /// Waits until the pause is over.
    pub(crate) async fn over(&self) {
        if let Some((_, until)) = &self.current {
            tokio::time::sleep_until(*until).await;
        }
    }
}

//! The time budget of a request: the limit for all waits for S3 together.

use std::time::{Duration, Instant};

/// The longest total wait for S3 in one request, retries included. When S3 is unavailable, the client gets an answer within ten seconds,
/// all other waits included. Each accepted part of a file starts a new budget.
pub(super) const REQUEST_TIME_MAX: Duration = Duration::from_millis(7500);

/// The remaining time of a request to wait for S3. Time passes only during a wait.
#[derive(Clone, Debug)]
pub(super) struct TimeBudget {
    left: Duration,
}

impl TimeBudget {
    /// A full budget.
    pub(super) const fn new() -> Self {
        Self {
            left: REQUEST_TIME_MAX,
        }
    }

    /// Makes the budget full again.
    pub(super) fn reset(&mut self) {
        self.left = REQUEST_TIME_MAX;
    }

    /// Waits for a future while there is time left, `extra` included. `None` when the time ran out.
    pub(super) async fn wait<T>(
        &mut self,
        extra: Duration,
        future: impl Future<Output = T>,
    ) -> Option<T> {
        let start = Instant::now();
        let output = tokio::time::timeout(self.left + extra, future).await;
        self.spend(start.elapsed().saturating_sub(extra));
        output.ok()
    }

    /// Takes a wait off the budget.
    pub(super) fn spend(&mut self, waited: Duration) {
        self.left = self.left.saturating_sub(waited);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_a_wait_uses_up_the_budget() {
        let mut budget = TimeBudget {
            left: Duration::from_millis(200),
        };
        tokio::time::sleep(Duration::from_millis(250)).await;
        assert_eq!(budget.left, Duration::from_millis(200));
        let soon = tokio::time::sleep(Duration::from_millis(50));
        assert!(budget.wait(Duration::ZERO, soon).await.is_some());
        assert!(budget.left <= Duration::from_millis(150));
        let never = std::future::pending::<()>();
        assert!(budget.wait(Duration::ZERO, never).await.is_none());
        assert!(budget.left.is_zero());
        budget.reset();
        assert_eq!(budget.left, REQUEST_TIME_MAX);
    }
}

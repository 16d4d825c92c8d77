//! How long a request may wait for S3, all that it asks of S3 together.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::client::S3Client;
use crate::error::StoreError;

/// How long S3 is waited for, retries included, since the request began or S3 took a part of a file: with what else a request may
/// wait for, a client hears within ten seconds that S3 is away.
pub(super) const TIME_MAX: Duration = Duration::from_millis(7500);

/// What is left of that time. It goes by only while S3 is waited for.
#[derive(Debug)]
pub(super) struct Patience {
    left: Duration,
}

impl Patience {
    pub(super) const fn new() -> Self {
        Self { left: TIME_MAX }
    }

    /// As if the request had begun now.
    pub(super) fn renew(&mut self) {
        self.left = TIME_MAX;
    }

    /// The same time, to be spent somewhere else.
    pub(super) const fn copy(&self) -> Self {
        Self { left: self.left }
    }

    /// Waits for something while there is time left; `None` when it does not come.
    pub(super) async fn wait<T>(
        &mut self,
        longer: Duration,
        what: impl Future<Output = T>,
    ) -> Option<T> {
        let began = Instant::now();
        let come = tokio::time::timeout(self.left + longer, what).await;
        self.spend(began.elapsed().saturating_sub(longer));
        come.ok()
    }

    /// So long was waited.
    pub(super) fn spend(&mut self, waited: Duration) {
        self.left = self.left.saturating_sub(waited);
    }

    /// The result of a request to S3, if it comes in time. `what` completes "could not".
    pub(super) async fn ask<T>(
        &mut self,
        client: &Arc<S3Client>,
        what: &'static str,
        request: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T, StoreError> {
        self.ask_longer(client, Duration::ZERO, what, request).await
    }

    /// As [`Patience::ask`], with some more time for this one.
    pub(super) async fn ask_longer<T>(
        &mut self,
        client: &Arc<S3Client>,
        longer: Duration,
        what: &'static str,
        request: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T, StoreError> {
        match self.wait(longer, request).await {
            Some(Ok(answer)) => Ok(answer),
            Some(Err(error)) => Err(client.failed(what, &error).await),
            None => Err(client.silent(what)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn time_goes_by_only_while_something_is_waited_for() {
        let mut patience = Patience {
            left: Duration::from_millis(200),
        };
        tokio::time::sleep(Duration::from_millis(250)).await;
        let soon = tokio::time::sleep(Duration::from_millis(50));
        assert!(patience.wait(Duration::ZERO, soon).await.is_some());
        assert!(patience.left <= Duration::from_millis(150));
        let never = std::future::pending::<()>();
        assert!(patience.wait(Duration::ZERO, never).await.is_none());
        assert!(patience.left.is_zero());
        patience.renew();
        assert_eq!(patience.left, TIME_MAX);
    }
}

//! The result of the last probe of the bucket. Does no I/O.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::MutexGuard;

use crate::error::{StoreError, StoreErrorKind};

/// The result of the last probe of the bucket.
#[derive(Debug, Default)]
pub(super) struct BucketStatus {
    state: Mutex<State>,
    /// Held during a probe. Other callers wait for the result.
    probing: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    /// Whether a probe succeeded, and S3 has denied nothing since.
    is_proven: bool,
    failure: Option<ProbeFailure>,
}

#[derive(Clone, Debug)]
struct ProbeFailure {
    at: Instant,
    kind: StoreErrorKind,
    message: String,
    /// How long the failure is reported again without another probe.
    valid_for: Duration,
}

impl ProbeFailure {
    fn error(&self) -> StoreError {
        StoreError::new(self.kind, self.message.clone())
    }
}

impl BucketStatus {
    /// Whether a probe succeeded, and S3 has denied nothing since.
    pub(super) fn is_proven(&self) -> bool {
        self.state.lock().is_proven
    }

    /// Requires another probe.
    pub(super) fn invalidate(&self) {
        self.state.lock().is_proven = false;
    }

    /// The result of the last probe, while the result is valid.
    pub(super) fn current(&self) -> Option<Result<(), StoreError>> {
        let state = self.state.lock();
        if state.is_proven {
            return Some(Ok(()));
        }
        let failure = state.failure.as_ref()?;
        (failure.at.elapsed() < failure.valid_for).then(|| Err(failure.error()))
    }

    /// The error of the last probe, when the probe failed at `start` or later.
    pub(super) fn error_since(&self, start: Instant) -> Option<StoreError> {
        let state = self.state.lock();
        let failure = state.failure.as_ref()?;
        (failure.at >= start).then(|| failure.error())
    }

    /// Waits until no other probe runs.
    pub(super) async fn lock_probe(&self) -> MutexGuard<'_, ()> {
        self.probing.lock().await
    }

    /// Records a successful probe.
    pub(super) fn set_proven(&self) {
        *self.state.lock() = State {
            is_proven: true,
            failure: None,
        };
    }

    /// Records a failed probe. The failure is reported again for `valid_for`. A failure with a `valid_for` of zero, such as an outage, says
    /// nothing about the bucket: then an earlier success stays valid.
    pub(super) fn set_failed(&self, error: &StoreError, valid_for: Duration) {
        let mut state = self.state.lock();
        state.is_proven &= valid_for.is_zero();
        state.failure = Some(ProbeFailure {
            at: Instant::now(),
            kind: error.kind(),
            message: error.message().to_owned(),
            valid_for,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(kind: StoreErrorKind) -> StoreError {
        StoreError::new(kind, "no")
    }

    #[test]
    fn a_failure_is_reported_again_only_while_it_is_valid() {
        let status = BucketStatus::default();
        assert!(status.current().is_none());
        status.set_failed(&error(StoreErrorKind::Denied), Duration::from_secs(60));
        let repeated = status.current().unwrap().unwrap_err();
        assert_eq!(repeated.kind(), StoreErrorKind::Denied);
        assert_eq!(repeated.message(), "no");
        status.set_failed(&error(StoreErrorKind::Unavailable), Duration::ZERO);
        assert!(status.current().is_none());
        status.set_proven();
        assert!(status.current().unwrap().is_ok());
    }

    #[test]
    fn an_outage_keeps_an_earlier_success_and_a_denial_does_not() {
        let status = BucketStatus::default();
        status.set_proven();
        status.set_failed(&error(StoreErrorKind::Unavailable), Duration::ZERO);
        assert!(status.is_proven());
        status.set_failed(&error(StoreErrorKind::Denied), Duration::from_secs(60));
        assert!(!status.is_proven());
        status.set_proven();
        status.invalidate();
        assert!(status.current().is_none());
    }

    #[test]
    fn waiting_callers_get_only_failures_since_they_began_to_wait() {
        let status = BucketStatus::default();
        let start = Instant::now();
        status.set_failed(&error(StoreErrorKind::Unavailable), Duration::ZERO);
        assert!(status.error_since(start).is_some());
        assert!(
            status
                .error_since(Instant::now() + Duration::from_secs(1))
                .is_none()
        );
    }
}

//! Sends a request again while the server is unavailable. All commands follow this policy.
//!
//! An attempt is repeated when it failed in a way that passes: no connection, no complete answer, or a status that means "try
//! again later". Pauses double from attempt to attempt. A pause that the server asks for (`Retry-After`) is kept in full.

use std::fmt::Display;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::error::{StoreError, StoreErrorKind};
use crate::http::date;

const PAUSE_FIRST: Duration = Duration::from_millis(100);
/// Bounds the doubling, not the pause that a server asks for.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// How often and for how long a request is sent again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RetryPolicy {
    /// The most attempts for one request.
    pub(crate) attempts_max: u32,
    /// The time limit for one attempt.
    pub(crate) attempt_timeout: Duration,
    /// No attempt starts later than this after the start of the first one.
    pub(crate) retry_window: Duration,
}

impl RetryPolicy {
    /// A single attempt.
    pub(crate) const fn once(attempt_timeout: Duration) -> Self {
        Self {
            attempts_max: 1,
            attempt_timeout,
            retry_window: Duration::ZERO,
        }
    }
}

impl Default for RetryPolicy {
    /// About half a minute of pauses, so that a restart of the server goes unnoticed.
    fn default() -> Self {
        Self {
            attempts_max: 12,
            attempt_timeout: Duration::from_secs(60),
            retry_window: Duration::from_secs(120),
        }
    }
}

/// A failed attempt.
pub(crate) struct AttemptError<E> {
    pub(crate) error: E,
    /// Whether another attempt may succeed.
    pub(crate) is_transient: bool,
    /// Whether the server may have carried out the request.
    pub(crate) may_have_applied: bool,
    /// The pause that the server asks for.
    pub(crate) retry_after: Option<Duration>,
}

impl<E> AttemptError<E> {
    /// A failure that another attempt would meet as well.
    pub(crate) fn permanent(error: E) -> Self {
        Self {
            error,
            is_transient: false,
            may_have_applied: false,
            retry_after: None,
        }
    }

    /// The same failure with another type of error.
    pub(crate) fn map<F>(self, convert: impl FnOnce(E) -> F) -> AttemptError<F> {
        AttemptError {
            error: convert(self.error),
            is_transient: self.is_transient,
            may_have_applied: self.may_have_applied,
            retry_after: self.retry_after,
        }
    }
}

/// The result of the attempt that succeeded.
#[derive(Debug)]
pub(crate) struct Retried<T> {
    pub(crate) value: T,
    /// The number of failed attempts before.
    pub(crate) retries: u32,
    /// Whether the server may have carried out one of the failed attempts.
    pub(crate) may_have_applied: bool,
}

/// Calls `attempt` with the number of the attempt, from 1, until it succeeds, fails for good, or the policy allows no other
/// attempt. Calls `on_retry` before each pause with a sentence for the user.
///
/// # Errors
/// The error of the last attempt.
pub(crate) async fn retry<T, E: Display, F>(
    policy: RetryPolicy,
    mut attempt: impl FnMut(u32) -> F,
    mut on_retry: impl FnMut(&str),
) -> Result<Retried<T>, E>
where
    F: Future<Output = Result<T, AttemptError<E>>>,
{
    let mut attempts = Attempts::new(policy);
    loop {
        match attempt(attempts.number).await {
            Ok(value) => {
                return Ok(Retried {
                    value,
                    retries: attempts.number - 1,
                    may_have_applied: attempts.may_have_applied,
                });
            }
            Err(failed) => attempts.pause_after(failed, &mut on_retry).await?,
        }
    }
}

/// The attempts at one request so far.
pub(crate) struct Attempts {
    policy: RetryPolicy,
    started: Instant,
    /// Of the current attempt, from 1.
    number: u32,
    may_have_applied: bool,
}

impl Attempts {
    /// Before the first attempt.
    pub(crate) fn new(policy: RetryPolicy) -> Self {
        Self {
            policy,
            started: Instant::now(),
            number: 1,
            may_have_applied: false,
        }
    }

    /// Waits until the next attempt may start.
    ///
    /// # Errors
    /// The error of the failed attempt, when no other one is to follow.
    pub(crate) async fn pause_after<E: Display>(
        &mut self,
        failed: AttemptError<E>,
        mut on_retry: impl FnMut(&str),
    ) -> Result<(), E> {
        let pause = pause(self.number, failed.retry_after);
        let is_in_window = self.started.elapsed().saturating_add(pause) < self.policy.retry_window;
        if !failed.is_transient || self.number >= self.policy.attempts_max || !is_in_window {
            return Err(failed.error);
        }
        let seconds = pause.as_secs_f64();
        on_retry(&format!("{}; trying again in {seconds:.1} s", failed.error));
        tokio::time::sleep(pause).await;
        self.number += 1;
        self.may_have_applied |= failed.may_have_applied;
        Ok(())
    }
}

/// [`retry`] by the default policy for a request to a store: repeats while the store is overloaded or unavailable. The request
/// must be safe to repeat.
///
/// # Errors
/// The error of the last attempt.
pub(crate) async fn retry_store<T, F>(
    mut attempt: impl FnMut() -> F,
    on_retry: impl FnMut(&str),
) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let attempt = |_| {
        let attempt = attempt();
        async { attempt.await.map_err(AttemptError::from) }
    };
    let retried = retry(RetryPolicy::default(), attempt, on_retry).await?;
    Ok(retried.value)
}

impl From<StoreError> for AttemptError<StoreError> {
    fn from(error: StoreError) -> Self {
        Self {
            is_transient: matches!(
                error.kind(),
                StoreErrorKind::Overloaded | StoreErrorKind::Unavailable
            ),
            may_have_applied: true,
            retry_after: None,
            error,
        }
    }
}

/// Doubles from attempt to attempt up to a bound; at least the pause that the server asks for.
fn pause(attempt: u32, retry_after: Option<Duration>) -> Duration {
    let doubled = PAUSE_FIRST.saturating_mul(1 << attempt.saturating_sub(1).min(16));
    doubled.min(PAUSE_MAX).max(retry_after.unwrap_or_default())
}

/// The pause that a `Retry-After` header asks for, in seconds or as a date (RFC 9110, 10.2.3); `None` for anything else.
pub(crate) fn parse_retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = Timestamp::from_second(date::parse(value)?).ok()?;
    Some(Duration::try_from(date.duration_since(now)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use super::*;

    const POLICY: RetryPolicy = RetryPolicy {
        attempts_max: 3,
        attempt_timeout: Duration::from_secs(1),
        retry_window: Duration::from_secs(60),
    };

    fn transient(retry_after: Option<Duration>) -> AttemptError<&'static str> {
        AttemptError {
            error: "busy",
            is_transient: true,
            may_have_applied: true,
            retry_after,
        }
    }

    #[tokio::test]
    async fn a_transient_failure_is_retried_and_announced() {
        let mut announced = Vec::new();
        let retried = retry(
            POLICY,
            |number| {
                ready(match number {
                    3 => Ok("done"),
                    _ => Err(transient(None)),
                })
            },
            |text| announced.push(text.to_owned()),
        )
        .await
        .unwrap();
        assert_eq!((retried.value, retried.retries), ("done", 2));
        assert!(retried.may_have_applied);
        assert_eq!(
            announced,
            ["busy; trying again in 0.1 s", "busy; trying again in 0.2 s"]
        );
    }

    /// The number of attempts until the policy gives up.
    async fn attempts(
        policy: RetryPolicy,
        failure: impl Fn() -> AttemptError<&'static str>,
    ) -> u32 {
        let mut attempts = 0;
        let ended: Result<Retried<()>, _> = retry(
            policy,
            |number| {
                attempts = number;
                ready(Err(failure()))
            },
            |_| {},
        )
        .await;
        assert!(ended.is_err());
        attempts
    }

    #[tokio::test]
    async fn attempts_are_bounded_in_number_and_in_time() {
        assert_eq!(attempts(POLICY, || transient(None)).await, 3);
        assert_eq!(attempts(POLICY, || AttemptError::permanent("bad")).await, 1);
        assert_eq!(
            attempts(RetryPolicy::once(Duration::MAX), || transient(None)).await,
            1
        );
        // The server asks for a pause that ends after the window: no reason to wait for that.
        let later = Some(POLICY.retry_window);
        assert_eq!(attempts(POLICY, || transient(later)).await, 1);
        let window = RetryPolicy {
            retry_window: Duration::from_millis(250),
            ..POLICY
        };
        assert_eq!(attempts(window, || transient(None)).await, 2);
    }

    #[tokio::test]
    async fn a_store_is_asked_again_only_while_it_may_recover() {
        for (kind, attempts_expected) in [
            (StoreErrorKind::Overloaded, 2),
            (StoreErrorKind::Unavailable, 2),
            (StoreErrorKind::Damaged, 1),
            (StoreErrorKind::StorageFull, 1),
        ] {
            let mut attempts = 0;
            let ended = retry_store(
                || {
                    attempts += 1;
                    ready(match attempts {
                        2 => Ok(()),
                        _ => Err(StoreError::new(kind, "no")),
                    })
                },
                |_| {},
            )
            .await;
            assert_eq!(
                (ended.is_ok(), attempts),
                (attempts_expected == 2, attempts_expected)
            );
        }
    }

    #[test]
    fn pauses_double_to_a_bound_and_respect_the_server() {
        assert_eq!(pause(1, None), PAUSE_FIRST);
        assert_eq!(pause(3, None), PAUSE_FIRST * 4);
        assert_eq!(pause(u32::MAX, None), PAUSE_MAX);
        let long = PAUSE_MAX * 6;
        assert_eq!(pause(1, Some(long)), long);
        assert_eq!(pause(9, Some(Duration::ZERO)), PAUSE_MAX);
    }

    #[test]
    fn retry_after_is_a_number_of_seconds_or_a_date() {
        let now: Timestamp = "1994-11-06T08:49:00Z".parse().unwrap();
        for (value, seconds) in [
            ("0", Some(0)),
            (" 120 ", Some(120)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(37)),
            ("Sat, 05 Nov 1994 08:49:37 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
            ("1.5", None),
        ] {
            let expected = seconds.map(Duration::from_secs);
            assert_eq!(parse_retry_after(value, now), expected, "{value}");
        }
    }
}

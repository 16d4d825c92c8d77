//! The HTTP client of the commands: requests to one server, repeated by one policy, and errors in words.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{LOCATION, RETRY_AFTER};
use reqwest::{Request, Response, StatusCode, Url};
use serde::Deserialize;

use super::retry::{AttemptError, Retried, RetryPolicy, parse_retry_after, retry};
use super::server_url::{ServerUrl, plain_text};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Far above the longest answer that these commands ask for.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// No connection, or no complete answer within the time limit.
    #[error("{url} cannot be reached{}: {reason}", tries(*.attempts))]
    NoAnswer {
        url: String,
        attempts: u32,
        reason: String,
    },
    /// The server answered with a status that is not 2xx.
    #[error("{url} answered {status}{}: {detail}", tries(*.attempts))]
    Status {
        url: String,
        attempts: u32,
        status: StatusCode,
        detail: String,
    },
}

fn tries(attempts: u32) -> String {
    if attempts > 1 {
        format!(" ({attempts} tries)")
    } else {
        String::new()
    }
}

/// The texts of a problem document (RFC 9457).
#[derive(Deserialize)]
struct ProblemText {
    title: Option<String>,
    detail: Option<String>,
}

/// Sends requests to one server.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    server: ServerUrl,
    policy: RetryPolicy,
}

impl Client {
    /// # Errors
    /// The machine's certificates cannot be read (`https` only).
    pub(crate) fn new(server: ServerUrl, policy: RetryPolicy) -> anyhow::Result<Self> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("fieldstation/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT.min(policy.attempt_timeout))
            .read_timeout(policy.attempt_timeout)
            .tcp_nodelay(true)
            // A redirected PUT or POST arrives as a GET, or not at all. The error names the new URL instead.
            .redirect(reqwest::redirect::Policy::none());
        if server.is_loopback() {
            builder = builder.no_proxy();
        }
        if !server.is_encrypted() {
            // The machine's certificates are not needed, and a container may have none.
            builder = builder.tls_certs_only([]);
        }
        Ok(Self {
            http: builder.build()?,
            server,
            policy,
        })
    }

    pub(crate) fn server(&self) -> &ServerUrl {
        &self.server
    }

    /// Sends a request, repeats it by the policy, and returns the body of the answer.
    ///
    /// The request must be safe to repeat: a reading that is stored already is not counted twice. `on_retry` gets a sentence
    /// for the user before each repetition.
    ///
    /// # Errors
    /// [`CallError`] of the last attempt.
    pub(crate) async fn call(
        &self,
        request: &Request,
        on_retry: impl FnMut(&str),
    ) -> Result<Retried<Bytes>, CallError> {
        retry(
            self.policy,
            |number| self.attempt(request, number),
            on_retry,
        )
        .await
    }

    /// As [`Client::call`], for a body that is read piece by piece. A failure after the answer has begun is not repeated.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub(crate) async fn open(
        &self,
        request: &Request,
        on_retry: impl FnMut(&str),
    ) -> Result<Response, CallError> {
        let attempt = |number| self.begin(request, number, None);
        let retried = retry(self.policy, attempt, on_retry).await?;
        Ok(retried.value)
    }

    /// As [`Client::call`], for a body that is a stream: `make` makes the request anew for each attempt.
    ///
    /// # Errors
    /// As [`Client::call`], and those of `make`.
    pub(crate) async fn send(
        &self,
        make: impl AsyncFn() -> anyhow::Result<Request>,
        on_retry: impl FnMut(&str),
    ) -> anyhow::Result<()> {
        let make = &make;
        let attempt = |number| async move {
            let request = make().await.map_err(AttemptError::permanent)?;
            let url = request.url().clone();
            let sent = self.execute(&url, request, number).await;
            sent.map(drop).map_err(|failed| failed.map(Into::into))
        };
        retry(self.policy, attempt, on_retry).await?;
        Ok(())
    }

    async fn attempt(
        &self,
        request: &Request,
        number: u32,
    ) -> Result<Bytes, AttemptError<CallError>> {
        let timeout = Some(self.policy.attempt_timeout);
        let mut response = self.begin(request, number, timeout).await?;
        read_body(&mut response)
            .await
            .map_err(|error| no_answer(request.url(), number, &error))
    }

    /// Sends a request once, up to the beginning of the answer's body. The timeout covers the body as well.
    ///
    /// # Errors
    /// The failure, and whether another attempt may succeed.
    async fn begin(
        &self,
        request: &Request,
        number: u32,
        timeout: Option<Duration>,
    ) -> Result<Response, AttemptError<CallError>> {
        let url = request.url();
        let Some(mut copy) = request.try_clone() else {
            return Err(AttemptError::permanent(CallError::NoAnswer {
                url: plain_text(url),
                attempts: number,
                reason: "the request cannot be repeated".to_owned(),
            }));
        };
        *copy.timeout_mut() = timeout;
        self.execute(url, copy, number).await
    }

    async fn execute(
        &self,
        url: &Url,
        request: Request,
        number: u32,
    ) -> Result<Response, AttemptError<CallError>> {
        let response = self.http.execute(request).await;
        let response = response.map_err(|error| no_answer(url, number, &error))?;
        successful(url, response, number).await
    }
}

/// The answer, if its status is a 2xx.
async fn successful(
    url: &Url,
    mut response: Response,
    attempts: u32,
) -> Result<Response, AttemptError<CallError>> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let header = |name| response.headers().get(name)?.to_str().ok();
    let retry_after =
        header(RETRY_AFTER).and_then(|value| parse_retry_after(value, jiff::Timestamp::now()));
    let location = header(LOCATION).map(str::to_owned);
    let mut detail = match (location, read_body(&mut response).await) {
        (Some(location), _) if status.is_redirection() => {
            format!("it is at {location}; use that URL")
        }
        (_, Ok(body)) => detail(&body),
        (_, Err(error)) => reason(&error),
    };
    if let Some(pause) = retry_after.filter(|pause| !pause.is_zero()) {
        detail.push_str(&format!(" (try again after {} s)", pause.as_secs()));
    }
    Err(AttemptError {
        is_transient: matches!(
            status,
            StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::BAD_GATEWAY
                | StatusCode::GATEWAY_TIMEOUT
                | StatusCode::TOO_MANY_REQUESTS
                | StatusCode::REQUEST_TIMEOUT
        ),
        may_have_applied: true,
        retry_after,
        error: CallError::Status {
            url: plain_text(url),
            attempts,
            status,
            detail,
        },
    })
}

fn no_answer(url: &Url, attempts: u32, error: &reqwest::Error) -> AttemptError<CallError> {
    AttemptError {
        is_transient: !error.is_builder(),
        may_have_applied: !error.is_connect(),
        retry_after: None,
        error: CallError::NoAnswer {
            url: plain_text(url),
            attempts,
            reason: reason(error),
        },
    }
}

async fn read_body(response: &mut Response) -> Result<Bytes, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        body.extend_from_slice(&chunk);
        if body.len() > ANSWER_BYTES_MAX {
            break;
        }
    }
    Ok(body.into())
}

/// The innermost cause, such as "connection refused": the outer ones only say that the request failed.
pub(crate) fn reason(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let mut inner: &dyn std::error::Error = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}

fn detail(body: &[u8]) -> String {
    const CHARACTERS_MAX: usize = 300;
    if let Ok(problem) = serde_json::from_slice::<ProblemText>(body)
        && let Some(text) = problem.detail.or(problem.title)
    {
        return text;
    }
    let text = String::from_utf8_lossy(body);
    let text = text.trim();
    if text.is_empty() {
        return "(no explanation)".to_owned();
    }
    text.chars().take(CHARACTERS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_put_into_words() {
        assert_eq!(detail(br#"{"title":"t","detail":"d"}"#), "d");
        assert_eq!(detail(br#"{"title":"t"}"#), "t");
        assert_eq!(detail(b" <html> "), "<html>");
        assert_eq!(detail(b""), "(no explanation)");
    }
}

//! The commands' end of HTTP: one server, patience with it, and its errors in words.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::RETRY_AFTER;
use reqwest::{Request, Response, StatusCode, Url};
use serde::Deserialize;

use super::server_url::{ServerUrl, plain_text};

/// How long to keep trying.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// The most times one request is sent.
    pub(crate) attempts_max: u32,
    /// How long a whole exchange may take.
    pub(crate) timeout: Duration,
}

impl Patience {
    /// Ask once.
    pub(crate) const fn once(timeout: Duration) -> Self {
        Self {
            attempts_max: 1,
            timeout,
        }
    }
}

impl Default for Patience {
    /// About half a minute of pauses: a server that restarts is back by then.
    fn default() -> Self {
        Self {
            attempts_max: 12,
            timeout: Duration::from_secs(60),
        }
    }
}

const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// What a server says when nothing is wrong is far below this.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A server's answer with a 2xx status.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) body: Bytes,
    /// How many times the request was sent before, without this answer.
    pub(crate) retries: u32,
    /// Whether one of those tries may have been carried out all the same, and its answer lost.
    pub(crate) uncertain: bool,
}

/// Why there is no answer to use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// The connection failed, or the answer did not come whole or in time.
    #[error("{url} cannot be reached{}: {reason}", tries(*.attempts))]
    NoAnswer {
        url: String,
        attempts: u32,
        reason: String,
    },
    /// The server answered with another status than 2xx.
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

/// The part of a problem document (RFC 9457) that is for people.
#[derive(Deserialize)]
struct ProblemText {
    title: Option<String>,
    detail: Option<String>,
}

/// Speaks to one server.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    server: ServerUrl,
    patience: Patience,
}

impl Client {
    /// # Errors
    /// The machine's certificates cannot be read (`https` only).
    pub(crate) fn new(server: ServerUrl, patience: Patience) -> anyhow::Result<Self> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("fieldstation/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT.min(patience.timeout))
            .read_timeout(patience.timeout)
            .tcp_nodelay(true)
            // A PUT or POST that is redirected arrives as a GET, or not at all: better said than tried.
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
            patience,
        })
    }

    pub(crate) fn server(&self) -> &ServerUrl {
        &self.server
    }

    /// Sends a request until it is answered with something else than "try again later", and reads the answer.
    ///
    /// Every request of these commands is safe to send again: a reading that is there already is not counted twice.
    /// `on_retry` is told why each time.
    ///
    /// # Errors
    /// [`CallError`]: refused, or still no answer after [`Patience::attempts_max`] tries.
    pub(crate) async fn call(
        &self,
        request: &Request,
        mut on_retry: impl FnMut(&CallError),
    ) -> Result<Answer, CallError> {
        let mut attempts = 0;
        let mut uncertain = false;
        loop {
            attempts += 1;
            let failure = match self.attempt(request, attempts).await {
                Ok(body) => {
                    return Ok(Answer {
                        body,
                        retries: attempts - 1,
                        uncertain,
                    });
                }
                Err(failure) => failure,
            };
            if !failure.again || attempts >= self.patience.attempts_max {
                return Err(failure.error);
            }
            uncertain |= failure.uncertain;
            on_retry(&failure.error);
            tokio::time::sleep(pause(attempts, failure.retry_after)).await;
        }
    }

    /// Asks for something whose answer is read piece by piece. Tried again only until the answer begins.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub(crate) async fn open(&self, request: &Request) -> Result<Response, CallError> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            match self.begin(request, attempts, false).await {
                Ok(response) => return Ok(response),
                Err(failure) if !failure.again || attempts >= self.patience.attempts_max => {
                    return Err(failure.error);
                }
                Err(failure) => tokio::time::sleep(pause(attempts, failure.retry_after)).await,
            }
        }
    }

    /// Sends a request whose body is a stream, made anew for each try, until it is answered with something else than "try again
    /// later". It must be safe to send again.
    ///
    /// # Errors
    /// As [`Client::call`], and those of `make`.
    pub(crate) async fn send(
        &self,
        make: impl AsyncFn() -> anyhow::Result<Request>,
        mut on_retry: impl FnMut(&CallError),
    ) -> anyhow::Result<()> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            let request = make().await?;
            let url = request.url().clone();
            let failure = match self.http.execute(request).await {
                Ok(response) => match accepted(&url, response, attempts).await {
                    Ok(_) => return Ok(()),
                    Err(failure) => failure,
                },
                Err(error) => Failure::no_answer(&url, attempts, &error),
            };
            if !failure.again || attempts >= self.patience.attempts_max {
                return Err(failure.error.into());
            }
            on_retry(&failure.error);
            tokio::time::sleep(pause(attempts, failure.retry_after)).await;
        }
    }

    async fn attempt(&self, request: &Request, attempts: u32) -> Result<Bytes, Failure> {
        let mut response = self.begin(request, attempts, true).await?;
        read_body(&mut response)
            .await
            .map_err(|error| Failure::no_answer(request.url(), attempts, &error))
    }

    async fn begin(
        &self,
        request: &Request,
        attempts: u32,
        whole: bool,
    ) -> Result<Response, Failure> {
        let url = || plain_text(request.url());
        let Some(mut copy) = request.try_clone() else {
            return Err(Failure::of(CallError::NoAnswer {
                url: url(),
                attempts,
                reason: "the request cannot be repeated".to_owned(),
            }));
        };
        if whole {
            *copy.timeout_mut() = Some(self.patience.timeout);
        }
        let response = self
            .http
            .execute(copy)
            .await
            .map_err(|error| Failure::no_answer(request.url(), attempts, &error))?;
        accepted(request.url(), response, attempts).await
    }
}

/// The answer, if its status is a 2xx.
async fn accepted(url: &Url, mut response: Response, attempts: u32) -> Result<Response, Failure> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let retry_after = response
        .headers()
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.trim().parse().ok())
        .map(Duration::from_secs);
    let location = response
        .headers()
        .get(reqwest::header::LOCATION)
        .and_then(|value| value.to_str().ok().map(str::to_owned));
    let detail = match (location, read_body(&mut response).await) {
        (Some(location), _) if status.is_redirection() => {
            format!("it is at {location}; use that URL")
        }
        (_, Ok(body)) => detail(&body),
        (_, Err(error)) => reason(&error),
    };
    let again = matches!(
        status,
        StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::BAD_GATEWAY
            | StatusCode::GATEWAY_TIMEOUT
            | StatusCode::TOO_MANY_REQUESTS
            | StatusCode::REQUEST_TIMEOUT
    );
    Err(Failure {
        again,
        uncertain: true,
        retry_after,
        error: CallError::Status {
            url: plain_text(url),
            attempts,
            status,
            detail,
        },
    })
}

/// One try that came to nothing.
struct Failure {
    error: CallError,
    again: bool,
    /// Whether the server may have done what it was asked for.
    uncertain: bool,
    retry_after: Option<Duration>,
}

impl Failure {
    fn of(error: CallError) -> Self {
        Self {
            error,
            again: false,
            uncertain: false,
            retry_after: None,
        }
    }

    fn no_answer(url: &Url, attempts: u32, error: &reqwest::Error) -> Self {
        Self {
            again: !error.is_builder(),
            uncertain: !error.is_connect(),
            retry_after: None,
            error: CallError::NoAnswer {
                url: plain_text(url),
                attempts,
                reason: reason(error),
            },
        }
    }
}

/// Twice as long each time, and at least what the server asks for, within bounds.
fn pause(attempts: u32, retry_after: Option<Duration>) -> Duration {
    let doubled = PAUSE_FIRST.saturating_mul(1 << attempts.saturating_sub(1).min(16));
    doubled.max(retry_after.unwrap_or_default()).min(PAUSE_MAX)
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

/// The innermost cause, which is the one that says something ("connection refused").
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
    fn pauses_grow_to_a_bound_and_heed_the_server() {
        assert_eq!(pause(1, None), PAUSE_FIRST);
        assert_eq!(pause(3, None), PAUSE_FIRST * 4);
        assert_eq!(
            pause(1, Some(Duration::from_secs(2))),
            Duration::from_secs(2)
        );
        assert_eq!(pause(1, Some(Duration::from_secs(9999))), PAUSE_MAX);
        assert_eq!(pause(u32::MAX, None), PAUSE_MAX);
    }

    #[test]
    fn an_answer_is_put_into_words() {
        assert_eq!(detail(br#"{"title":"t","detail":"d"}"#), "d");
        assert_eq!(detail(br#"{"title":"t"}"#), "t");
        assert_eq!(detail(b" <html> "), "<html>");
        assert_eq!(detail(b""), "(no explanation)");
    }
}

//! The edge around all routes. Each request gets an id, a time limit, a body for problems, and a line in the log.
//!
//! The edge is one function around the router instead of a stack of layers, because each layer would cost every request allocations.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Method, Request, StatusCode, Version, header};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use http_body::Body as _;
use hyper::body::Incoming;
use tower::Service;
use tracing::{debug, enabled, error};

use super::arrival::Arrival;
use super::request_id::{RequestIds, X_REQUEST_ID};
use super::{Problem, ProblemKind};
use crate::error::chain;

/// The routes, with the settings of the edge.
#[derive(Debug)]
pub struct Edge {
    router: Router,
    ids: RequestIds,
    time_max: Duration,
    is_read_only: bool,
}

impl Edge {
    /// An edge around `router`. An answer must begin within `time_max` after the last byte of the request. Request ids start from
    /// `seed`. With `is_read_only` the edge refuses every method that may change data.
    pub fn new(router: Router, seed: u64, time_max: Duration, is_read_only: bool) -> Self {
        Self {
            router,
            ids: RequestIds::new(seed),
            time_max,
            is_read_only,
        }
    }

    /// Answers a request.
    ///
    /// # Errors
    /// Never: every error becomes a response.
    pub async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response, Infallible> {
        let id = self.ids.of(request.headers());
        let request_log = enabled!(tracing::Level::DEBUG).then(|| RequestLog {
            start: Instant::now(),
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
        });
        let is_head = request.method() == Method::HEAD;
        let (head, body) = request.into_parts();
        let mut response = if body.is_end_stream() {
            let request = Request::from_parts(head, Body::empty());
            self.within_time(request, None).await
        } else {
            // HTTP/2 can end one stream without closing the connection.
            let is_drained = head.version <= Version::HTTP_11;
            let expects_continue = head.headers.contains_key(header::EXPECT);
            let (arrival, body) = Arrival::watch(body);
            let request = Request::from_parts(head, Body::new(body));
            let response = self.within_time(request, Some(&arrival)).await;
            // After a timeout the client is not sending.
            if is_drained && response.status() != StatusCode::REQUEST_TIMEOUT {
                arrival.discard_rest(expects_continue).await;
            }
            response
        };
        if let Some(problem) = response.extensions_mut().remove::<Arc<Problem>>() {
            log_problem(&problem, &id);
            write_problem(&mut response, &problem, &id, is_head);
        }
        let headers = response.headers_mut();
        headers.insert(
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        );
        if let Some(request_log) = request_log {
            request_log.write(&id, response.status().as_u16());
        }
        response.headers_mut().insert(X_REQUEST_ID, id);
        Ok(response)
    }

    /// The answer of the routes, or a problem when a route takes too long or panics.
    async fn within_time(&self, request: Request<Body>, arrival: Option<&Arrival>) -> Response {
        if self.is_read_only && !request.method().is_safe() {
            return Problem::new(
                ProblemKind::ReadOnly,
                "this server only reads (--read-only): nothing of this was stored. Send it to a server that takes writes",
            )
            .into_response();
        }
        let mut router = self.router.clone();
        // A router is always ready, and never fails.
        let routed = Service::call(&mut router, request);
        let mut answered = pin!(AssertUnwindSafe(routed).catch_unwind());
        let mut timer = pin!(tokio::time::sleep(self.time_max));
        loop {
            tokio::select! {
                biased;
                answered = &mut answered => return match answered {
                    Ok(Ok(response)) => response,
                    // The panic hook has logged the panic.
                    Err(_) => {
                        Problem::new(ProblemKind::Internal, "the server failed; its log says more")
                            .into_response()
                    }
                },
                () = &mut timer => match arrival.map(Arrival::ended_at) {
                    // The time counts from the end of the body. The end of the body may have arrived late.
                    Some(Some(ended)) if ended.elapsed() < self.time_max => {
                        timer.as_mut().reset((ended + self.time_max).into());
                    }
                    Some(None) if !arrival.is_some_and(Arrival::is_dripping) => {
                        timer.as_mut().reset(tokio::time::Instant::now() + self.time_max);
                    }
                    Some(None) => return self.too_slow().into_response(),
                    Some(Some(_)) | None => return self.timed_out().into_response(),
                },
            }
        }
    }

    fn too_slow(&self) -> Problem {
        Problem::new(
            ProblemKind::RequestTooSlow,
            "the body comes so slowly that it is not waited for; nothing of it was stored",
        )
    }

    fn timed_out(&self) -> Problem {
        Problem::new(
            ProblemKind::TimedOut,
            format!(
                "the request took longer than {} seconds; a write may have been stored, and sending it again is safe",
                self.time_max.as_secs_f64()
            ),
        )
        .retry_after_seconds(5)
    }
}

/// The fields of a request in the log.
struct RequestLog {
    start: Instant,
    method: Method,
    path: String,
}

impl RequestLog {
    fn write(self, id: &HeaderValue, status: u16) {
        debug!(
            request_id = text(id),
            method = %self.method,
            path = self.path,
            status,
            duration_us = self.start.elapsed().as_micros() as u64,
            "request"
        );
    }
}

fn write_problem(response: &mut Response, problem: &Problem, id: &HeaderValue, is_head: bool) {
    let body = problem.to_json(text(id));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/problem+json"),
    );
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    if !is_head {
        *response.body_mut() = Body::from(body);
    }
}

/// Logs a problem with its source, which the client does not see.
fn log_problem(problem: &Problem, id: &HeaderValue) {
    let status = problem.kind().status();
    let request_id = text(id);
    let detail = problem.detail();
    let kind = problem.kind().slug();
    let source = problem
        .source()
        .map(|source| chain(source))
        .unwrap_or_default();
    // Overload must not cause more work, so a refused request is not an error in the log. Other code logs an unavailable backend and a full
    // disk.
    let is_expected = matches!(
        problem.kind(),
        ProblemKind::Overloaded
            | ProblemKind::NotReady
            | ProblemKind::Unavailable
            | ProblemKind::StorageFull
    );
    if status.is_server_error() && !is_expected {
        error!(
            request_id,
            status = status.as_u16(),
            kind,
            detail,
            source,
            "a request failed"
        );
    } else {
        debug!(
            request_id,
            status = status.as_u16(),
            kind,
            detail,
            source,
            "a request was refused"
        );
    }
}

fn text(id: &HeaderValue) -> &str {
    id.to_str().unwrap_or("-")
}

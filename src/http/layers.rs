//! The edge that every request passes: an id, a time limit, a body for problems, a line in the log.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use tracing::{debug, enabled, error};

use super::request_id::{RequestIds, X_REQUEST_ID};
use super::{Problem, ProblemKind};

/// What the edge needs.
#[derive(Debug)]
pub struct Edge {
    ids: RequestIds,
    time_max: Duration,
}

impl Edge {
    /// An edge that gives each request at most `time_max`, and ids that start from `seed`.
    pub fn new(seed: u64, time_max: Duration) -> Self {
        Self {
            ids: RequestIds::new(seed),
            time_max,
        }
    }
}

/// Passes a request on, and makes its response fit to leave.
pub async fn edge(State(edge): State<Arc<Edge>>, request: Request, next: Next) -> Response {
    let id = edge.ids.of(request.headers());
    let logged = enabled!(tracing::Level::DEBUG).then(|| {
        (
            Instant::now(),
            request.method().clone(),
            request.uri().path().to_owned(),
        )
    });
    let answered = AssertUnwindSafe(next.run(request)).catch_unwind();
    let mut response = match tokio::time::timeout(edge.time_max, answered).await {
        Ok(Ok(response)) => response,
        // The panic has been reported by its hook.
        Ok(Err(_)) => {
            Problem::new(ProblemKind::Internal, "the server failed; its log says more").into_response()
        }
        Err(_) => Problem::new(
            ProblemKind::TimedOut,
            format!(
                "the request took longer than {} seconds; a write may have been stored, and sending it again is safe",
                edge.time_max.as_secs_f64()
            ),
        )
        .retry_after_seconds(5)
        .into_response(),
    };
    if let Some(problem) = response.extensions_mut().remove::<Arc<Problem>>() {
        report(&problem, &id);
        write_body(&mut response, &problem, &id);
    }
    let headers = response.headers_mut();
    headers.insert(X_REQUEST_ID, id.clone());
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    if let Some((start, method, path)) = logged {
        debug!(
            request_id = text(&id),
            %method,
            path,
            status = response.status().as_u16(),
            duration_us = start.elapsed().as_micros() as u64,
            "request"
        );
    }
    response
}

fn write_body(response: &mut Response, problem: &Problem, id: &HeaderValue) {
    let body = problem.to_json(text(id));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/problem+json"),
    );
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    *response.body_mut() = Body::from(body);
}

/// Logs what a client is not told, once.
fn report(problem: &Problem, id: &HeaderValue) {
    let status = problem.kind().status();
    let request_id = text(id);
    let detail = problem.detail();
    let kind = problem.kind().slug();
    let source = problem.source().map(chain).unwrap_or_default();
    if status.is_server_error() {
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

/// An error and those below it.
fn chain(error: &(dyn std::error::Error + Send + Sync + 'static)) -> String {
    let mut text = error.to_string();
    let mut below = error.source();
    while let Some(error) = below {
        text.push_str(": ");
        text.push_str(&error.to_string());
        below = error.source();
    }
    text
}

fn text(id: &HeaderValue) -> &str {
    id.to_str().unwrap_or("-")
}

//! Errors as clients see them: `application/problem+json` (RFC 9457).
//!
//! A [`Problem`] has a public part for the client, and may have a private source for the log. Handlers return problems. The edge
//! (`edge.rs`) adds the request's id, writes the body, and logs the source once. Errors of stores become statuses only in this file.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

use axum::body::Body;
use axum::http::header::{ACCEPT_ENCODING, ALLOW, HeaderName, HeaderValue, RETRY_AFTER};
use axum::response::{IntoResponse, Response};

use super::ProblemKind;
use super::json;
use crate::error::{StoreError, StoreErrorKind};

/// An error of a request.
pub struct Problem(Box<Parts>);

struct Parts {
    kind: ProblemKind,
    detail: Cow<'static, str>,
    /// Further members of the body: names, and values as JSON text.
    members: Vec<(&'static str, Vec<u8>)>,
    headers: Vec<(HeaderName, HeaderValue)>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl Problem {
    /// A problem of this kind; `detail` tells a person the mistake and the next step.
    pub fn new(kind: ProblemKind, detail: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Parts {
            kind,
            detail: detail.into(),
            members: Vec::new(),
            headers: Vec::new(),
            source: None,
        }))
    }

    /// A problem with a parameter of the query or the path; `reason` continues the sentence after the name.
    pub fn parameter(name: &str, reason: impl fmt::Display) -> Self {
        Self::new(
            ProblemKind::InvalidParameter,
            format!("the parameter {name} {reason}"),
        )
    }

    /// Adds a member to the body; its value is JSON text.
    #[must_use]
    pub fn with_member(mut self, name: &'static str, json: Vec<u8>) -> Self {
        self.0.members.push((name, json));
        self
    }

    /// Adds `Retry-After`: the client should try again after so many seconds.
    #[must_use]
    pub fn retry_after_seconds(self, seconds: u32) -> Self {
        self.with_header(RETRY_AFTER, HeaderValue::from(seconds))
    }

    /// Adds `Accept-Encoding`: the content encodings that the route accepts.
    #[must_use]
    pub fn accept_encoding(self, encodings: &'static str) -> Self {
        self.with_header(ACCEPT_ENCODING, HeaderValue::from_static(encodings))
    }

    /// Adds `Allow`: the methods of the route.
    #[must_use]
    pub fn allow(self, methods: HeaderValue) -> Self {
        self.with_header(ALLOW, methods)
    }

    fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.push((name, value));
        self
    }

    /// Adds the cause. The log shows the cause, and the client does not see the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The kind of the problem.
    pub fn kind(&self) -> ProblemKind {
        self.0.kind
    }

    /// The text for a person.
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// The cause, for the log.
    pub fn source(&self) -> Option<&(dyn Error + Send + Sync + 'static)> {
        self.0.source.as_deref()
    }

    /// The body of the response.
    pub fn to_json(&self, request_id: &str) -> Vec<u8> {
        let parts = &self.0;
        let mut out = Vec::with_capacity(256);
        out.extend_from_slice(b"{\"type\":\"/problems/");
        out.extend_from_slice(parts.kind.slug().as_bytes());
        out.extend_from_slice(b"\",\"title\":");
        json::write_string(&mut out, parts.kind.title());
        out.extend_from_slice(b",\"status\":");
        json::write_integer(&mut out, parts.kind.status().as_u16().into());
        out.extend_from_slice(b",\"detail\":");
        json::write_string(&mut out, &parts.detail);
        out.extend_from_slice(b",\"requestId\":");
        json::write_string(&mut out, request_id);
        for (name, value) in &parts.members {
            out.push(b',');
            json::write_string(&mut out, name);
            out.push(b':');
            out.extend_from_slice(value);
        }
        out.extend_from_slice(b"}\n");
        out
    }
}

impl fmt::Debug for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Problem")
            .field("kind", &self.0.kind)
            .field("detail", &self.0.detail)
            .field("source", &self.0.source)
            .finish_non_exhaustive()
    }
}

/// A response without a body. The response carries the problem to the edge, and the edge writes the body.
impl IntoResponse for Problem {
    fn into_response(mut self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.kind().status();
        for (name, value) in self.0.headers.drain(..) {
            response.headers_mut().insert(name, value);
        }
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let detail = error.message().to_owned();
        match error.kind() {
            StoreErrorKind::Overloaded => {
                Self::new(ProblemKind::Overloaded, detail).retry_after_seconds(1)
            }
            StoreErrorKind::Unavailable => {
                Self::new(ProblemKind::Unavailable, detail).retry_after_seconds(5)
            }
            // The request is correct and can be sent again, so the client gets the same kind as in an outage.
            StoreErrorKind::Denied => {
                Self::new(ProblemKind::Unavailable, detail).retry_after_seconds(30)
            }
            StoreErrorKind::TooManySensors => Self::new(ProblemKind::TooManySensors, detail),
            // An operator has to make room, and this takes a while.
            StoreErrorKind::StorageFull => {
                Self::new(ProblemKind::StorageFull, detail).retry_after_seconds(30)
            }
            StoreErrorKind::Unconfirmed => {
                Self::new(ProblemKind::Unavailable, detail).retry_after_seconds(30)
            }
            StoreErrorKind::ReadOnly => Self::new(ProblemKind::ReadOnly, detail),
            StoreErrorKind::Damaged => Self::new(ProblemKind::Damaged, detail),
            StoreErrorKind::Unsupported | StoreErrorKind::Internal => {
                Self::new(ProblemKind::Internal, detail)
            }
        }
        .with_source(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_stays_private() {
        let error = StoreError::new(StoreErrorKind::Internal, "the readings could not be read")
            .with_source("/secret/path: input/output error");
        let problem = Problem::from(error).with_member("line", b"3".to_vec());
        let body = problem.to_json("a\"b");
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            body,
            serde_json::json!({
                "type": "/problems/internal",
                "title": "The server failed",
                "status": 500,
                "detail": "the readings could not be read",
                "requestId": "a\"b",
                "line": 3,
            })
        );
        assert!(problem.source().is_some());
    }
}

//! The kinds of problems for clients. docs/reference/errors.md describes each kind and gives advice to the client.

use axum::http::StatusCode;

/// A kind of problem. The name of the kind, [`ProblemKind::slug`], is stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemKind {
    /// A readable reading that breaks a rule.
    InvalidReading,
    /// A batch with a refused reading.
    InvalidBatch,
    /// A text refused as the word of the greeting.
    InvalidWord,
    /// An unreadable body: parsing failed.
    UnreadableBody,
    /// A refused query parameter, or a refused part of the path.
    InvalidParameter,
    /// An empty window of time, for a series.
    EmptyWindow,
    /// No such route.
    NotFound,
    /// No such sensor.
    UnknownSensor,
    /// A readable todo that breaks a rule.
    InvalidTodo,
    /// No such todo.
    UnknownTodo,
    /// A device without a file.
    UnknownFile,
    /// The route exists, with other methods.
    MethodNotAllowed,
    /// The answer exists in none of the client's accepted formats.
    NotAcceptable,
    /// The request took too long to arrive.
    RequestTooSlow,
    /// A body larger than the limit.
    BodyTooLarge,
    /// The digest of the received bytes differs from the digest in the request.
    DigestMismatch,
    /// The condition of the request does not hold for the stored version.
    PreconditionFailed,
    /// The file has none of the requested bytes.
    RangeNotSatisfiable,
    /// A content type or a content encoding refused by the route.
    UnsupportedMediaType,
    /// The server has reached a limit on concurrent work.
    Overloaded,
    /// A store is not available at the moment.
    Unavailable,
    /// The answer took too long.
    TimedOut,
    /// The server is starting or stopping.
    NotReady,
    /// The limit on the number of sensors is reached.
    TooManySensors,
    /// The disk is full.
    StorageFull,
    /// The server accepts no writes.
    ReadOnly,
    /// Stored data is damaged.
    Damaged,
    /// A fault of the server.
    Internal,
}

impl ProblemKind {
    /// All kinds, in the order of docs/reference/errors.md.
    pub const ALL: [Self; 28] = [
        Self::InvalidReading,
        Self::InvalidBatch,
        Self::InvalidWord,
        Self::UnreadableBody,
        Self::InvalidParameter,
        Self::EmptyWindow,
        Self::NotFound,
        Self::UnknownSensor,
        Self::InvalidTodo,
        Self::UnknownTodo,
        Self::UnknownFile,
        Self::MethodNotAllowed,
        Self::NotAcceptable,
        Self::RequestTooSlow,
        Self::BodyTooLarge,
        Self::DigestMismatch,
        Self::PreconditionFailed,
        Self::RangeNotSatisfiable,
        Self::UnsupportedMediaType,
        Self::Overloaded,
        Self::Unavailable,
        Self::TimedOut,
        Self::NotReady,
        Self::TooManySensors,
        Self::StorageFull,
        Self::ReadOnly,
        Self::Damaged,
        Self::Internal,
    ];

    /// The last part of the problem's `type`. The heading in docs/reference/errors.md is the same text.
    pub const fn slug(self) -> &'static str {
        self.data().0
    }

    /// The status of the response.
    pub const fn status(self) -> StatusCode {
        self.data().1
    }

    /// A short description for people.
    pub const fn title(self) -> &'static str {
        self.data().2
    }

    const fn data(self) -> (&'static str, StatusCode, &'static str) {
        use StatusCode as S;
        match self {
            Self::InvalidReading => (
                "invalid-reading",
                S::UNPROCESSABLE_ENTITY,
                "The reading is not accepted",
            ),
            Self::InvalidBatch => (
                "invalid-batch",
                S::UNPROCESSABLE_ENTITY,
                "The batch is not accepted",
            ),
            Self::InvalidWord => ("invalid-word", S::BAD_REQUEST, "The word is not accepted"),
            Self::UnreadableBody => ("unreadable-body", S::BAD_REQUEST, "The body cannot be read"),
            Self::InvalidParameter => (
                "invalid-parameter",
                S::BAD_REQUEST,
                "A parameter is not accepted",
            ),
            Self::EmptyWindow => (
                "empty-window",
                S::UNPROCESSABLE_ENTITY,
                "The window of time is empty",
            ),
            Self::NotFound => ("not-found", S::NOT_FOUND, "No such route"),
            Self::UnknownSensor => ("unknown-sensor", S::NOT_FOUND, "The sensor has no readings"),
            Self::InvalidTodo => (
                "invalid-todo",
                S::UNPROCESSABLE_ENTITY,
                "The todo is not accepted",
            ),
            Self::UnknownTodo => ("unknown-todo", S::NOT_FOUND, "There is no such todo"),
            Self::UnknownFile => ("unknown-file", S::NOT_FOUND, "The device has no file"),
            Self::MethodNotAllowed => (
                "method-not-allowed",
                S::METHOD_NOT_ALLOWED,
                "The method is not allowed here",
            ),
            Self::NotAcceptable => (
                "not-acceptable",
                S::NOT_ACCEPTABLE,
                "The format cannot be given",
            ),
            Self::RequestTooSlow => (
                "request-too-slow",
                S::REQUEST_TIMEOUT,
                "The request took too long to arrive",
            ),
            Self::BodyTooLarge => (
                "body-too-large",
                S::PAYLOAD_TOO_LARGE,
                "The body is too large",
            ),
            Self::DigestMismatch => (
                "digest-mismatch",
                S::BAD_REQUEST,
                "The digest does not match",
            ),
            Self::PreconditionFailed => (
                "precondition-failed",
                S::PRECONDITION_FAILED,
                "The version does not match",
            ),
            Self::RangeNotSatisfiable => (
                "range-not-satisfiable",
                S::RANGE_NOT_SATISFIABLE,
                "The file has no such part",
            ),
            Self::UnsupportedMediaType => (
                "unsupported-media-type",
                S::UNSUPPORTED_MEDIA_TYPE,
                "The content type is not understood",
            ),
            Self::Overloaded => (
                "overloaded",
                S::SERVICE_UNAVAILABLE,
                "The server is overloaded",
            ),
            Self::Unavailable => (
                "unavailable",
                S::SERVICE_UNAVAILABLE,
                "A store is not available",
            ),
            Self::TimedOut => (
                "timed-out",
                S::SERVICE_UNAVAILABLE,
                "The answer took too long",
            ),
            Self::NotReady => (
                "not-ready",
                S::SERVICE_UNAVAILABLE,
                "The server is not ready",
            ),
            Self::TooManySensors => (
                "too-many-sensors",
                S::INSUFFICIENT_STORAGE,
                "There are too many sensors",
            ),
            Self::StorageFull => ("storage-full", S::INSUFFICIENT_STORAGE, "The disk is full"),
            Self::ReadOnly => ("read-only", S::FORBIDDEN, "The server only reads"),
            Self::Damaged => (
                "damaged",
                S::INTERNAL_SERVER_ERROR,
                "The stored data is damaged",
            ),
            Self::Internal => ("internal", S::INTERNAL_SERVER_ERROR, "The server failed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_documented_with_its_status() {
        let page = include_str!("../../docs/reference/errors.md");
        for kind in ProblemKind::ALL {
            let heading = format!("## {}\n\n{}", kind.slug(), kind.status().as_u16());
            assert!(
                page.contains(&heading),
                "docs/reference/errors.md lacks:\n{heading}"
            );
        }
        let headings = page.matches("\n## ").count();
        assert_eq!(headings, ProblemKind::ALL.len());
    }
}

//! `GET /api/devices/{id}` and `…/content`: a file as base64 text, and as bytes.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tokio::sync::OwnedSemaphorePermit;
use tracing::{debug, error, warn};

use super::conditional::{self, ReadOutcome};
use super::range::{self, Part};
use super::{FileRoutes, base64, device_id, digests, disposition, unknown, whole};
use crate::error::{StoreError, StoreErrorKind};
use crate::files::{DeviceId, FileInfo, FileName};
use crate::http::extract::{PathPart, RawQuery};
use crate::http::{Problem, ProblemKind, date, etag};

/// The limit for the number of attempts to open a file. An attempt fails when the file is replaced between opening and reading.
const OPENINGS_MAX: usize = 5;
/// No further attempt begins later than this.
const OPENING_AGAIN_MAX: Duration = Duration::from_millis(1500);

/// The file as a single base64 text.
pub(super) async fn text(
    state: State<Arc<FileRoutes>>,
    id: PathPart,
    query: RawQuery,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    answer(state, id, &query, &method, &headers, Representation::Text).await
}

/// The bytes of the file, or of a part of the file.
pub(super) async fn content(
    state: State<Arc<FileRoutes>>,
    id: PathPart,
    query: RawQuery,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    answer(state, id, &query, &method, &headers, Representation::Bytes).await
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Representation {
    Text,
    Bytes,
}

async fn answer(
    State(routes): State<Arc<FileRoutes>>,
    PathPart(id): PathPart,
    query: &RawQuery,
    method: &Method,
    headers: &HeaderMap,
    representation: Representation,
) -> Result<Response, Problem> {
    query.parse(&[])?;
    let device = device_id(&id)?;
    if method == Method::HEAD {
        let found = routes.store.info(&device).await?;
        let info = found.ok_or_else(|| unknown(&device))?;
        // Only GET has ranges.
        let plan = Plan::new(headers, &info, representation, true)?;
        return Ok(plan.respond(&info, representation, Body::empty()));
    }
    let transfer = routes.transfer()?;
    let began = Instant::now();
    for opening in 0..OPENINGS_MAX {
        if opening > 0 && began.elapsed() > OPENING_AGAIN_MAX {
            break;
        }
        let found = routes.store.open(&device).await?;
        let file = found.ok_or_else(|| unknown(&device))?;
        let plan = Plan::new(headers, &file.info, representation, false)?;
        let Some(range) = plan.range() else {
            return Ok(plan.respond(&file.info, representation, Body::empty()));
        };
        if range.is_empty() {
            return Ok(plan.respond(&file.info, representation, Body::empty()));
        }
        let is_whole = range == (0..file.info.file.size_bytes);
        let Some(mut content) = file.content.read(range).await? else {
            continue;
        };
        if is_whole {
            content = whole::checked(content, &file.info).await?;
        }
        let device = &file.info.device;
        let body = match representation {
            Representation::Bytes => body(content, device, transfer),
            Representation::Text => body(base64::encode(content), device, transfer),
        };
        return Ok(plan.respond(&file.info, representation, body));
    }
    Err(StoreError::new(
        StoreErrorKind::Overloaded,
        "the file was replaced during every attempt to read it; try again",
    )
    .into())
}

/// The kind of answer.
enum Plan {
    NotModified,
    Whole(u64),
    Part(Range<u64>),
    Unsatisfiable,
}

impl Plan {
    fn new(
        headers: &HeaderMap,
        info: &FileInfo,
        representation: Representation,
        is_head: bool,
    ) -> Result<Self, Problem> {
        let (tag, time, size) = (
            tag(info, representation),
            info.file.time,
            info.file.size_bytes,
        );
        match conditional::of_read(headers, &tag, time)? {
            ReadOutcome::Refused => return Err(conditional::refused()),
            ReadOutcome::NotModified => return Ok(Self::NotModified),
            ReadOutcome::Proceed => {}
        }
        if is_head
            || representation == Representation::Text
            || !conditional::allows_range(headers, &tag, time)
        {
            return Ok(Self::Whole(size));
        }
        let range = headers.get(header::RANGE);
        let range = range.and_then(|range| range.to_str().ok());
        Ok(match range::part(range, size) {
            Part::Whole => Self::Whole(size),
            Part::Bytes(range) => Self::Part(range),
            Part::Unsatisfiable => Self::Unsatisfiable,
        })
    }

    /// The range of bytes to read; `None` for an answer without bytes.
    fn range(&self) -> Option<Range<u64>> {
        match self {
            Self::Whole(size) => Some(0..*size),
            Self::Part(range) => Some(range.clone()),
            Self::NotModified | Self::Unsatisfiable => None,
        }
    }

    fn respond(&self, info: &FileInfo, representation: Representation, body: Body) -> Response {
        let size = info.file.size_bytes;
        let mut response = match self {
            Self::Unsatisfiable => Problem::new(
                ProblemKind::RangeNotSatisfiable,
                format!("the file has {size} bytes, and none of the bytes that Range names"),
            )
            .into_response(),
            _ => Response::new(body),
        };
        let (status, length) = match self {
            Self::NotModified => (StatusCode::NOT_MODIFIED, None),
            Self::Whole(_) if representation == Representation::Text => {
                (StatusCode::OK, base64::text_length(size))
            }
            Self::Whole(_) => (StatusCode::OK, Some(size)),
            Self::Part(range) => (StatusCode::PARTIAL_CONTENT, Some(range.end - range.start)),
            Self::Unsatisfiable => (StatusCode::RANGE_NOT_SATISFIABLE, None),
        };
        *response.status_mut() = status;
        let headers = response.headers_mut();
        let mut put = |name: HeaderName, value: Option<HeaderValue>| {
            if let Some(value) = value {
                headers.insert(name, value);
            }
        };
        let text = |text: String| HeaderValue::try_from(text).ok();
        match self {
            Self::Unsatisfiable => {
                put(header::CONTENT_RANGE, text(format!("bytes */{size}")));
                return response;
            }
            Self::Part(range) => {
                let (first, last) = (range.start, range.end - 1);
                put(
                    header::CONTENT_RANGE,
                    text(format!("bytes {first}-{last}/{size}")),
                );
            }
            Self::Whole(_) | Self::NotModified => {}
        }
        put(header::CONTENT_LENGTH, length.map(HeaderValue::from));
        put(header::ETAG, etag::header_value(&tag(info, representation)));
        put(header::LAST_MODIFIED, text(date::format(info.file.time)));
        // A client with a copy has to ask whether the copy is current.
        put(
            header::CACHE_CONTROL,
            Some(HeaderValue::from_static("no-cache")),
        );
        if matches!(self, Self::NotModified) {
            return response;
        }
        match representation {
            Representation::Text => put(
                header::CONTENT_TYPE,
                Some(HeaderValue::from_static("text/plain; charset=us-ascii")),
            ),
            Representation::Bytes => {
                // The client chose the type. The file is never shown in the browser, because a page would run with the origin of this server.
                let content_type = info.file.content_type.as_str();
                put(header::CONTENT_TYPE, text(content_type.to_owned()));
                let name = info.file.name.as_ref().map(FileName::as_str);
                let name = name.unwrap_or(info.device.as_str());
                put(
                    header::CONTENT_DISPOSITION,
                    Some(disposition::attachment(name)),
                );
                put(
                    header::ACCEPT_RANGES,
                    Some(HeaderValue::from_static("bytes")),
                );
                put(
                    digests::REPR_DIGEST,
                    digests::header_value(&info.file.digest),
                );
            }
        }
        response
    }
}

/// The entity tag, without quotes. The text is another representation, so the text has another tag.
fn tag(info: &FileInfo, representation: Representation) -> String {
    match representation {
        Representation::Bytes => info.tag(),
        Representation::Text => info.tag() + "-base64",
    }
}

/// A stream as a body. The body counts as a transfer until the end of the body. When the stream fails, the body ends before the announced
/// length, so the client sees that bytes are missing.
fn body<S>(content: S, device: &DeviceId, transfer: OwnedSemaphorePermit) -> Body
where
    S: Stream<Item = Result<Bytes, StoreError>> + Send + 'static,
{
    let device = device.clone();
    Body::from_stream(content.inspect(move |piece| {
        let _held = &transfer;
        match piece {
            Err(error) if error.kind() == StoreErrorKind::Damaged => {
                error!(%error, "a download broke off, because the file is damaged");
            }
            // Without the id of the device, because the id may be personal.
            Err(error) => {
                warn!(%error, "a download broke off");
                debug!(%device, "a download broke off");
            }
            Ok(_) => {}
        }
    }))
}

//! `GET /api/devices/{id}` and `…/content`: a file as text, and as it is.

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

use super::conditional::{self, Reading};
use super::range::{self, Part};
use super::{FileRoutes, base64, device_id, digests, disposition, unknown, whole};
use crate::error::{StoreError, StoreErrorKind};
use crate::files::{DeviceId, FileInfo, FileName};
use crate::http::extract::{PathPart, RawQuery};
use crate::http::{Problem, ProblemKind};

/// How often a file is opened anew when it is replaced between its opening and its reading.
const OPENINGS_MAX: usize = 5;
/// And until when: a store that is slow may take as long again for each.
const OPENING_AGAIN_MAX: Duration = Duration::from_millis(1500);

/// The file as one base64 text.
pub(super) async fn text(
    state: State<Arc<FileRoutes>>,
    id: PathPart,
    query: RawQuery,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    answer(state, id, &query, &method, &headers, Form::Text).await
}

/// The file as it is, or a part of it.
pub(super) async fn content(
    state: State<Arc<FileRoutes>>,
    id: PathPart,
    query: RawQuery,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    answer(state, id, &query, &method, &headers, Form::Bytes).await
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Text,
    Bytes,
}

async fn answer(
    State(routes): State<Arc<FileRoutes>>,
    PathPart(id): PathPart,
    query: &RawQuery,
    method: &Method,
    headers: &HeaderMap,
    form: Form,
) -> Result<Response, Problem> {
    query.parse(&[])?;
    let device = device_id(&id)?;
    if method == Method::HEAD {
        let found = routes.store.info(&device).await?;
        let info = found.ok_or_else(|| unknown(&device))?;
        // A range is a matter of GET.
        let plan = Plan::new(headers, &info, form, true)?;
        return Ok(plan.respond(&info, form, Body::empty()));
    }
    let transfer = routes.transfer()?;
    let began = Instant::now();
    for opening in 0..OPENINGS_MAX {
        if opening > 0 && began.elapsed() > OPENING_AGAIN_MAX {
            break;
        }
        let found = routes.store.open(&device).await?;
        let file = found.ok_or_else(|| unknown(&device))?;
        let plan = Plan::new(headers, &file.info, form, false)?;
        let Some(range) = plan.range() else {
            return Ok(plan.respond(&file.info, form, Body::empty()));
        };
        if range.is_empty() {
            return Ok(plan.respond(&file.info, form, Body::empty()));
        }
        let is_whole = range == (0..file.info.file.size_bytes);
        let Some(mut content) = file.content.read(range).await? else {
            continue;
        };
        if is_whole {
            content = whole::checked(content, &file.info).await?;
        }
        let device = &file.info.device;
        let body = match form {
            Form::Bytes => body(content, device, transfer),
            Form::Text => body(base64::encode(content), device, transfer),
        };
        return Ok(plan.respond(&file.info, form, body));
    }
    Err(StoreError::new(
        StoreErrorKind::Overloaded,
        "the file is being replaced all the time; try again",
    )
    .into())
}

/// What is going to be answered.
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
        form: Form,
        is_head: bool,
    ) -> Result<Self, Problem> {
        let (tag, time, size) = (tag(info, form), info.file.time, info.file.size_bytes);
        match conditional::of_read(headers, &tag, time)? {
            Reading::Refused => return Err(conditional::refused()),
            Reading::NotModified => return Ok(Self::NotModified),
            Reading::Go => {}
        }
        if is_head || form == Form::Text || !conditional::may_cut(headers, &tag, time) {
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

    /// The bytes of the file that are needed, if any are.
    fn range(&self) -> Option<Range<u64>> {
        match self {
            Self::Whole(size) => Some(0..*size),
            Self::Part(range) => Some(range.clone()),
            Self::NotModified | Self::Unsatisfiable => None,
        }
    }

    fn respond(&self, info: &FileInfo, form: Form, body: Body) -> Response {
        let size = info.file.size_bytes;
        let mut response = match self {
            Self::Unsatisfiable => Problem::new(
                ProblemKind::RangeNotSatisfiable,
                format!("the file has {size} bytes, and none of those that Range asks for"),
            )
            .into_response(),
            _ => Response::new(body),
        };
        let (status, length) = match self {
            Self::NotModified => (StatusCode::NOT_MODIFIED, None),
            Self::Whole(_) if form == Form::Text => (StatusCode::OK, base64::text_length(size)),
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
        put(header::ETAG, text(format!("\"{}\"", tag(info, form))));
        put(
            header::LAST_MODIFIED,
            conditional::http_date(info.file.time).and_then(text),
        );
        // Whoever has a copy asks whether it is still the file.
        put(
            header::CACHE_CONTROL,
            Some(HeaderValue::from_static("no-cache")),
        );
        if matches!(self, Self::NotModified) {
            return response;
        }
        match form {
            Form::Text => put(
                header::CONTENT_TYPE,
                Some(HeaderValue::from_static("text/plain; charset=us-ascii")),
            ),
            Form::Bytes => {
                // As the client named it, and never shown in place: it may be a page that runs as ours.
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

/// The text is another representation than the bytes.
fn tag(info: &FileInfo, form: Form) -> String {
    match form {
        Form::Bytes => info.tag(),
        Form::Text => info.tag() + "-base64",
    }
}

/// A stream as a body, which holds its place among the transfers until it is done. One that fails breaks off before its length
/// is reached, which is how a client sees that something is missing.
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
            // Without the id of the device, which may be personal.
            Err(error) => {
                warn!(%error, "a download broke off");
                debug!(%device, "a download broke off");
            }
            Ok(_) => {}
        }
    }))
}

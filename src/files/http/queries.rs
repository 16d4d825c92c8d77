//! Which devices have files, what is known of one, and its removal.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::{FileRoutes, conditional, device_id, unknown};
use crate::files::{DeviceId, FileName, Removal};
use crate::http::extract::{PathPart, RawQuery};
use crate::http::json::{write_integer, write_string};
use crate::http::{Page, Problem, page};

/// Keeps the cursors of the lists apart.
const DEVICES: char = 'd';

/// The devices that have a file, in order. The key is what existing clients read; `next` is there only when there is more,
/// since they do not know it.
pub(super) async fn list(
    State(routes): State<Arc<FileRoutes>>,
    query: RawQuery,
) -> Result<Response, Problem> {
    let query = query.parse(&["limit", "cursor"])?;
    let page = Page::from_query_or(&query, page::LIMIT_MAX)?;
    let after = page.start(DEVICES, |id| DeviceId::new(id).ok())?;
    let found = routes.store.list(after.as_ref(), page.limit).await?;
    let mut out = Vec::with_capacity(64 + found.items.len() * 32);
    out.extend_from_slice(b"{\"TelemetryDataDownloads\":[");
    for (index, device) in found.items.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_string(&mut out, device.as_str());
    }
    out.push(b']');
    if let Some(last) = found.items.last().filter(|_| found.more) {
        out.extend_from_slice(b",\"next\":");
        write_string(&mut out, &page::cursor(DEVICES, last.as_str()));
    }
    out.push(b'}');
    Ok(json(out))
}

/// What is known of a device's file.
pub(super) async fn info(
    State(routes): State<Arc<FileRoutes>>,
    PathPart(id): PathPart,
    query: RawQuery,
) -> Result<Response, Problem> {
    query.parse(&[])?;
    let device = device_id(&id)?;
    let found = routes.store.info(&device).await?;
    let info = found.ok_or_else(|| unknown(&device))?;
    let mut out = Vec::with_capacity(256);
    out.extend_from_slice(b"{\"deviceId\":");
    write_string(&mut out, info.device.as_str());
    out.extend_from_slice(b",\"size\":");
    write_integer(&mut out, info.file.size_bytes);
    out.extend_from_slice(b",\"type\":");
    write_string(&mut out, info.file.content_type.as_str());
    out.extend_from_slice(b",\"name\":");
    match info.file.name.as_ref().map(FileName::as_str) {
        Some(name) => write_string(&mut out, name),
        None => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(b",\"sha256\":");
    write_string(&mut out, &info.file.digest.to_string());
    out.extend_from_slice(b",\"time\":\"");
    info.file.time.write_to(&mut out);
    out.extend_from_slice(b"\"}");
    Ok(json(out))
}

/// Removes a device's file, if it is the one that `If-Match` names.
pub(super) async fn remove(
    State(routes): State<Arc<FileRoutes>>,
    PathPart(id): PathPart,
    query: RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    query.parse(&[])?;
    let device = device_id(&id)?;
    let condition = conditional::of_change(&headers)?;
    match routes.store.remove(&device, &condition).await? {
        Removal::Removed => Ok(StatusCode::NO_CONTENT.into_response()),
        Removal::Missing => Err(unknown(&device)),
        Removal::Refused => Err(conditional::refused()),
    }
}

pub(super) fn json(body: Vec<u8>) -> Response {
    let json = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, json)], body).into_response()
}

//! The list of devices with files, the description of a file, and its removal.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use super::{FileRoutes, conditional, device_id, unknown};
use crate::files::{DeviceId, FileName, Removal};
use crate::http::extract::{PathPart, RawQuery};
use crate::http::json::{
    self, write_array, write_integer, write_or_null, write_string, write_timestamp,
};
use crate::http::{Page, Problem, page};

/// The kind of the cursors of this list.
const DEVICES: char = 'd';

/// The devices with a file, in order. Existing clients read the member `TelemetryDataDownloads`, and do not know the member `next`, so
/// `next` is present only when there are more devices.
pub(super) async fn list(
    State(routes): State<Arc<FileRoutes>>,
    query: RawQuery,
) -> Result<Response, Problem> {
    let query = query.parse(&["limit", "cursor"])?;
    let page = Page::from_query_or(&query, page::LIMIT_MAX)?;
    let after = page.start(DEVICES, |id| DeviceId::new(id).ok())?;
    let found = routes.store.list(after.as_ref(), page.limit).await?;
    let mut out = Vec::with_capacity(64 + found.items.len() * 32);
    out.extend_from_slice(b"{\"TelemetryDataDownloads\":");
    write_array(&mut out, &found.items, |out, device| {
        write_string(out, device.as_str());
    });
    if let Some(last) = found.items.last().filter(|_| found.more) {
        out.extend_from_slice(b",\"next\":");
        write_string(&mut out, &page::cursor(DEVICES, last.as_str()));
    }
    out.push(b'}');
    Ok(json::answer(out))
}

/// The description of a device's file.
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
    let name = info.file.name.as_ref().map(FileName::as_str);
    write_or_null(&mut out, name, write_string);
    out.extend_from_slice(b",\"sha256\":");
    write_string(&mut out, &info.file.digest.to_string());
    out.extend_from_slice(b",\"time\":");
    write_timestamp(&mut out, info.file.time);
    out.push(b'}');
    Ok(json::answer(out))
}

/// Removes a device's file, if `If-Match` names the version of the file.
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

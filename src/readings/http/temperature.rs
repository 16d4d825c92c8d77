//! `GET /api` and `PUT /api/temperature`

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::Response;

use super::ReadingRoutes;
use super::wire;
use crate::http::{Problem, ProblemKind, body, percent_decode};
use crate::readings::ingest::{Item, ItemError};
use crate::readings::{Batch, Point, RecordMode, SensorId, Timestamp};

/// A greeting that touches no storage.
pub(super) async fn hello() -> Response {
    wire::json(&br#"{"message":"Hello!"}"#[..])
}

/// Records one reading, and answers once it is durable.
pub(super) async fn record(
    State(routes): State<Arc<ReadingRoutes>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let format = format(&headers)?;
    let limits = &routes.limits;
    let bytes = body::read(body, limits.body_bytes_max, limits.body_idle).await?;
    let text = std::str::from_utf8(&bytes).map_err(|error| {
        Problem::new(
            ProblemKind::UnreadableBody,
            format!(
                "the body is not UTF-8: byte {} is wrong",
                error.valid_up_to()
            ),
        )
    })?;
    // curl names a form when it is not told otherwise, whatever it sends; no form begins with a brace.
    let (sensor, point) = match format {
        Format::Form if !text.trim_ascii_start().starts_with('{') => from_form(text)?,
        Format::Form | Format::Json => from_json(text)?,
    };
    routes
        .store
        .record(Batch::of_one(sensor, point), RecordMode::AllOrNothing)
        .await?;
    Ok(wire::json(
        &br#"{"message":"Temperature reading recorded successfully"}"#[..],
    ))
}

enum Format {
    Json,
    Form,
}

fn format(headers: &HeaderMap) -> Result<Format, Problem> {
    if let Some(encoding) = headers.get(header::CONTENT_ENCODING)
        && encoding != "identity"
    {
        return Err(Problem::new(
            ProblemKind::UnsupportedMediaType,
            "a single reading is sent uncompressed; batches to POST /api/readings may be gzip or zstd",
        )
        .accept_encoding("identity"));
    }
    let Some(content_type) = headers.get(header::CONTENT_TYPE) else {
        return Ok(Format::Json);
    };
    let essence = content_type
        .as_bytes()
        .split(|&byte| byte == b';')
        .next()
        .unwrap_or_default();
    let is = |name: &str| essence.trim_ascii().eq_ignore_ascii_case(name.as_bytes());
    if is("application/json") {
        Ok(Format::Json)
    } else if is("application/x-www-form-urlencoded") {
        Ok(Format::Form)
    } else {
        Err(Problem::new(
            ProblemKind::UnsupportedMediaType,
            "send the reading as application/json or application/x-www-form-urlencoded",
        ))
    }
}

fn from_json(text: &str) -> Result<(SensorId, Point), Problem> {
    Item::from_json(text)
        .and_then(|item| reading(&item))
        .map_err(|error| refused(&error))
}

fn from_form(text: &str) -> Result<(SensorId, Point), Problem> {
    let (mut sensor_id, mut timestamp, mut temperature) = (None, None, None);
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (Some(name), Some(value)) = (percent_decode(name, true), percent_decode(value, true))
        else {
            return Err(Problem::new(
                ProblemKind::UnreadableBody,
                "the form is not UTF-8 after percent-decoding",
            ));
        };
        let (field, slot) = match name.as_ref() {
            "sensorId" | "sensorID" => ("sensorId", &mut sensor_id),
            "timestamp" | "time" => ("timestamp", &mut timestamp),
            "temperature" => ("temperature", &mut temperature),
            _ => continue,
        };
        if slot.replace(value).is_some() {
            return Err(invalid(field, "is sent twice"));
        }
    }
    let missing = "is missing from the form; send sensorId, temperature and timestamp";
    let sensor_id = sensor_id.ok_or_else(|| invalid("sensorId", missing))?;
    let temperature = temperature.ok_or_else(|| invalid("temperature", missing))?;
    Item::from_fields(&sensor_id, timestamp.as_deref(), &temperature)
        .and_then(|item| reading(&item))
        .map_err(|error| refused(&error))
}

/// A form whose fields are not those of a reading.
fn invalid(field: &str, reason: &str) -> Problem {
    Problem::new(ProblemKind::InvalidReading, format!("{field} {reason}"))
        .with_member("field", format!("\"{field}\"").into_bytes())
}

/// A reading that came without a timestamp was measured when it was received.
fn reading(item: &Item<'_>) -> Result<(SensorId, Point), ItemError> {
    let timestamp = item.timestamp.unwrap_or_else(Timestamp::now);
    Ok((
        item.sensor()?,
        Point {
            timestamp,
            temperature: item.temperature,
        },
    ))
}

fn refused(error: &ItemError) -> Problem {
    let kind = if error.is_syntax() {
        ProblemKind::UnreadableBody
    } else {
        ProblemKind::InvalidReading
    };
    let problem = Problem::new(kind, error.to_string());
    match error.field() {
        Some(field) => problem.with_member("field", format!("\"{field}\"").into_bytes()),
        None => problem,
    }
}

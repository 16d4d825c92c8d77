//! `GET /api` and `PUT /api/temperature`

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;

use super::ReadingRoutes;
use crate::http::extract::RawQuery;
use crate::http::media_type::{MediaType, URLENCODED_FORM};
use crate::http::{ContentEncoding, Problem, ProblemKind, body, form, json};
use crate::readings::ingest::{Arguments, Field, Item, ItemError};
use crate::readings::{Batch, Point, RecordMode, SensorId, Timestamp};

/// A greeting without access to storage.
pub(super) async fn hello() -> Response {
    json::answer(&br#"{"message":"Hello!"}"#[..])
}

/// Records a single reading, and answers when the reading is durable.
pub(super) async fn record(
    State(routes): State<Arc<ReadingRoutes>>,
    query: RawQuery,
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
    let (sensor, point) = match query.text() {
        None => from_body(text, format, Arguments::default()),
        Some(query) => from_body(text, format, in_query(query)?),
    }?;
    routes
        .store
        .record(Batch::of_one(sensor, point), RecordMode::AllOrNothing)
        .await?;
    Ok(json::answer(
        &br#"{"message":"Temperature reading recorded successfully"}"#[..],
    ))
}

/// The format in the content type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Json,
    /// A form. curl sends this type by default.
    Form,
    /// Text. Web pages may send this type to other sites without asking.
    Text,
}

fn format(headers: &HeaderMap) -> Result<Format, Problem> {
    ContentEncoding::require_identity(
        headers,
        "a single reading is sent uncompressed; batches to POST /api/readings may be gzip or zstd",
    )?;
    match MediaType::of_body(headers) {
        None => Ok(Format::Json),
        Some(media_type) if media_type.is("application/json") => Ok(Format::Json),
        Some(media_type) if media_type.is(URLENCODED_FORM) => Ok(Format::Form),
        Some(media_type) if media_type.is("text/plain") => Ok(Format::Text),
        Some(_) => Err(not_understood()),
    }
}

fn not_understood() -> Problem {
    Problem::new(
        ProblemKind::UnsupportedMediaType,
        "send the reading as application/json or application/x-www-form-urlencoded",
    )
}

/// The reading in a body and in the query. Either may have all fields.
fn from_body<'a>(
    text: &'a str,
    format: Format,
    mut arguments: Arguments<'a>,
) -> Result<(SensorId, Point), Problem> {
    let body = text.trim_ascii_start();
    // No form of a reading begins with a bracket or a brace.
    let is_json = format == Format::Json || body.starts_with(['{', '[']);
    let item = if is_json && arguments.is_empty() {
        Item::from_json(text)
    } else if body.is_empty() && !arguments.is_empty() {
        arguments.item()
    } else if is_json {
        arguments.item_beside_json(text)
    } else if format == Format::Text {
        return Err(not_understood());
    } else {
        let unreadable = ProblemKind::UnreadableBody;
        add_pairs(&mut arguments, text, (unreadable, "the form"))?;
        arguments.item()
    };
    item.and_then(|item| reading(&item))
        .map_err(|error| refused(&error))
}

fn in_query(query: &str) -> Result<Arguments<'_>, Problem> {
    let mut arguments = Arguments::default();
    let invalid = ProblemKind::InvalidParameter;
    add_pairs(&mut arguments, query, (invalid, "the query"))?;
    Ok(arguments)
}

/// Adds the fields of a form or a query. Unknown names are ignored, as in JSON.
fn add_pairs<'a>(
    arguments: &mut Arguments<'a>,
    text: &'a str,
    (kind, what): (ProblemKind, &str),
) -> Result<(), Problem> {
    for pair in form::pairs(text) {
        let (name, value) = pair.ok_or_else(|| {
            Problem::new(kind, format!("{what} is not UTF-8 after percent-decoding"))
        })?;
        let Some(field) = Field::named(&name) else {
            continue;
        };
        let value = match field {
            Field::Timestamp => form::restore_plus_sign(value),
            Field::SensorId | Field::Temperature => value,
        };
        arguments
            .add(field, value)
            .map_err(|error| refused(&error))?;
    }
    Ok(())
}

/// The reading of an item. Without a timestamp, the time of the measurement is the time of receipt.
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

//! The values of the fields of a reading, from JSON or from text.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::error::{ItemError, echo};
use super::field::Field;
use crate::readings::{Temperature, Timestamp};

/// The sensor id of a JSON value: a text or a number.
pub(super) fn sensor_id(value: Option<&RawValue>) -> Result<Cow<'_, str>, ItemError> {
    let Some(value) = value else {
        return Err(ItemError::of(Field::SensorId, "is missing"));
    };
    match value.get().as_bytes() {
        [b'"', ..] => string(value, Field::SensorId),
        [b'-' | b'0'..=b'9', ..] => Ok(Cow::Borrowed(value.get())),
        _ => Err(ItemError::of(
            Field::SensorId,
            format!("must be text or a number, not {}", echo(value.get())),
        )),
    }
}

/// The timestamp of a JSON value: a text, or `null` for no timestamp.
pub(super) fn timestamp(value: Option<&RawValue>) -> Result<Option<Timestamp>, ItemError> {
    let Some(value) = value else {
        return Ok(None);
    };
    match value.get() {
        "null" => Ok(None),
        json if json.starts_with('"') => {
            parse_timestamp(string(value, Field::Timestamp)?.trim()).map(Some)
        }
        json => Err(ItemError::of(
            Field::Timestamp,
            format!(
                "must be text such as \"2026-11-20T13:00:00Z\", not {}",
                echo(json)
            ),
        )),
    }
}

/// The temperature of a JSON value: a number, or a text with a number.
pub(super) fn temperature(value: Option<&RawValue>) -> Result<Temperature, ItemError> {
    let Some(value) = value else {
        return Err(ItemError::of(Field::Temperature, "is missing"));
    };
    match value.get().as_bytes() {
        [b'"', ..] => parse_temperature(&string(value, Field::Temperature)?),
        [b'-' | b'0'..=b'9', ..] => parse_temperature(value.get()),
        _ => Err(ItemError::of(
            Field::Temperature,
            format!("must be a number, not {}", echo(value.get())),
        )),
    }
}

/// The text of a JSON string.
fn string<'a>(value: &'a RawValue, field: Field) -> Result<Cow<'a, str>, ItemError> {
    let json = value.get();
    match json.get(1..json.len() - 1) {
        Some(inside) if !inside.contains('\\') => Ok(Cow::Borrowed(inside)),
        _ => serde_json::from_str(json).map(Cow::Owned).map_err(|_| {
            let reason = format!("{} has an escape that is no character", echo(json));
            ItemError::unreadable_at(Some(field), reason)
        }),
    }
}

/// The timestamp of a text; `None` for an empty text.
pub(super) fn optional_timestamp(text: &str) -> Result<Option<Timestamp>, ItemError> {
    match text.trim() {
        "" => Ok(None),
        text => parse_timestamp(text).map(Some),
    }
}

fn parse_timestamp(text: &str) -> Result<Timestamp, ItemError> {
    Timestamp::parse(text.as_bytes())
        .map_err(|error| ItemError::of(Field::Timestamp, format!("{} {error}", echo(text))))
}

/// The temperature of a text.
pub(super) fn parse_temperature(text: &str) -> Result<Temperature, ItemError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(ItemError::of(Field::Temperature, "is missing"));
    }
    Temperature::parse(text.as_bytes())
        .map_err(|error| ItemError::of(Field::Temperature, format!("{} {error}", echo(text))))
}

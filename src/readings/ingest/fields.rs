//! The general path: the fields of any JSON object, each as its JSON text.

use std::cell::Cell;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer as _, MapAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::Field;
use super::error::{ItemError, echo};

/// The deepest nesting of an unknown field, which is also the limit of `serde_json`.
const DEPTH_MAX: usize = 128;

/// The values of the fields, as JSON text.
#[derive(Default)]
pub(super) struct Fields<'a> {
    pub(super) sensor_id: Option<&'a RawValue>,
    pub(super) timestamp: Option<&'a RawValue>,
    pub(super) temperature: Option<&'a RawValue>,
    /// The first mistake in valid JSON.
    error: Option<ItemError>,
}

#[derive(Deserialize)]
#[serde(field_identifier)]
enum Key {
    #[serde(rename = "sensorId", alias = "sensorID", alias = "sensor_id")]
    SensorId,
    #[serde(rename = "timestamp", alias = "time")]
    Timestamp,
    #[serde(rename = "temperature")]
    Temperature,
    #[serde(other)]
    Other,
}

impl<'a> Fields<'a> {
    /// Reads an object. Each known field may be there once; other fields are ignored.
    pub(super) fn read(text: &'a str) -> Result<Self, ItemError> {
        let current = Cell::new(None);
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let fields = deserializer
            .deserialize_map(FieldsVisitor { current: &current })
            .and_then(|fields| deserializer.end().map(|()| fields))
            .map_err(|error| not_an_object(text, &error, current.get()))?;
        match fields.error {
            Some(error) => Err(error),
            None => Ok(fields),
        }
    }
}

struct FieldsVisitor<'c> {
    /// The field with the value being read, for an error in the value.
    current: &'c Cell<Option<Field>>,
}

impl<'de> Visitor<'de> for FieldsVisitor<'_> {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Fields::default();
        while let Some(key) = map.next_key()? {
            let (value_of, field) = match key {
                Key::SensorId => (&mut fields.sensor_id, Field::SensorId),
                Key::Timestamp => (&mut fields.timestamp, Field::Timestamp),
                Key::Temperature => (&mut fields.temperature, Field::Temperature),
                Key::Other => {
                    let value: &RawValue = map.next_value()?;
                    if is_too_deep(value.get()) {
                        fields.error.get_or_insert_with(|| {
                            ItemError::whole(format!("is nested more than {DEPTH_MAX} deep"))
                        });
                    }
                    continue;
                }
            };
            self.current.set(Some(field));
            let value = map.next_value()?;
            self.current.set(None);
            if value_of.replace(value).is_some() {
                fields
                    .error
                    .get_or_insert_with(|| ItemError::sent_twice(field));
            }
        }
        Ok(fields)
    }
}

fn not_an_object(text: &str, error: &serde_json::Error, field: Option<Field>) -> ItemError {
    if error.classify() == Category::Data {
        let found = echo(text.trim());
        return ItemError::whole(format!(
            "must be a JSON object such as {{\"sensorId\":\"a\",\"temperature\":21.5}}, not {found}"
        ));
    }
    if text.trim().is_empty() {
        return ItemError::unreadable("is empty; send a JSON object");
    }
    let (line, column) = (error.line(), error.column());
    let words = error.to_string();
    let words = words
        .rsplit_once(" at line ")
        .map_or(words.as_str(), |(words, _)| words);
    let reason = match no_number_at(text, line, column) {
        Some(word) => format!("{word} is not a number; leave such a reading out"),
        None if line <= 1 => format!("is not JSON: {words} at column {column}"),
        None => format!("is not JSON: {words} at line {line}, column {column}"),
    };
    ItemError::unreadable_at(field, reason)
}

/// The word at a position (line and column from 1, the column in bytes), if the word means "not a number" or "infinity".
fn no_number_at(text: &str, line: usize, column: usize) -> Option<&str> {
    let line = text.lines().nth(line.checked_sub(1)?)?;
    let (before, after) = line.split_at_checked(column.checked_sub(1)?)?;
    let start = before
        .trim_end_matches(|c: char| c.is_ascii_alphabetic())
        .len();
    let length = after
        .find(|c: char| !c.is_ascii_alphabetic())
        .unwrap_or(after.len());
    let word = &line[start..before.len() + length];
    ["nan", "inf", "infinity"]
        .iter()
        .any(|name| word.eq_ignore_ascii_case(name))
        .then_some(word)
}

/// Whether brackets are nested more than [`DEPTH_MAX`] deep in a JSON value.
fn is_too_deep(json: &str) -> bool {
    let mut depth = 0usize;
    let mut bytes = json.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'[' | b'{' => {
                depth += 1;
                if depth > DEPTH_MAX {
                    return true;
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b'"' => {
                while let Some(byte) = bytes.next() {
                    match byte {
                        b'\\' => drop(bytes.next()),
                        b'"' => break,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    false
}

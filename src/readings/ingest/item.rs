//! One reading as a client spells it, and what is wrong with it when it is none.

use std::borrow::Cow;
use std::fmt;

use serde_json::value::RawValue;

use super::fields::Fields;
use super::{Field, plain};
use crate::readings::{SensorId, SensorIdError, Temperature, Timestamp};

/// One reading, read from text.
///
/// ```
/// use fieldstation::readings::ingest::Item;
/// let item = Item::from_json(r#"{"sensorID":202,"time":"2026-11-20 13:00","temperature":"18.50"}"#)?;
/// assert_eq!(item.sensor_id, "202");
/// assert_eq!(item.temperature.to_string(), "18.5");
/// assert_eq!(Item::from_fields("202", Some("2026-11-20T13:00:00Z"), " 18.5")?, item);
/// let error = Item::from_json(r#"{"sensorId":"a","temperature":"warm"}"#).unwrap_err();
/// assert_eq!(error.field(), Some("temperature"));
/// # Ok::<(), fieldstation::readings::ingest::ItemError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item<'a> {
    /// The sensor's name as it was sent: [`Item::sensor`] or a batch builder checks it.
    pub sensor_id: Cow<'a, str>,
    /// When it was measured; `None` when the client left it out or sent `null`.
    pub timestamp: Option<Timestamp>,
    /// What was measured.
    pub temperature: Temperature,
}

/// Why a text is not a reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemError {
    field: Option<Field>,
    reason: String,
    syntax: bool,
}

impl ItemError {
    pub(super) fn of(field: Field, reason: impl Into<String>) -> Self {
        Self {
            field: Some(field),
            reason: reason.into(),
            syntax: false,
        }
    }

    /// Content that parses, but as a whole is not a reading.
    pub(super) fn whole(reason: impl Into<String>) -> Self {
        Self {
            field: None,
            reason: reason.into(),
            syntax: false,
        }
    }

    /// Content that does not parse.
    pub(super) fn unreadable(reason: impl Into<String>) -> Self {
        Self::unreadable_at(None, reason)
    }

    /// Content that does not parse at a field.
    pub(super) fn unreadable_at(field: Option<Field>, reason: impl Into<String>) -> Self {
        Self {
            field,
            reason: reason.into(),
            syntax: true,
        }
    }

    /// A sensor id that breaks a rule.
    pub fn sensor_id(text: &str, error: SensorIdError) -> Self {
        match error {
            SensorIdError::Empty => Self::of(Field::SensorId, error.to_string()),
            _ => Self::of(Field::SensorId, format!("{} {error}", echo(text))),
        }
    }

    /// A time that has to be there and is not.
    pub fn missing_timestamp() -> Self {
        Self::of(
            Field::Timestamp,
            "is missing; send RFC 3339 such as 2026-11-20T13:00:00Z",
        )
    }

    /// The field that is wrong: `sensorId`, `timestamp` or `temperature`; `None` when it is the whole.
    pub fn field(&self) -> Option<&'static str> {
        self.field.map(Field::name)
    }

    /// What is wrong, as words that follow the field's name.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Whether the text does not even parse, as opposed to meaning nothing that is accepted.
    pub fn is_syntax(&self) -> bool {
        self.syntax
    }
}

impl fmt::Display for ItemError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.field() {
            Some(field) => write!(f, "{field} {}", self.reason),
            None => write!(f, "the reading {}", self.reason),
        }
    }
}

impl std::error::Error for ItemError {}

impl<'a> Item<'a> {
    /// Reads one JSON object with all accepted spellings: `sensorID` and `sensor_id` for `sensorId`, a number as an id, `time` for
    /// `timestamp`, a temperature as a numeric string. Other fields are ignored.
    ///
    /// # Errors
    /// [`ItemError`] names the field and what is wrong with it. A field that is sent twice is an error.
    pub fn from_json(text: &'a str) -> Result<Self, ItemError> {
        match plain::item(text) {
            Some(item) => Ok(item),
            None => Self::from_any_json(text),
        }
    }

    /// [`Item::from_json`] without the fast path for plain text.
    pub(super) fn from_any_json(text: &'a str) -> Result<Self, ItemError> {
        let fields = Fields::read(text)?;
        Ok(Self {
            sensor_id: id(fields.sensor_id)?,
            timestamp: moment(fields.timestamp)?,
            temperature: degrees(fields.temperature)?,
        })
    }

    /// Reads the fields of a form or of a row of CSV. White space around them is ignored; an empty timestamp is none.
    ///
    /// # Errors
    /// [`ItemError`] names the field and what is wrong with it.
    pub fn from_fields(
        sensor_id: &'a str,
        timestamp: Option<&str>,
        temperature: &str,
    ) -> Result<Self, ItemError> {
        Ok(Self {
            sensor_id: Cow::Borrowed(sensor_id),
            timestamp: optional_timestamp(timestamp.unwrap_or_default())?,
            temperature: parse_temperature(temperature)?,
        })
    }

    /// The sensor's name, checked.
    ///
    /// # Errors
    /// [`ItemError`] names the rule that is broken.
    pub fn sensor(&self) -> Result<SensorId, ItemError> {
        SensorId::new(&self.sensor_id).map_err(|error| ItemError::sensor_id(&self.sensor_id, error))
    }
}

pub(super) fn id(value: Option<&RawValue>) -> Result<Cow<'_, str>, ItemError> {
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

pub(super) fn moment(value: Option<&RawValue>) -> Result<Option<Timestamp>, ItemError> {
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

pub(super) fn degrees(value: Option<&RawValue>) -> Result<Temperature, ItemError> {
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

/// A time that may be left out: an empty text is none.
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

pub(super) fn parse_temperature(text: &str) -> Result<Temperature, ItemError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(ItemError::of(Field::Temperature, "is missing"));
    }
    Temperature::parse(text.as_bytes())
        .map_err(|error| ItemError::of(Field::Temperature, format!("{} {error}", echo(text))))
}

/// What was sent, fit for a message: at most 40 characters, without control characters.
pub(crate) fn echo(text: &str) -> String {
    const CHARACTERS_MAX: usize = 40;
    let mut echoed = String::from("`");
    let mut characters = text.chars();
    for character in characters.by_ref().take(CHARACTERS_MAX) {
        if character.is_control() {
            echoed.extend(character.escape_default());
        } else {
            echoed.push(character);
        }
    }
    if characters.next().is_some() {
        echoed.push('…');
    }
    echoed.push('`');
    echoed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(json: &str) -> ItemError {
        match Item::from_json(json) {
            Ok(item) => panic!("{json} is taken as {item:?}"),
            Err(error) => error,
        }
    }

    #[test]
    fn accepted_spellings() {
        let canonical = Item::from_json(
            r#"{"sensorId":"202","temperature":18,"timestamp":"2026-11-20T13:00:00"}"#,
        )
        .unwrap();
        assert_eq!(canonical.sensor_id, "202");
        for json in [
            r#"{"sensorID":202,"temperature":"18","time":"2026-11-20 13:00"}"#,
            r#" { "time" : "2026-11-20T14:00:00+01:00" , "temperature" : 18.0 , "sensorId" : "202" } "#,
            r#"{"sensor_id":"202","temperature":18,"timestamp":"20261120T130000"}"#,
            r#"{"sensor_\u0069d":"202","temperature":18,"timestamp":"2026-11-20 13:00"}"#,
            "{\"sensor\\u0049d\":\"20\\u0032\",\"extra\":{\"a\":[1,\"]\"]},\"temperature\":1.8e1,\n\"timestamp\":\" 2026-11-20T13:00:00Z \"}",
        ] {
            assert_eq!(Item::from_json(json).as_ref(), Ok(&canonical), "{json}");
        }
        for json in [
            r#"{"sensorId":"202","temperature":18}"#,
            r#"{"sensorId":"202","temperature":18,"timestamp":null}"#,
        ] {
            assert_eq!(Item::from_json(json).unwrap().timestamp, None);
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (json, field, words, syntax) in [
            (
                r#"{"temperature":18}"#,
                Some("sensorId"),
                "is missing",
                false,
            ),
            (
                r#"{"sensorId":"a"}"#,
                Some("temperature"),
                "is missing",
                false,
            ),
            (
                r#"{"sensorId":"a","temperature":null}"#,
                Some("temperature"),
                "`null`",
                false,
            ),
            (
                r#"{"sensorId":"a","temperature":"NaN"}"#,
                Some("temperature"),
                "`NaN` is not",
                false,
            ),
            (
                r#"{"sensorId":"a","temperature":NaN}"#,
                Some("temperature"),
                "NaN is not",
                true,
            ),
            (
                r#"{"sensorId":"a","temperature":nan}"#,
                Some("temperature"),
                "nan is not",
                true,
            ),
            (
                r#"{"sensorId":"a","temperature":-Infinity}"#,
                Some("temperature"),
                "Infinity is",
                true,
            ),
            (
                r#"{"sensorId":"a","temperature":1e400}"#,
                Some("temperature"),
                "`1e400` is out",
                false,
            ),
            (
                r#"{"sensorId":"a","temperature":true}"#,
                Some("temperature"),
                "`true`",
                false,
            ),
            (
                r#"{"sensorId":null,"temperature":1}"#,
                Some("sensorId"),
                "`null`",
                false,
            ),
            (
                r#"{"sensorId":"\ud800","temperature":1}"#,
                Some("sensorId"),
                "escape",
                true,
            ),
            (
                r#"{"sensorId":"a","sensorID":"a","temperature":1}"#,
                Some("sensorId"),
                "twice",
                false,
            ),
            (
                r#"{"sensorID":"a","sensor_id":"b","temperature":1}"#,
                Some("sensorId"),
                "sensor_id",
                false,
            ),
            (
                r#"{"sensorId":"a","temperature":1,"temperature":1}"#,
                Some("temperature"),
                "twice",
                false,
            ),
            (
                r#"{"sensorId":"a","temperature":1,"time":1763643600}"#,
                Some("timestamp"),
                "text",
                false,
            ),
            (
                r#"{"sensorId":"a","temperature":1,"time":"2026-11-20T13:00:60"}"#,
                Some("timestamp"),
                "no such second",
                false,
            ),
            (r#"["a","b",1]"#, None, "JSON object", false),
            ("5", None, "JSON object", false),
            ("", None, "is empty", true),
            (r#"{"sensorId":"a""#, None, "is not JSON: EOF", true),
            (
                r#"{"sensorId":"a","temperature":1}}"#,
                None,
                "trailing characters",
                true,
            ),
        ] {
            let error = error(json);
            assert_eq!(error.field(), field, "{json}: {error}");
            assert!(error.reason().contains(words), "{json}: {error}");
            assert_eq!(error.is_syntax(), syntax, "{json}: {error}");
        }
        let long = format!(r#"{{"sensorId":"a","temperature":{}}}"#, "9".repeat(400));
        let error = error(&long);
        assert!(error.to_string().len() < 150, "{error}");
    }

    #[test]
    fn deep_nesting_is_refused_without_recursion() {
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        for json in [
            deep.clone(),
            format!(r#"{{"sensorId":"a","temperature":{deep}}}"#),
            format!(r#"{{"sensorId":"a","temperature":1,"extra":{deep}}}"#),
            "[".repeat(100_000),
            r#"{"a":"#.repeat(100_000),
        ] {
            assert!(error(&json).to_string().len() < 200);
        }
    }

    #[test]
    fn an_echo_is_short_and_clean() {
        assert_eq!(echo("a\nb"), "`a\\nb`");
        assert_eq!(echo(&"é".repeat(41)), format!("`{}…`", "é".repeat(40)));
    }
}

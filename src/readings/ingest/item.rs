//! A reading, read from text in any accepted spelling.

use std::borrow::Cow;

use super::error::ItemError;
use super::fields::Fields;
use super::{plain, values};
use crate::readings::{SensorId, Temperature, Timestamp};

/// A reading, read from text.
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
    /// The id of the sensor as it was sent. [`Item::sensor`] or a batch builder checks the id.
    pub sensor_id: Cow<'a, str>,
    /// The time of the measurement; `None` when the client sent no time, or `null`.
    pub timestamp: Option<Timestamp>,
    /// The measured temperature.
    pub temperature: Temperature,
}

impl<'a> Item<'a> {
    /// Reads a JSON object with all accepted spellings: `sensorID` and `sensor_id` for `sensorId`, a number as an id, `time` for
    /// `timestamp`, a temperature as a numeric string. Other fields are ignored.
    ///
    /// # Errors
    /// [`ItemError`] names the field and the mistake. A field sent twice is an error.
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
            sensor_id: values::sensor_id(fields.sensor_id)?,
            timestamp: values::timestamp(fields.timestamp)?,
            temperature: values::temperature(fields.temperature)?,
        })
    }

    /// Reads the fields of a form or of a row of CSV. White space around them is ignored; an empty timestamp is none.
    ///
    /// # Errors
    /// [`ItemError`] names the field and the mistake.
    pub fn from_fields(
        sensor_id: &'a str,
        timestamp: Option<&str>,
        temperature: &str,
    ) -> Result<Self, ItemError> {
        Ok(Self {
            sensor_id: Cow::Borrowed(sensor_id),
            timestamp: values::optional_timestamp(timestamp.unwrap_or_default())?,
            temperature: values::parse_temperature(temperature)?,
        })
    }

    /// The id of the sensor, checked.
    ///
    /// # Errors
    /// [`ItemError`] names the broken rule.
    pub fn sensor(&self) -> Result<SensorId, ItemError> {
        SensorId::new(&self.sensor_id).map_err(|error| ItemError::sensor_id(&self.sensor_id, error))
    }
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
}

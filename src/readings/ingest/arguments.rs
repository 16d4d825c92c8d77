//! A reading in named texts: the fields of a form, or the parameters of a query, alone or together with a JSON body.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::error::ItemError;
use super::fields::Fields;
use super::{Field, Item, values};

/// The fields of a reading, as texts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arguments<'a> {
    sensor_id: Option<Cow<'a, str>>,
    timestamp: Option<Cow<'a, str>>,
    temperature: Option<Cow<'a, str>>,
}

impl<'a> Arguments<'a> {
    /// Adds a field.
    ///
    /// # Errors
    /// When the field was added before.
    pub fn add(&mut self, field: Field, value: Cow<'a, str>) -> Result<(), ItemError> {
        let value_of = match field {
            Field::SensorId => &mut self.sensor_id,
            Field::Timestamp => &mut self.timestamp,
            Field::Temperature => &mut self.temperature,
        };
        match value_of.replace(value) {
            None => Ok(()),
            Some(_) => Err(ItemError::sent_twice(field)),
        }
    }

    /// Whether no field was added.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The reading with these fields.
    ///
    /// # Errors
    /// [`ItemError`] names the missing or wrong field.
    pub fn item(&self) -> Result<Item<'_>, ItemError> {
        let missing = |field: Field| {
            ItemError::of(
                field,
                "is missing; send sensorId, temperature and timestamp",
            )
        };
        let sensor_id = self.sensor_id.as_deref();
        let temperature = self.temperature.as_deref();
        Item::from_fields(
            sensor_id.ok_or_else(|| missing(Field::SensorId))?,
            self.timestamp.as_deref(),
            temperature.ok_or_else(|| missing(Field::Temperature))?,
        )
    }

    /// The reading with these fields and the fields of a JSON object.
    ///
    /// # Errors
    /// [`ItemError`] names the field that is missing, wrong, or sent in both places.
    pub fn item_beside_json<'b>(&'b self, json: &'b str) -> Result<Item<'b>, ItemError> {
        let fields = Fields::read(json)?;
        Ok(Item {
            sensor_id: either(
                Field::SensorId,
                (self.sensor_id.as_deref(), |text| Ok(Cow::Borrowed(text))),
                (fields.sensor_id, values::sensor_id),
            )?,
            timestamp: either(
                Field::Timestamp,
                (self.timestamp.as_deref(), values::optional_timestamp),
                (fields.timestamp, values::timestamp),
            )?,
            temperature: either(
                Field::Temperature,
                (self.temperature.as_deref(), values::parse_temperature),
                (fields.temperature, values::temperature),
            )?,
        })
    }
}

/// The value of a field, from the text or from the JSON value.
fn either<'a, T>(
    field: Field,
    (argument, of_text): (
        Option<&'a str>,
        impl FnOnce(&'a str) -> Result<T, ItemError>,
    ),
    (json, of_json): (
        Option<&'a RawValue>,
        impl FnOnce(Option<&'a RawValue>) -> Result<T, ItemError>,
    ),
) -> Result<T, ItemError> {
    match (argument, json) {
        (None, json) => of_json(json),
        (Some(text), None) => of_text(text),
        (Some(_), Some(_)) => Err(ItemError::of(
            field,
            "is sent twice, in the query string and in the body; send it in one of them",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments<'a>(pairs: &[(&'a str, &'a str)]) -> Result<Arguments<'a>, ItemError> {
        let mut arguments = Arguments::default();
        for (name, value) in pairs {
            if let Some(field) = Field::named(name) {
                arguments.add(field, Cow::Borrowed(value))?;
            }
        }
        Ok(arguments)
    }

    #[test]
    fn every_spelling_means_the_same_everywhere() {
        let usual = Item::from_fields("a", Some("2026-11-20T13:00:00Z"), "18").unwrap();
        let [sensors, times, temperatures] = Field::ALL.map(Field::spellings);
        for sensor in sensors {
            for time in times {
                for temperature in temperatures {
                    let pairs = [
                        (*sensor, "a"),
                        (*time, "2026-11-20 13:00"),
                        (*temperature, "18"),
                    ];
                    assert_eq!(arguments(&pairs).unwrap().item().as_ref(), Ok(&usual));
                    let json = format!(
                        r#"{{"{sensor}":"a","{time}":"2026-11-20T13:00:00Z","{temperature}":18}}"#
                    );
                    assert_eq!(super::super::plain::item(&json).as_ref(), Some(&usual));
                    assert_eq!(Item::from_any_json(&json).as_ref(), Ok(&usual));
                }
            }
        }
    }

    #[test]
    fn a_field_is_in_the_body_or_an_argument() {
        let usual = Item::from_fields("a", Some("2026-11-20T13:00:00Z"), "18").unwrap();
        let all = [
            ("sensor_id", "a"),
            ("time", "20261120T130000"),
            ("temperature", "18"),
        ];
        let json = [
            "\"sensorId\":\"a\"",
            "\"time\":\"2026-11-20 13:00\"",
            "\"temperature\":18",
        ];
        // Each way to share out the three fields, and the case of a field in both places.
        for here in 0..8 {
            let is_here = |at: usize| here & (1 << at) != 0;
            let pairs: Vec<_> = (0..3).filter(|at| is_here(*at)).map(|at| all[at]).collect();
            let members: Vec<_> = (0..3)
                .filter(|at| !is_here(*at))
                .map(|at| json[at])
                .collect();
            let arguments = arguments(&pairs).unwrap();
            let body = format!("{{{}}}", members.join(","));
            assert_eq!(
                arguments.item_beside_json(&body).as_ref(),
                Ok(&usual),
                "{body}"
            );
            for at in (0..3).filter(|at| is_here(*at)) {
                let body = format!("{{{}}}", [&members[..], &[json[at]]].concat().join(","));
                let error = arguments.item_beside_json(&body).unwrap_err();
                assert_eq!(error.field(), Some(Field::ALL[at].name()));
                assert!(
                    error
                        .reason()
                        .contains("in the query string and in the body")
                );
            }
        }
    }

    #[test]
    fn a_field_that_is_sent_twice_is_named() {
        for (pairs, field) in [
            (&[("sensorId", "a"), ("sensor_id", "a")][..], "sensorId"),
            (&[("sensorID", "a"), ("sensorID", "b")], "sensorId"),
            (&[("time", ""), ("timestamp", "")], "timestamp"),
            (
                &[("temperature", "1"), ("battery", "1"), ("temperature", "1")],
                "temperature",
            ),
        ] {
            let error = arguments(pairs).unwrap_err();
            assert_eq!(error.field(), Some(field));
            assert!(error.reason().contains("twice"), "{error}");
        }
        assert!(arguments(&[("battery", "1")]).unwrap().is_empty());
    }
}

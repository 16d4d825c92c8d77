//! The mistakes in the input of a client: in an item, or in a whole body.

use std::fmt;

use super::field::Field;
use crate::readings::SensorIdError;

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

    /// Content that parses but is not a reading, with no single field at fault.
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

    /// A field sent twice, under the same name or under two names.
    pub(super) fn sent_twice(field: Field) -> Self {
        let others = match field {
            Field::SensorId => " (sensorID and sensor_id are other names of it)",
            Field::Timestamp => " (time is another name of it)",
            Field::Temperature => "",
        };
        Self::of(field, format!("is sent twice{others}"))
    }

    /// A missing timestamp, in a place where the timestamp is required.
    pub fn missing_timestamp() -> Self {
        Self::of(
            Field::Timestamp,
            "is missing; send RFC 3339 such as 2026-11-20T13:00:00Z",
        )
    }

    /// The wrong field: `sensorId`, `timestamp` or `temperature`; `None` when the whole reading is wrong.
    pub fn field(&self) -> Option<&'static str> {
        self.field.map(Field::name)
    }

    /// The mistake, in words to put after the name of the field.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Whether the text does not parse. `false` if the text parses and the value is not accepted.
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

/// The unit of a position in a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PositionKind {
    /// Items of an array, from 0.
    Index,
    /// Lines, from 1.
    Line,
}

/// The kinds of [`BodyError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyErrorKind {
    /// More bytes than are accepted, counted after decompression.
    TooLarge,
    /// The body does not parse: not JSON, not gzip, cut short.
    Unreadable,
    /// The body parses and is not accepted.
    Invalid,
    /// The client named no format, and the beginning of the body fits no format.
    Unrecognized,
}

/// Why a whole body is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct BodyError {
    /// The kind of mistake.
    pub kind: BodyErrorKind,
    /// The position of the mistake, and the unit of the position.
    pub position: Option<(PositionKind, u64)>,
    /// The wrong field, if a single field is wrong.
    pub field: Option<&'static str>,
    /// The mistake: a sentence, or with a position the words after the name of the field or item.
    pub reason: String,
}

impl BodyError {
    pub(super) fn unreadable(reason: impl Into<String>) -> Self {
        Self {
            kind: BodyErrorKind::Unreadable,
            position: None,
            field: None,
            reason: reason.into(),
        }
    }

    pub(super) fn invalid(reason: impl Into<String>) -> Self {
        Self {
            kind: BodyErrorKind::Invalid,
            ..Self::unreadable(reason)
        }
    }

    pub(super) fn too_large(bytes_max: usize) -> Self {
        Self {
            kind: BodyErrorKind::TooLarge,
            ..Self::unreadable(format!(
                "the body is larger than {bytes_max} bytes once decompressed; send it in smaller batches"
            ))
        }
    }

    /// A mistake in an item, for which the whole body is refused.
    pub(super) fn at(position_kind: PositionKind, position: u64, error: &ItemError) -> Self {
        Self {
            kind: if error.is_syntax() {
                BodyErrorKind::Unreadable
            } else {
                BodyErrorKind::Invalid
            },
            position: Some((position_kind, position)),
            field: error.field(),
            reason: error.reason().to_owned(),
        }
    }
}

/// A client's text, for a message: in backticks, at most 40 characters, control characters escaped.
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

    #[test]
    fn an_echo_is_short_and_clean() {
        assert_eq!(echo("a\nb"), "`a\\nb`");
        assert_eq!(echo(&"é".repeat(41)), format!("`{}…`", "é".repeat(40)));
    }
}

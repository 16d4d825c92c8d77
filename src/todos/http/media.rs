//! Bodies of todos: JSON and forms, by content type.

use std::fmt;

use axum::http::HeaderMap;
use bytes::Bytes;
use serde::de::{Deserializer as _, MapAccess, Visitor};

use super::fields::{Entries, Value};
use crate::http::media_type::{MULTIPART_FORM, MediaType, URLENCODED_FORM};
use crate::http::multipart::{MultipartError, MultipartEvent, MultipartParser};
use crate::http::{ContentEncoding, Problem, ProblemKind, form};

/// The format of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    /// `application/x-www-form-urlencoded`. curl sends this type by default, so the body may also be JSON.
    Form,
    /// `multipart/form-data` with this boundary.
    Multipart(String),
    /// The type of [`Format::Form`], where only JSON is accepted.
    PerhapsJson,
}

/// The format of a body that is a whole todo.
///
/// # Errors
/// 415 for a body that is compressed or of another type, 400 for a form in parts without a boundary.
pub(super) fn of_todo(headers: &HeaderMap) -> Result<Format, Problem> {
    let Some(media_type) = media_type(headers)? else {
        return Ok(Format::Json);
    };
    if media_type.is("application/json") {
        Ok(Format::Json)
    } else if media_type.is(URLENCODED_FORM) {
        Ok(Format::Form)
    } else if media_type.is(MULTIPART_FORM) {
        media_type.boundary().map(Format::Multipart).ok_or_else(|| {
            unreadable("the content type multipart/form-data names no boundary, or none that RFC 2046 allows")
        })
    } else {
        Err(Problem::new(
            ProblemKind::UnsupportedMediaType,
            "send the todo as application/json, application/x-www-form-urlencoded or multipart/form-data",
        ))
    }
}

/// The format of a body that is a change.
///
/// # Errors
/// 415 for a body that is compressed or of another type.
pub(super) fn of_patch(headers: &HeaderMap) -> Result<Format, Problem> {
    let Some(media_type) = media_type(headers)? else {
        return Ok(Format::Json);
    };
    let json = ["application/merge-patch+json", "application/json"];
    if json.iter().any(|json| media_type.is(json)) {
        Ok(Format::Json)
    } else if media_type.is(URLENCODED_FORM) {
        Ok(Format::PerhapsJson)
    } else {
        Err(no_patch())
    }
}

/// Whether the content type of a body is JSON.
pub(super) fn is_json(headers: &HeaderMap) -> bool {
    MediaType::of_body(headers).is_some_and(|media_type| media_type.is("application/json"))
}

fn no_patch() -> Problem {
    Problem::new(
        ProblemKind::UnsupportedMediaType,
        "send the change as application/merge-patch+json: an object with the fields that are to change",
    )
}

fn media_type(headers: &HeaderMap) -> Result<Option<MediaType<'_>>, Problem> {
    ContentEncoding::require_identity(headers, "a todo is sent uncompressed")?;
    Ok(MediaType::of_body(headers))
}

/// The fields of a body.
pub(super) fn entries(format: Format, body: Bytes) -> Result<Entries, Problem> {
    if let Format::Multipart(boundary) = format {
        return multipart(&boundary, body);
    }
    let text = std::str::from_utf8(&body).map_err(|error| {
        unreadable(format!(
            "the body is not UTF-8: byte {} is wrong",
            error.valid_up_to()
        ))
    })?;
    // No form of a todo begins with a brace.
    match format {
        Format::Form if !text.trim_ascii_start().starts_with('{') => urlencoded(text),
        Format::PerhapsJson if !text.trim_ascii_start().starts_with('{') => Err(no_patch()),
        _ => json(text),
    }
}

fn json(text: &str) -> Result<Entries, Problem> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let entries = deserializer
        .deserialize_map(EntriesVisitor)
        .and_then(|entries| deserializer.end().map(|()| entries));
    entries.map_err(|error| {
        if error.is_data() {
            return Problem::new(
                ProblemKind::InvalidTodo,
                "the body is not an object; send {\"title\":\"…\"}",
            );
        }
        let (line, column) = (error.line(), error.column());
        unreadable(format!(
            "the body is not JSON: see line {line}, column {column}"
        ))
        .with_source(error)
    })
}

/// Collects the members of an object in a list, because a map would hide a member that was sent twice.
struct EntriesVisitor;

impl<'de> Visitor<'de> for EntriesVisitor {
    type Value = Entries;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
        let mut entries = Entries::new();
        while let Some((name, value)) = map.next_entry::<String, serde_json::Value>()? {
            let value = match value {
                serde_json::Value::Null => Value::Null,
                serde_json::Value::String(text) => Value::Text(text),
                serde_json::Value::Bool(_) => Value::Other("a boolean"),
                serde_json::Value::Number(_) => Value::Other("a number"),
                serde_json::Value::Array(_) => Value::Other("an array"),
                serde_json::Value::Object(_) => Value::Other("an object"),
            };
            entries.push((name, value));
        }
        Ok(entries)
    }
}

fn urlencoded(text: &str) -> Result<Entries, Problem> {
    let mut entries = Entries::new();
    for pair in form::pairs(text.trim_ascii_end()) {
        let Some((name, value)) = pair else {
            return Err(unreadable("the form is not UTF-8 after percent-decoding"));
        };
        let value = match name.as_ref() {
            "deadline" => form::restore_plus_sign(value),
            _ => value,
        };
        entries.push(field(name.into_owned(), value.into_owned()));
    }
    Ok(entries)
}

fn multipart(boundary: &str, body: Bytes) -> Result<Entries, Problem> {
    let malformed = |error: MultipartError| unreadable(error.to_string());
    let mut parser = MultipartParser::new(boundary);
    parser.feed(body);
    let mut entries = Entries::new();
    let mut part = None;
    while let Some(event) = parser.next_event().map_err(malformed)? {
        match event {
            MultipartEvent::Part(head) => {
                let Some(name) = head.field else {
                    return Err(unreadable("a part of the form has no name"));
                };
                if head.file_name.is_some() {
                    entries.push((name, Value::Other("a file")));
                } else {
                    part = Some((name, Vec::new()));
                }
            }
            MultipartEvent::Data(data) => {
                if let Some((_, bytes)) = &mut part {
                    bytes.extend_from_slice(&data);
                }
            }
            MultipartEvent::PartEnd => {
                if let Some((name, bytes)) = part.take() {
                    let text = String::from_utf8(bytes)
                        .map_err(|_| unreadable("a part of the form is not UTF-8"))?;
                    entries.push(field(name, text));
                }
            }
        }
    }
    if parser.is_complete() {
        Ok(entries)
    } else {
        Err(unreadable("the form ends before its last boundary"))
    }
}

/// A field of a form. A browser sends a field that was left blank as an empty text.
fn field(name: String, text: String) -> (String, Value) {
    let is_left_blank = matches!(name.as_str(), "deadline" | "status") && text.trim().is_empty();
    let value = if is_left_blank {
        Value::Null
    } else {
        Value::Text(text)
    };
    (name, value)
}

fn unreadable(detail: impl Into<std::borrow::Cow<'static, str>>) -> Problem {
    Problem::new(ProblemKind::UnreadableBody, detail)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(name: &str, text: &str) -> (String, Value) {
        (name.to_owned(), Value::Text(text.to_owned()))
    }

    #[test]
    fn all_formats_are_read_alike() {
        let json = r#"{"title":"a b","deadline":null}"#;
        let multipart = "--x\r\nContent-Disposition: form-data; name=\"title\"\r\n\r\na b\r\n--x\r\n\
                         Content-Disposition: form-data; name=\"deadline\"\r\n\r\n \r\n--x--\r\n";
        for (format, body) in [
            (Format::Json, json),
            (Format::Form, json),
            (Format::PerhapsJson, json),
            (Format::Form, "title=a+b&deadline=\r\n"),
            (Format::Multipart("x".to_owned()), multipart),
        ] {
            let read = entries(format, Bytes::from(body)).unwrap();
            let expected = vec![text("title", "a b"), ("deadline".to_owned(), Value::Null)];
            assert_eq!(read, expected, "{body}");
        }
    }

    proptest! {
        #[test]
        fn fields_are_read_the_same_from_json_and_from_a_form(
            fields in prop::collection::vec((".{0,20}", ".{0,40}"), 0..6),
        ) {
            let object: Vec<String> = fields
                .iter()
                .map(|(name, value)| format!("{}:{}", serde_json::json!(name), serde_json::json!(value)))
                .collect();
            let json = json(&format!("{{{}}}", object.join(","))).unwrap();
            let mut encoded = form_urlencoded::Serializer::new(String::new());
            encoded.extend_pairs(&fields);
            let form = urlencoded(&encoded.finish()).unwrap();
            let blank_is_null = |(name, value): (String, Value)| match value {
                Value::Text(text) => field(name, text),
                value => (name, value),
            };
            let json: Entries = json.into_iter().map(blank_is_null).collect();
            prop_assert_eq!(json, form);
        }

        #[test]
        fn every_body_is_read_or_refused_as_the_fault_of_the_client(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            format in 0usize..4,
        ) {
            let formats = [Format::Json, Format::Form, Format::PerhapsJson, Format::Multipart("x".to_owned())];
            let format = formats[format].clone();
            let text = std::str::from_utf8(&bytes).map(str::to_owned);
            match entries(format.clone(), Bytes::from(bytes)) {
                // JSON is read as serde_json reads the text.
                Ok(entries) => if format == Format::Json {
                    let object: serde_json::Map<_, _> = serde_json::from_str(&text.unwrap()).unwrap();
                    prop_assert!(entries.iter().all(|(name, _)| object.contains_key(name)));
                },
                Err(problem) => prop_assert!(problem.kind().status().is_client_error(), "{:?}", problem),
            }
        }
    }

    #[test]
    fn unreadable_bodies_are_refused() {
        let multipart = Format::Multipart("x".to_owned());
        for (format, body, kind) in [
            (Format::Json, "{", ProblemKind::UnreadableBody),
            (Format::Json, "", ProblemKind::UnreadableBody),
            (Format::Json, "{} {}", ProblemKind::UnreadableBody),
            (Format::Json, "[]", ProblemKind::InvalidTodo),
            (Format::Json, "\"a\"", ProblemKind::InvalidTodo),
            (Format::Form, "title=%ff", ProblemKind::UnreadableBody),
            (
                Format::PerhapsJson,
                "title=a",
                ProblemKind::UnsupportedMediaType,
            ),
            (multipart, "--x\r\n", ProblemKind::UnreadableBody),
        ] {
            let problem = entries(format, Bytes::from(body)).unwrap_err();
            assert_eq!(problem.kind(), kind, "{body}: {problem:?}");
        }
    }
}

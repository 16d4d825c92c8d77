//! Bodies: JSON and forms, by their content type.

use std::convert::Infallible;
use std::fmt;

use axum::http::{HeaderMap, HeaderValue, header};
use bytes::Bytes;
use serde::de::{Deserializer as _, MapAccess, Visitor};

use super::fields::{Entries, Value};
use crate::http::extract::{form_pairs, with_plus};
use crate::http::{Problem, ProblemKind};

/// What a body is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    /// `application/x-www-form-urlencoded`, which is also what curl calls whatever it sends.
    Form,
    /// `multipart/form-data` with its boundary.
    Multipart(String),
    /// As [`Format::Form`], of which only JSON is taken.
    PerhapsJson,
}

/// The format of a whole todo.
pub(super) fn of_todo(headers: &HeaderMap) -> Result<Format, Problem> {
    let unsupported = || {
        Problem::new(
            ProblemKind::UnsupportedMediaType,
            "send the todo as application/json, application/x-www-form-urlencoded or multipart/form-data",
        )
    };
    let Some(content_type) = content_type(headers)? else {
        return Ok(Format::Json);
    };
    if is(content_type, "application/json") {
        Ok(Format::Json)
    } else if is(content_type, "application/x-www-form-urlencoded") {
        Ok(Format::Form)
    } else if is(content_type, "multipart/form-data") {
        let text = content_type.to_str().ok();
        match text.and_then(|text| multer::parse_boundary(text).ok()) {
            Some(boundary) => Ok(Format::Multipart(boundary)),
            None => Err(Problem::new(
                ProblemKind::UnreadableBody,
                "the content type multipart/form-data lacks its boundary",
            )),
        }
    } else {
        Err(unsupported())
    }
}

/// The format of a change.
pub(super) fn of_patch(headers: &HeaderMap) -> Result<Format, Problem> {
    match content_type(headers)? {
        None => Ok(Format::Json),
        Some(text) if is(text, "application/merge-patch+json") || is(text, "application/json") => {
            Ok(Format::Json)
        }
        Some(text) if is(text, "application/x-www-form-urlencoded") => Ok(Format::PerhapsJson),
        Some(_) => Err(no_patch()),
    }
}

/// Whether a body is said to be JSON.
pub(super) fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE);
    content_type.is_some_and(|content_type| is(content_type, "application/json"))
}

fn no_patch() -> Problem {
    Problem::new(
        ProblemKind::UnsupportedMediaType,
        "send the change as application/merge-patch+json: an object with the fields that are to change",
    )
}

fn content_type(headers: &HeaderMap) -> Result<Option<&HeaderValue>, Problem> {
    if let Some(encoding) = headers.get(header::CONTENT_ENCODING)
        && encoding != "identity"
    {
        return Err(Problem::new(
            ProblemKind::UnsupportedMediaType,
            "a todo is sent uncompressed",
        )
        .accept_encoding("identity"));
    }
    Ok(headers.get(header::CONTENT_TYPE))
}

/// Whether a content type, whatever its parameters, is this one.
fn is(content_type: &HeaderValue, name: &str) -> bool {
    let essence = content_type.as_bytes().split(|&byte| byte == b';').next();
    essence
        .unwrap_or_default()
        .trim_ascii()
        .eq_ignore_ascii_case(name.as_bytes())
}

/// The fields of a body.
pub(super) async fn entries(format: Format, body: Bytes) -> Result<Entries, Problem> {
    if let Format::Multipart(boundary) = format {
        return multipart(&boundary, body).await;
    }
    let text = std::str::from_utf8(&body).map_err(|error| {
        unreadable(format!(
            "the body is not UTF-8: byte {} is wrong",
            error.valid_up_to()
        ))
    })?;
    // No form begins with a brace.
    match format {
        Format::Form if !text.trim_ascii_start().starts_with('{') => form(text),
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

/// Keeps what a map would lose: that a field was sent twice.
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

fn form(text: &str) -> Result<Entries, Problem> {
    let mut entries = Entries::new();
    for pair in form_pairs(text.trim_ascii_end()) {
        let Some((name, value)) = pair else {
            return Err(unreadable("the form is not UTF-8 after percent-decoding"));
        };
        let value = match name.as_ref() {
            "deadline" => with_plus(value),
            _ => value,
        };
        entries.push(field(name.into_owned(), value.into_owned()));
    }
    Ok(entries)
}

async fn multipart(boundary: &str, body: Bytes) -> Result<Entries, Problem> {
    let malformed = |error: multer::Error| {
        unreadable("the multipart body is malformed or ends early").with_source(error)
    };
    let stream = futures_util::stream::iter([Ok::<_, Infallible>(body)]);
    let mut parts = multer::Multipart::new(stream, boundary);
    let mut entries = Entries::new();
    while let Some(part) = parts.next_field().await.map_err(malformed)? {
        let Some(name) = part.name().map(str::to_owned) else {
            return Err(unreadable("a part of the multipart body has no name"));
        };
        if part.file_name().is_some() {
            entries.push((name, Value::Other("a file")));
            continue;
        }
        let bytes = part.bytes().await.map_err(malformed)?;
        let text = String::from_utf8(bytes.into())
            .map_err(|_| unreadable("a part of the multipart body is not UTF-8"))?;
        entries.push(field(name, text));
    }
    Ok(entries)
}

/// A field of a form. A browser sends blank what was left blank.
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

    #[tokio::test]
    async fn all_formats_say_the_same() {
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
            let read = entries(format, Bytes::from(body)).await.unwrap();
            let expected = vec![text("title", "a b"), ("deadline".to_owned(), Value::Null)];
            assert_eq!(read, expected, "{body}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_sent_is_read_the_same_in_json_and_in_a_form(
            fields in prop::collection::vec((".{0,20}", ".{0,40}"), 0..6),
        ) {
            let object: Vec<String> = fields
                .iter()
                .map(|(name, value)| format!("{}:{}", serde_json::json!(name), serde_json::json!(value)))
                .collect();
            let json = json(&format!("{{{}}}", object.join(","))).unwrap();
            let mut encoded = form_urlencoded::Serializer::new(String::new());
            encoded.extend_pairs(&fields);
            let form = form(&encoded.finish()).unwrap();
            let blank_is_null = |(name, value): (String, Value)| match value {
                Value::Text(text) => field(name, text),
                value => (name, value),
            };
            let json: Entries = json.into_iter().map(blank_is_null).collect();
            prop_assert_eq!(json, form);
        }

        #[test]
        fn no_body_is_too_strange(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            format in 0usize..4,
        ) {
            let formats = [Format::Json, Format::Form, Format::PerhapsJson, Format::Multipart("x".to_owned())];
            // It is read or refused; it never ends otherwise.
            let body = Bytes::from(bytes);
            let _ = futures_util::FutureExt::now_or_never(entries(formats[format].clone(), body));
        }
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_refused() {
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
            let problem = entries(format, Bytes::from(body)).await.unwrap_err();
            assert_eq!(problem.kind(), kind, "{body}: {problem:?}");
        }
    }
}

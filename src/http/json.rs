//! Functions to write JSON without a derived serializer. The code is as clear, and allocates less. Also answers with a JSON body.

use std::fmt::Write as _;
use std::io::Write as _;

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};

use crate::timestamp::Timestamp;

/// A response with status 200 and a JSON body.
pub fn answer(body: impl Into<Body>) -> Response {
    let content_type = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, content_type)], body.into()).into_response()
}

/// Writes the commas between the items of an array or the members of an object.
#[derive(Debug, Default)]
pub struct Separator {
    has_items: bool,
}

impl Separator {
    /// Appends a comma unless the next item is the first. To be called before each item.
    pub fn write(&mut self, out: &mut Vec<u8>) {
        if self.has_items {
            out.push(b',');
        }
        self.has_items = true;
    }
}

/// Appends an array. `write` appends each item.
pub fn write_array<T>(
    out: &mut Vec<u8>,
    items: impl IntoIterator<Item = T>,
    write: impl Fn(&mut Vec<u8>, T),
) {
    out.push(b'[');
    let mut separator = Separator::default();
    for item in items {
        separator.write(out);
        write(out, item);
    }
    out.push(b']');
}

/// Appends the name of a member and a colon.
pub fn write_key(out: &mut Vec<u8>, key: &str) {
    write_string(out, key);
    out.push(b':');
}

/// Appends a value, or `null`.
pub fn write_or_null<T>(out: &mut Vec<u8>, value: Option<T>, write: impl FnOnce(&mut Vec<u8>, T)) {
    match value {
        Some(value) => write(out, value),
        None => out.extend_from_slice(b"null"),
    }
}

/// Appends a timestamp as a string. No character of a timestamp needs an escape.
pub fn write_timestamp(out: &mut Vec<u8>, timestamp: Timestamp) {
    out.push(b'"');
    timestamp.write_to(out);
    out.push(b'"');
}

/// Appends a JSON string.
pub fn write_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut plain_from = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        let escape: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            0..=0x1f => b"",
            _ => continue,
        };
        out.extend_from_slice(&bytes[plain_from..at]);
        plain_from = at + 1;
        if escape.is_empty() {
            // Writing to memory does not fail.
            let _ = write!(out, "\\u{byte:04x}");
        } else {
            out.extend_from_slice(escape);
        }
    }
    out.extend_from_slice(&bytes[plain_from..]);
    out.push(b'"');
}

/// Appends a whole number.
pub fn write_integer(out: &mut Vec<u8>, number: u64) {
    // Writing to memory does not fail.
    let _ = write!(out, "{number}");
}

/// Appends the shortest decimal text that parses to the same number: `10`, not `10.0`.
pub fn write_number(out: &mut Vec<u8>, number: f64) {
    // Writing to memory does not fail. Adding zero turns the negative zero of IEEE 754 into zero.
    let _ = write!(out, "{}", number + 0.0);
}

/// A whole number for people, with commas between thousands: `1,204,331`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3 + 1);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        // Writing to memory does not fail.
        let _ = text.write_char(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_read_back_the_same() {
        for text in ["", "plain", "a\"b\\c", "\u{0}\u{1f}\n\r\t", "é 💡 \u{7f}"] {
            let mut out = Vec::new();
            write_string(&mut out, text);
            assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        }
    }

    #[test]
    fn arrays_have_commas_between_their_items_only() {
        for items in [&[][..], &[1], &[1, 2, 3]] {
            let mut out = Vec::new();
            write_array(&mut out, items, |out, item| write_integer(out, *item));
            assert_eq!(serde_json::from_slice::<Vec<u64>>(&out).unwrap(), items);
        }
    }

    #[test]
    fn numbers_are_short() {
        for (number, text) in [
            (10.0, "10"),
            (-0.0, "0"),
            (0.1, "0.1"),
            (-273.15, "-273.15"),
        ] {
            let mut out = Vec::new();
            write_number(&mut out, number);
            assert_eq!(out, text.as_bytes());
        }
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (1_204_331, "1,204,331"),
        ] {
            assert_eq!(grouped(number), text);
        }
    }
}

//! `Content-Disposition` (RFC 6266): the client is to save the file under its own name.

use axum::http::HeaderValue;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// The characters outside of attr-char (RFC 8187).
const NOT_IN_ATTRIBUTES: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// `attachment` with the name in ASCII for old clients, and also in UTF-8 when the name is not ASCII.
pub(super) fn attachment(name: &str) -> HeaderValue {
    let mut value = String::from("attachment; filename=\"");
    let mut is_ascii = true;
    for character in name.chars() {
        match character {
            '"' | '\\' => value.extend(['\\', character]),
            // Some clients take a slash for a directory; others decode a percent sign and two digits.
            '/' | '%' => {
                is_ascii = false;
                value.push('_');
            }
            ' '..='~' => value.push(character),
            _ => {
                is_ascii = false;
                value.push('_');
            }
        }
    }
    value.push('"');
    if !is_ascii {
        value.push_str("; filename*=UTF-8''");
        let name = name.replace('/', "_");
        value.extend(utf8_percent_encode(&name, NOT_IN_ATTRIBUTES));
    }
    value
        .parse()
        .unwrap_or(HeaderValue::from_static("attachment"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_written_in_ascii_and_in_utf_8() {
        for (name, value) in [
            ("photo.png", "attachment; filename=\"photo.png\""),
            ("a \"b\\c", "attachment; filename=\"a \\\"b\\\\c\""),
            (
                "€ rates.txt",
                "attachment; filename=\"_ rates.txt\"; filename*=UTF-8''%E2%82%AC%20rates.txt",
            ),
            (
                "../a%2f",
                "attachment; filename=\".._a_2f\"; filename*=UTF-8''.._a%252f",
            ),
            ("a'b*", "attachment; filename=\"a'b*\""),
        ] {
            assert_eq!(attachment(name), value, "{name}");
        }
    }
}

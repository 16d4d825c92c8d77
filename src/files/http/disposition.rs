//! `Content-Disposition` (RFC 6266): a file is for saving, under its own name.

use std::fmt::Write;

use axum::http::HeaderValue;

/// `attachment` with the name in ASCII for old clients, and in UTF-8 where that is not the same.
pub(super) fn attachment(name: &str) -> HeaderValue {
    let mut value = String::from("attachment; filename=\"");
    let mut is_ascii = true;
    for character in name.chars() {
        match character {
            '"' | '\\' => value.extend(['\\', character]),
            // A slash would be a directory to some; a percent sign and two digits are decoded by others.
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
        for byte in name.replace('/', "_").bytes() {
            // What RFC 8187 calls attr-char.
            if byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(&byte) {
                value.push(char::from(byte));
            } else {
                // Writing to memory does not fail.
                let _ = write!(value, "%{byte:02X}");
            }
        }
    }
    value
        .parse()
        .unwrap_or(HeaderValue::from_static("attachment"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_survives_in_both_forms() {
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

//! Dates in the format of HTTP (RFC 9110, section 5.6.7), in whole seconds.

use axum::http::{HeaderMap, HeaderName};
use jiff::fmt::rfc2822::DateTimeParser;

use crate::timestamp::Timestamp;

/// The date of a timestamp, such as `Sat, 01 Mar 2025 10:00:00 GMT`. The crate `jiff` cannot print the last day of the year 9999.
pub fn format(timestamp: Timestamp) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    // The text is like 2025-03-01T10:00:00Z. The first day of 1970 was a Thursday.
    let text = timestamp.to_string();
    let day = seconds(timestamp).div_euclid(86_400).rem_euclid(7);
    let month = text[5..7].parse::<usize>().unwrap_or(1);
    format!(
        "{}, {} {} {} {} GMT",
        DAYS[day as usize],
        &text[8..10],
        MONTHS[(month - 1) % 12],
        &text[..4],
        &text[11..19],
    )
}

/// The date of a header, in seconds since 1970. A malformed date is ignored.
pub fn of_header(headers: &HeaderMap, name: &HeaderName) -> Option<i64> {
    parse(headers.get(name)?.to_str().ok()?)
}

/// The date in a text, in seconds since 1970; `None` for a malformed date.
pub fn parse(text: &str) -> Option<i64> {
    let timestamp = DateTimeParser::new().parse_timestamp(text).ok()?;
    Some(timestamp.as_second())
}

/// The whole seconds of a timestamp since 1970.
pub fn seconds(timestamp: Timestamp) -> i64 {
    timestamp.micros().div_euclid(1_000_000)
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderValue, header};

    use super::*;

    #[test]
    fn dates_are_those_of_http() {
        for (timestamp, date) in [
            ("2025-03-01T10:00", "Sat, 01 Mar 2025 10:00:00 GMT"),
            ("1970-01-01T00:00:00.999Z", "Thu, 01 Jan 1970 00:00:00 GMT"),
            ("1969-12-31T23:59:59.5Z", "Wed, 31 Dec 1969 23:59:59 GMT"),
            ("0001-01-01T00:00", "Mon, 01 Jan 0001 00:00:00 GMT"),
            ("9999-12-31T23:59:59", "Fri, 31 Dec 9999 23:59:59 GMT"),
        ] {
            let timestamp: Timestamp = timestamp.parse().unwrap();
            assert_eq!(format(timestamp), date);
        }
    }

    #[test]
    fn dates_are_read_and_other_texts_are_ignored() {
        for (text, seconds) in [
            ("Thu, 01 Jan 1970 00:00:10 GMT", Some(10)),
            ("Mon, 01 Jan 0001 00:00:00 GMT", Some(-62_135_596_800)),
            ("yesterday", None),
        ] {
            let value = HeaderValue::from_static(text);
            let headers = HeaderMap::from_iter([(header::DATE, value)]);
            assert_eq!(of_header(&headers, &header::DATE), seconds, "{text}");
        }
    }
}

//! Numbers and times in a form for people.

use maud::{Markup, html};

use crate::http::json::grouped;
use crate::readings::Timestamp;

/// The text for a missing value.
pub(super) const NOTHING: &str = "—";

/// Degrees with all their digits; a dash for no value.
pub(super) fn degrees(value: Option<String>) -> Markup {
    html! {
        @match value {
            Some(value) => { (number(&value)) " " span.unit { "°C" } }
            None => { (NOTHING) }
        }
    }
}

/// Degrees with two decimals, for columns, with the exact value as an attribute.
pub(super) fn rounded_degrees(micro_degrees: i64, exact: &str) -> Markup {
    // Half a hundredth is 5,000 millionths; rounded away from zero, as people do.
    let magnitude = (micro_degrees.unsigned_abs() + 5_000) / 10_000;
    let sign = if micro_degrees < 0 && magnitude > 0 {
        "−"
    } else {
        ""
    };
    let hundredths = format!("{:02}", magnitude % 100);
    html! {
        data value=(exact) { (sign) (grouped(magnitude / 100)) "." (hundredths) }
    }
}

/// A decimal number with a proper minus sign and its thousands separated.
pub(super) fn number(number: &str) -> String {
    let (sign, magnitude) = match number.strip_prefix('-') {
        Some(magnitude) => ("−", magnitude),
        None => ("", number),
    };
    let whole = magnitude.split('.').next().unwrap_or(magnitude);
    let fraction = &magnitude[whole.len()..];
    // A temperature is far below the largest integer.
    let whole = whole.parse().map_or_else(|_| whole.to_owned(), grouped);
    format!("{sign}{whole}{fraction}")
}

/// The distance from a timestamp to now, with the timestamp itself as an attribute and as the tooltip.
pub(super) fn time(timestamp: Timestamp, now: Timestamp) -> Markup {
    let exact = timestamp.to_string();
    let title = exact.replace('T', " ").replace('Z', " UTC");
    html! {
        time datetime=(exact) title=(title) { (ago(timestamp, now)) }
    }
}

fn ago(timestamp: Timestamp, now: Timestamp) -> String {
    match now.micros().abs_diff(timestamp.micros()) / 1_000_000 {
        0 => "now".to_owned(),
        seconds if timestamp > now => format!("in {}", duration(seconds)),
        seconds => format!("{} ago", duration(seconds)),
    }
}

/// A span of time in its largest unit, with a no-break space between number and unit.
pub(super) fn duration(seconds: u64) -> String {
    const UNITS: [(u64, &str, &str); 6] = [
        (1, "s", "s"),
        (60, "min", "min"),
        (3_600, "h", "h"),
        (86_400, "day", "days"),
        (30 * 86_400, "month", "months"),
        (365 * 86_400, "year", "years"),
    ];
    let unit = UNITS.iter().rev().find(|(length, ..)| seconds >= *length);
    let (length, singular, plural) = unit.unwrap_or(&UNITS[0]);
    let count = seconds / length;
    let unit = if count == 1 { singular } else { plural };
    format!("{}\u{a0}{unit}", grouped(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_for_people() {
        assert_eq!(number("-0.5"), "−0.5");
        assert_eq!(number("1000000"), "1,000,000");
        assert_eq!(
            degrees(Some("-6".to_owned())).into_string(),
            "−6 <span class=\"unit\">°C</span>"
        );
        assert_eq!(degrees(None).into_string(), "—");
        for (micro_degrees, shown) in [
            (0, "0.00"),
            (-1, "0.00"),
            (-5_000, "−0.01"),
            (73_967_322, "73.97"),
            (-273_150_000, "−273.15"),
            (1_000_000_000_000, "1,000,000.00"),
        ] {
            let shown = format!("<data value=\"x\">{shown}</data>");
            assert_eq!(rounded_degrees(micro_degrees, "x").into_string(), shown);
        }
    }

    #[test]
    fn times_are_for_people() {
        let now: Timestamp = "2026-11-20T13:00:00Z".parse().unwrap();
        for (timestamp, shown) in [
            ("2026-11-20T13:00:00.4Z", "now"),
            ("2026-11-20T12:59:58Z", "2\u{a0}s ago"),
            ("2026-11-20T12:01:00Z", "59\u{a0}min ago"),
            ("2026-11-20T14:00:00Z", "in 1\u{a0}h"),
            ("2026-11-19T13:00:00Z", "1\u{a0}day ago"),
            ("2014-02-19T15:25:00Z", "12\u{a0}years ago"),
            ("0001-01-01T00:00:00Z", "2,027\u{a0}years ago"),
        ] {
            assert_eq!(ago(timestamp.parse().unwrap(), now), shown, "{timestamp}");
        }
        assert_eq!(
            time("2014-02-19T15:25:00Z".parse().unwrap(), now).into_string(),
            "<time datetime=\"2014-02-19T15:25:00Z\" title=\"2014-02-19 15:25:00 UTC\">12\u{a0}years ago</time>"
        );
    }
}

//! Numbers and times as people read them.

use super::html::escape;
use crate::http::json::grouped;
use crate::readings::Timestamp;

/// What shows where there is nothing.
pub(super) const NOTHING: &str = "—";

/// Degrees with all the digits they have, or nothing.
pub(super) fn degrees(value: Option<String>) -> String {
    match value {
        Some(value) => format!("{} <span class=\"unit\">°C</span>", number(&value)),
        None => NOTHING.to_owned(),
    }
}

/// Degrees with two decimals, for columns; the exact value stays with them.
pub(super) fn rounded_degrees(micro_degrees: i64, exact: &str) -> String {
    // Half a hundredth is 5,000 millionths; rounded away from zero, as people do.
    let magnitude = (micro_degrees.unsigned_abs() + 5_000) / 10_000;
    let sign = if micro_degrees < 0 && magnitude > 0 {
        "−"
    } else {
        ""
    };
    format!(
        "<data value=\"{}\">{sign}{}.{:02}</data>",
        escape(exact),
        grouped(magnitude / 100),
        magnitude % 100
    )
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

/// How long ago a moment was, with the moment itself.
pub(super) fn time(moment: Timestamp, now: Timestamp) -> String {
    let exact = moment.to_string();
    let title = exact.replace('T', " ").replace('Z', " UTC");
    format!(
        "<time datetime=\"{exact}\" title=\"{title}\">{}</time>",
        ago(moment, now)
    )
}

fn ago(moment: Timestamp, now: Timestamp) -> String {
    match now.micros().abs_diff(moment.micros()) / 1_000_000 {
        0 => "now".to_owned(),
        seconds if moment > now => format!("in {}", duration(seconds)),
        seconds => format!("{} ago", duration(seconds)),
    }
}

/// A span of time in its largest unit.
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
    let (length, one, many) = unit.unwrap_or(&UNITS[0]);
    let count = seconds / length;
    let unit = if count == 1 { one } else { many };
    format!("{}&nbsp;{unit}", grouped(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_for_people() {
        assert_eq!(number("-0.5"), "−0.5");
        assert_eq!(number("1000000"), "1,000,000");
        assert_eq!(
            degrees(Some("-6".to_owned())),
            "−6 <span class=\"unit\">°C</span>"
        );
        assert_eq!(degrees(None), "—");
        for (micro_degrees, shown) in [
            (0, "0.00"),
            (-1, "0.00"),
            (-5_000, "−0.01"),
            (73_967_322, "73.97"),
            (-273_150_000, "−273.15"),
            (1_000_000_000_000, "1,000,000.00"),
        ] {
            let shown = format!("<data value=\"x\">{shown}</data>");
            assert_eq!(rounded_degrees(micro_degrees, "x"), shown);
        }
    }

    #[test]
    fn times_are_for_people() {
        let now: Timestamp = "2026-11-20T13:00:00Z".parse().unwrap();
        for (moment, shown) in [
            ("2026-11-20T13:00:00.4Z", "now"),
            ("2026-11-20T12:59:58Z", "2&nbsp;s ago"),
            ("2026-11-20T12:01:00Z", "59&nbsp;min ago"),
            ("2026-11-20T14:00:00Z", "in 1&nbsp;h"),
            ("2026-11-19T13:00:00Z", "1&nbsp;day ago"),
            ("2014-02-19T15:25:00Z", "12&nbsp;years ago"),
            ("0001-01-01T00:00:00Z", "2,027&nbsp;years ago"),
        ] {
            assert_eq!(ago(moment.parse().unwrap(), now), shown, "{moment}");
        }
        assert_eq!(
            time("2014-02-19T15:25:00Z".parse().unwrap(), now),
            "<time datetime=\"2014-02-19T15:25:00Z\" title=\"2014-02-19 15:25:00 UTC\">12&nbsp;years ago</time>"
        );
    }
}

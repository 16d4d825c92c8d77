//! Durations as people write and read them, in jiff's "friendly" format.

use std::time::Duration;

use jiff::fmt::friendly::{FractionalUnit, Spacing, SpanParser, SpanPrinter};
use jiff::{SignedDuration, SpanRelativeTo};

/// Parses `90s`, `5m`, `1h 30m`, `2d`, `250ms`, or a bare number of seconds (`90`, `1.5`). A day has 24 hours.
///
/// Each unit stands at most once, and larger units stand first, so that a typing error is not another duration.
///
/// # Errors
/// A sentence that names the text and says what to write.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let is_number = |byte: u8| byte.is_ascii_digit() || byte == b'.';
    let expected =
        || format!("`{text}` is not a duration; write 90s, 5m, 1h 30m, 2d or a number of seconds");
    if text.bytes().all(is_number) {
        let seconds: f64 = text.parse().map_err(|_| expected())?;
        return Duration::try_from_secs_f64(seconds)
            .map_err(|_| format!("`{text}` seconds is too long"));
    }
    let span = SpanParser::new().parse_span(text).map_err(|_| expected())?;
    if span.get_years() != 0 || span.get_months() != 0 {
        return Err(format!(
            "`{text}` has no fixed length, because months and years differ; write days"
        ));
    }
    let duration = span
        .to_duration(SpanRelativeTo::days_are_24_hours())
        .map_err(|_| expected())?;
    Duration::try_from(duration).map_err(|_| format!("`{text}` is negative; a duration is not"))
}

/// A duration for a report, to a tenth of a second: `0.4 s`, `1 m 36.1 s`, `2 h 5 s`.
pub(crate) fn friendly(duration: Duration) -> String {
    const PRINTER: SpanPrinter = SpanPrinter::new()
        .spacing(Spacing::BetweenUnitsAndDesignators)
        .fractional(Some(FractionalUnit::Second))
        .precision(Some(1));
    // The printer truncates.
    let tenths = duration.as_millis().saturating_add(50) / 100;
    let tenths = i64::try_from(tenths).unwrap_or(i64::MAX);
    let rounded = SignedDuration::new(tenths / 10, (tenths % 10) as i32 * 100_000_000);
    PRINTER.duration_to_string(&rounded)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_duration_is_read_with_units_or_as_seconds() {
        for (text, ms) in [
            ("10s", 10_000),
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("1h 30m", 5_400_000),
            ("1 hour, 30 minutes", 5_400_000),
            ("1.5h", 5_400_000),
            ("1:30:00", 5_400_000),
            ("2d", 172_800_000),
            ("1w", 604_800_000),
            ("1d2h3m4s5ms", 93_784_005),
            ("250ms", 250),
            ("90", 90_000),
            ("1.5", 1_500),
            ("0", 0),
            ("0s", 0),
        ] {
            assert_eq!(
                parse_duration(text),
                Ok(Duration::from_millis(ms)),
                "{text}"
            );
        }
    }

    #[test]
    fn a_text_that_is_not_a_duration_is_refused_with_examples() {
        for text in [
            "",
            "s",
            "10x",
            "30m1h",
            "1s1s",
            ".",
            "1h30",
            "-5",
            "99999999999999999999s",
            "99999999999999999d",
            "9e9",
            "P1D",
        ] {
            let expected = format!(
                "`{text}` is not a duration; write 90s, 5m, 1h 30m, 2d or a number of seconds"
            );
            assert_eq!(parse_duration(text), Err(expected));
        }
    }

    #[test]
    fn a_duration_that_is_negative_too_long_or_of_no_fixed_length_is_refused() {
        for (text, expected) in [
            ("-5s", "`-5s` is negative; a duration is not"),
            ("5s ago", "`5s ago` is negative; a duration is not"),
            (
                "99999999999999999999",
                "`99999999999999999999` seconds is too long",
            ),
            (
                "1mo",
                "`1mo` has no fixed length, because months and years differ; write days",
            ),
            (
                "1y 2d",
                "`1y 2d` has no fixed length, because months and years differ; write days",
            ),
        ] {
            assert_eq!(parse_duration(text), Err(expected.to_owned()));
        }
    }

    #[test]
    fn a_duration_is_printed_to_a_tenth_of_a_second() {
        for (ms, text) in [
            (0, "0.0 s"),
            (49, "0.0 s"),
            (50, "0.1 s"),
            (4_249, "4.2 s"),
            (59_960, "1 m 0.0 s"),
            (96_100, "1 m 36.1 s"),
            (7_205_000, "2 h 5.0 s"),
        ] {
            assert_eq!(friendly(Duration::from_millis(ms)), text, "{ms}");
        }
    }

    proptest! {
        #[test]
        fn whole_numbers_of_units_in_descending_order_add_up(
            numbers in prop::collection::vec(prop::option::of(0u64..1_000), 5),
        ) {
            const UNITS: [(&str, u64); 5] = [
                ("d", 86_400_000),
                ("h", 3_600_000),
                ("m", 60_000),
                ("s", 1_000),
                ("ms", 1),
            ];
            let parts = || numbers.iter().zip(UNITS).filter_map(|(number, unit)| Some(((*number)?, unit)));
            prop_assume!(parts().next().is_some());
            let text: String = parts().map(|(number, (name, _))| format!("{number}{name}")).collect();
            let ms: u64 = parts().map(|(number, (_, unit_ms))| number * unit_ms).sum();
            prop_assert_eq!(parse_duration(&text), Ok(Duration::from_millis(ms)));
        }

        #[test]
        fn a_printed_duration_is_read_back(tenths in 0u64..100_000_000) {
            let duration = Duration::from_millis(tenths * 100);
            prop_assert_eq!(parse_duration(&friendly(duration)), Ok(duration));
        }
    }
}

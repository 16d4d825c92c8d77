//! Spans of time as people write them on a command line.

use std::time::Duration;

/// Parses `10s`, `5m`, `1h30m`, `2d`, `250ms`, or a bare number of seconds (`90`, `1.5`).
///
/// Parts with a unit are whole numbers, each unit at most once and from the largest down, so that a slip of the finger is
/// an error and not another span.
///
/// # Errors
/// A sentence for the person who typed it.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    const UNITS: [(&str, u64); 5] = [
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1_000),
        ("ms", 1),
    ];
    let expected = || format!("`{text}` is not a duration; write 10s, 5m, 1h30m or seconds");
    if text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.')
    {
        let seconds: f64 = text.parse().map_err(|_| expected())?;
        return Duration::try_from_secs_f64(seconds)
            .map_err(|_| format!("`{text}` seconds is too long"));
    }
    let mut rest = text;
    let mut total_ms = 0u64;
    let mut units = UNITS.iter();
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at(digits);
        let letters = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (name, tail) = tail.split_at(letters);
        let number: u64 = number.parse().map_err(|_| expected())?;
        // The iterator goes on where the unit before was found: a repeated or a larger unit is not found any more.
        let (_, unit_ms) = units.find(|(unit, _)| *unit == name).ok_or_else(expected)?;
        total_ms = number
            .checked_mul(*unit_ms)
            .and_then(|part_ms| total_ms.checked_add(part_ms))
            .ok_or_else(|| format!("`{text}` is too long"))?;
        rest = tail;
    }
    Ok(Duration::from_millis(total_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_read_with_units_or_as_seconds() {
        for (text, ms) in [
            ("10s", 10_000),
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("1d2h3m4s5ms", 93_784_005),
            ("250ms", 250),
            ("90", 90_000),
            ("1.5", 1_500),
            ("0", 0),
        ] {
            assert_eq!(
                parse_duration(text),
                Ok(Duration::from_millis(ms)),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_not_a_duration_is_refused() {
        for text in [
            "",
            "s",
            "10x",
            "-5s",
            "1.5m",
            "30m1h",
            "1s1s",
            "1 s",
            ".",
            "1h30",
            "99999999999999999999s",
            "99999999999999999d",
            "9e9",
        ] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}

//! Rare forms of times: the basic form of ISO 8601, without hyphens and colons, and numbers without leading zeros.

use super::{Civil, Timestamp, TimestampError, fraction, is_separator, offset};

/// Parses a text in a rare form.
#[cold]
pub(super) fn parse(text: &[u8]) -> Result<Timestamp, TimestampError> {
    let separator = text.iter().position(|&byte| is_separator(byte));
    let (date, clock) = text.split_at(separator.ok_or(TimestampError::NotATime)?);
    // Skips the separator.
    let clock = &clock[1..];
    if date.contains(&b'-') {
        short(date, clock)
    } else {
        basic(date, clock)
    }
}

/// `20261120` and `130000`, or `1300`.
fn basic(date: &[u8], clock: &[u8]) -> Result<Timestamp, TimestampError> {
    let (date, after) = number(date);
    let (time, rest) = number(clock);
    let ([y1, y2, y3, y4, m1, m2, d1, d2], []) = (date, after) else {
        return Err(TimestampError::NotATime);
    };
    let (hour, minute, second) = match time {
        [h1, h2, m1, m2] => ([*h1, *h2], [*m1, *m2], None),
        [h1, h2, m1, m2, s1, s2] => ([*h1, *h2], [*m1, *m2], Some([*s1, *s2])),
        _ => return Err(TimestampError::NotATime),
    };
    let (micros, rest) = match (second, rest) {
        (Some(_), [b'.' | b',', after @ ..]) => fraction(after)?,
        _ => (0, rest),
    };
    Civil {
        year: value(&[*y1, *y2, *y3, *y4]),
        month: small(&[*m1, *m2]),
        day: small(&[*d1, *d2]),
        hour: small(&hour),
        minute: small(&minute),
        second: second.map_or(0, |second| small(&second)),
        micros,
    }
    .east(offset(rest)?)
}

/// `2026-1-5` and `9:05:00`, or `9:05`. A minute or a second of one digit is refused, because a zero may be missing before or after the
/// digit.
fn short(date: &[u8], clock: &[u8]) -> Result<Timestamp, TimestampError> {
    let (year, rest) = number(date);
    let (month, rest) = number(past(b'-', rest)?);
    let (day, rest) = number(past(b'-', rest)?);
    let is_date = year.len() == 4 && is_short(month) && is_short(day) && rest.is_empty();
    let (hour, rest) = number(clock);
    if !is_date || !is_short(hour) {
        return Err(TimestampError::NotATime);
    }
    let (minute, mut rest) = number(past(b':', rest)?);
    two(minute, "minute")?;
    let mut second = 0;
    let mut micros = 0;
    if let [b':', after @ ..] = rest {
        let (digits, after) = number(after);
        two(digits, "second")?;
        second = small(digits);
        rest = after;
        if let [b'.' | b',', after @ ..] = rest {
            (micros, rest) = fraction(after)?;
        }
    }
    Civil {
        year: value(year),
        month: small(month),
        day: small(day),
        hour: small(hour),
        minute: small(minute),
        second,
        micros,
    }
    .east(offset(rest)?)
}

/// The digits at the beginning of a text, and the rest of the text.
fn number(text: &[u8]) -> (&[u8], &[u8]) {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    text.split_at(digits)
}

/// The text after the byte `byte`. The byte has to come first.
fn past(byte: u8, text: &[u8]) -> Result<&[u8], TimestampError> {
    match text {
        [first, rest @ ..] if *first == byte => Ok(rest),
        _ => Err(TimestampError::NotATime),
    }
}

fn is_short(digits: &[u8]) -> bool {
    matches!(digits.len(), 1 | 2)
}

/// Checks that a number has two digits.
fn two(digits: &[u8], what: &'static str) -> Result<(), TimestampError> {
    match digits.len() {
        2 => Ok(()),
        1 => Err(TimestampError::OneDigit(what)),
        _ => Err(TimestampError::NotATime),
    }
}

/// The number of up to four digits.
fn value(digits: &[u8]) -> i64 {
    let digits = digits.iter().map(|digit| i64::from(digit - b'0'));
    digits.fold(0, |value, digit| value * 10 + digit)
}

/// The number of up to two digits.
fn small(digits: &[u8]) -> u8 {
    let digits = digits.iter().map(|digit| digit - b'0');
    digits.fold(0, |value, digit| value * 10 + digit)
}

//! A timestamp reads back from its own text, the texts sort as the timestamps do, and optional parts and other spellings give
//! the same timestamp.
#![no_main]

use fieldstation::readings::{Timestamp, TimestampError};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&[u8], i64)| {
    let (text, micros) = input;
    if let Ok(time) = Timestamp::parse(text) {
        check(time);
        // Nothing shorter than a day and a time, nothing that holds another letter.
        assert!(text.len() >= 13 && text.is_ascii());
        assert_eq!(Timestamp::parse(&usual(text)), Ok(time));
        // The same without an offset, when the offset is UTC's.
        if let [rest @ .., b'Z' | b'z'] = text {
            assert_eq!(Timestamp::parse(rest), Ok(time));
        }
        // A time that is there cannot be refused for being shifted by an hour, unless that leaves the years.
        let (_, clock) = halves(text);
        if !clock
            .iter()
            .any(|byte| matches!(byte, b'+' | b'-' | b'Z' | b'z'))
        {
            let hour = 3_600_000_000;
            let shifted = [text, b"+01:00"].concat();
            match Timestamp::from_micros(time.micros() - hour) {
                Some(expected) => assert_eq!(Timestamp::parse(&shifted), Ok(expected)),
                None => assert_eq!(Timestamp::parse(&shifted), Err(TimestampError::OutOfRange)),
            }
        }
    }
    match Timestamp::from_micros(micros) {
        Some(time) => {
            check(time);
            for text in others(&time.to_string()) {
                assert_eq!(text.parse(), Ok(time), "{text}");
            }
        }
        None => assert!(!(Timestamp::MIN.micros()..=Timestamp::MAX.micros()).contains(&micros)),
    }
});

/// What stands before and after the separator.
fn halves(text: &[u8]) -> (&[u8], &[u8]) {
    let at = text
        .iter()
        .position(|byte| matches!(byte, b'T' | b't' | b' '));
    let at = at.expect("a time without a separator");
    (&text[..at], &text[at + 1..])
}

/// A time that was taken, with all the hyphens, colons and zeros that it may do without.
fn usual(text: &[u8]) -> Vec<u8> {
    let (date, clock) = halves(text);
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut usual = Vec::new();
    if date.contains(&b'-') {
        let parts = date.split(|byte| *byte == b'-');
        usual.extend(parts.map(padded).collect::<Vec<_>>().join(&b'-'));
        let hour = digits(clock);
        usual.push(b'T');
        usual.extend(padded(&clock[..hour]));
        usual.extend_from_slice(&clock[hour..]);
    } else {
        usual.extend([&date[..4], &date[4..6], &date[6..]].join(&b'-'));
        let end = digits(clock);
        usual.push(b'T');
        usual.extend(clock[..end].chunks(2).collect::<Vec<_>>().join(&b':'));
        usual.extend_from_slice(&clock[end..]);
    }
    assert!(usual.len() >= 16);
    usual
}

fn padded(number: &[u8]) -> Vec<u8> {
    let zero = if number.len() == 1 { &b"0"[..] } else { b"" };
    [zero, number].concat()
}

/// A time as it is printed, in the other spellings.
fn others(printed: &str) -> [String; 2] {
    let basic = printed.replace(['-', ':'], "");
    let (date, clock) = printed.split_once('T').unwrap();
    let short = |number: &str| number.strip_prefix('0').unwrap_or(number).to_owned();
    let (year, day) = date.split_once('-').unwrap();
    let (month, day) = day.split_once('-').unwrap();
    let (hour, rest) = clock.split_once(':').unwrap();
    let one_digit = format!(
        "{year}-{}-{} {}:{rest}",
        short(month),
        short(day),
        short(hour)
    );
    [basic, one_digit]
}

fn check(time: Timestamp) {
    assert!((Timestamp::MIN..=Timestamp::MAX).contains(&time));
    let printed = time.to_string();
    assert_eq!(printed.parse(), Ok(time), "printed as {printed}");
    assert_eq!(printed.as_bytes()[10], b'T');
    assert!(printed.ends_with('Z'));
    // The seconds of two times compare as their texts do.
    if let Some(next) = Timestamp::from_micros(time.micros().saturating_add(1_000_000)) {
        assert!(printed[..19] < next.to_string()[..19]);
    }
}

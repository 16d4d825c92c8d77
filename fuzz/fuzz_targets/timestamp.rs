//! A time reads back from its own text, which sorts as the times do, and means the same without what may be left out.
#![no_main]

use fieldstation::readings::{Timestamp, TimestampError};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&[u8], i64)| {
    let (text, micros) = input;
    if let Ok(time) = Timestamp::parse(text) {
        check(time);
        // Nothing shorter than a day and a time, nothing that holds another letter.
        assert!(text.len() >= 16 && text.is_ascii());
        // The same without an offset, when the offset is UTC's.
        if let [rest @ .., b'Z' | b'z'] = text {
            assert_eq!(Timestamp::parse(rest), Ok(time));
        }
        // A time that is there cannot be refused for being shifted by an hour, unless that leaves the years.
        if !text[10..]
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
        Some(time) => check(time),
        None => assert!(!(Timestamp::MIN.micros()..=Timestamp::MAX.micros()).contains(&micros)),
    }
});

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

//! The fast path: a reading in plain JSON, as nearly every device sends readings.

use std::borrow::Cow;

use super::Item;
use crate::readings::{Temperature, Timestamp};

/// Reads an object with each known field at most once, strings without escapes, and the temperature as a plain number. `None` for
/// any other text, correct or not; the general path reads such texts.
pub(super) fn item(text: &str) -> Option<Item<'_>> {
    let mut cursor = Cursor { text, at: 0 };
    let mut sensor_id = None;
    let mut timestamp = None;
    let mut temperature = None;
    cursor.expect(b'{')?;
    loop {
        cursor.expect(b'"')?;
        if cursor.skip(b"sensorId\"") || cursor.skip(b"sensorID\"") {
            cursor.expect(b':')?;
            if sensor_id.replace(cursor.string()?).is_some() {
                return None;
            }
        } else if cursor.skip(b"timestamp\"") || cursor.skip(b"time\"") {
            cursor.expect(b':')?;
            if timestamp.replace(cursor.timestamp()?).is_some() {
                return None;
            }
        } else if cursor.skip(b"temperature\"") {
            cursor.expect(b':')?;
            let parsed = Temperature::parse(cursor.number()?).ok()?;
            if temperature.replace(parsed).is_some() {
                return None;
            }
        } else if cursor.skip(b"sensor_id\"") {
            cursor.expect(b':')?;
            if sensor_id.replace(cursor.string()?).is_some() {
                return None;
            }
        } else {
            return None;
        }
        match cursor.token()? {
            b',' => {}
            b'}' => break,
            _ => return None,
        }
    }
    cursor.is_at_end().then_some(Item {
        sensor_id: Cow::Borrowed(sensor_id?),
        timestamp,
        temperature: temperature?,
    })
}

struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\r' | b'\n') = self.rest().first() {
            self.at += 1;
        }
    }

    /// The next byte, after any white space.
    fn token(&mut self) -> Option<u8> {
        self.skip_space();
        let byte = *self.rest().first()?;
        self.at += 1;
        Some(byte)
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        // Few objects have white space between tokens.
        if self.rest().first() == Some(&byte) {
            self.at += 1;
            return Some(());
        }
        (self.token()? == byte).then_some(())
    }

    /// Skips `bytes` if they are next.
    fn skip<const LENGTH: usize>(&mut self, bytes: &[u8; LENGTH]) -> bool {
        let next = self.rest().first_chunk::<LENGTH>() == Some(bytes);
        if next {
            self.at += LENGTH;
        }
        next
    }

    /// A string without escapes.
    fn string(&mut self) -> Option<&'a str> {
        self.expect(b'"')?;
        let start = self.at;
        self.at += plain_length(self.rest());
        let inside = self.text.get(start..self.at)?;
        (*self.rest().first()? == b'"').then(|| self.at += 1)?;
        Some(inside)
    }

    /// A timestamp in a string.
    fn timestamp(&mut self) -> Option<Timestamp> {
        /// The length of `2026-11-20T13:00:00Z`. A text that parses as a timestamp has neither a quote nor an escape.
        const USUAL_LENGTH: usize = 20;
        self.expect(b'"')?;
        let rest = self.rest();
        if rest.get(USUAL_LENGTH) == Some(&b'"')
            && let Ok(timestamp) = Timestamp::parse(&rest[..USUAL_LENGTH])
        {
            self.at += USUAL_LENGTH + 1;
            return Some(timestamp);
        }
        let length = plain_length(rest);
        (*rest.get(length)? == b'"').then(|| self.at += length + 1)?;
        Timestamp::parse(&rest[..length]).ok()
    }

    /// A number without an exponent, in the grammar of JSON.
    fn number(&mut self) -> Option<&'a [u8]> {
        self.skip_space();
        let rest = self.rest();
        let sign = usize::from(rest.first() == Some(&b'-'));
        let whole = digits(&rest[sign..]);
        if whole == 0 || (whole > 1 && rest[sign] == b'0') {
            return None;
        }
        let mut length = sign + whole;
        if rest.get(length) == Some(&b'.') {
            let fraction = digits(&rest[length + 1..]);
            if fraction == 0 {
                return None;
            }
            length += 1 + fraction;
        }
        self.at += length;
        Some(&rest[..length])
    }

    fn is_at_end(&mut self) -> bool {
        self.skip_space();
        self.at == self.text.len()
    }
}

/// The number of digits at the beginning of a text.
fn digits(text: &[u8]) -> usize {
    text.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

/// The number of bytes before the first quote, backslash or control character, found eight bytes at a time.
fn plain_length(text: &[u8]) -> usize {
    /// A byte, eight times.
    const fn all(byte: u8) -> u64 {
        u64::from_ne_bytes([byte; 8])
    }
    /// Sets the highest bit of each byte below `limit`, which is at most 128. Only the first set bit is reliable.
    const fn below(word: u64, limit: u8) -> u64 {
        word.wrapping_sub(all(limit)) & !word & all(0x80)
    }
    let mut words = text.chunks_exact(8);
    let mut length = 0;
    for word in words.by_ref() {
        let word = word.try_into().map_or(0, u64::from_le_bytes);
        let special = below(word ^ all(b'"'), 1) | below(word ^ all(b'\\'), 1) | below(word, 0x20);
        if special != 0 {
            return length + (special.trailing_zeros() / 8) as usize;
        }
        length += 8;
    }
    let special = |byte: &&u8| matches!(**byte, b'"' | b'\\' | 0..=0x1f);
    length
        + words
            .remainder()
            .iter()
            .take_while(|byte| !special(byte))
            .count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Pieces for objects that are plain, nearly plain, or not JSON.
    const PIECES: &[&str] = &[
        "{",
        "}",
        ",",
        ":",
        " ",
        "\n",
        "\"sensorId\":",
        "\"sensorID\":",
        "\"sensor_id\":",
        "\"timestamp\":",
        "\"time\":",
        "\"temperature\":",
        "\"extra\":",
        "\"a\"",
        "\"\\u0061\"",
        "\"é\"",
        "\"\"",
        "\" a \"",
        "18",
        "-0",
        "01",
        "1.5",
        "1.",
        "-",
        "1e3",
        "1E400",
        "\"18\"",
        "null",
        "true",
        "NaN",
        "[1]",
        "\"2026-11-20T13:00:00Z\"",
        "\"2026-11-20 13:00\"",
        "\"20261120T130000\"",
        "\"2026-1-5 9:05:00.123Z\"",
        "\"2026-11-20T13:00:60Z\"",
        "\"2026-11-20T13:00:00.1234567+01:00\"",
        "\u{1}",
        "\u{feff}",
    ];

    /// Objects of known fields, mostly plain.
    fn objects() -> impl Strategy<Value = String> {
        let key = prop::sample::select(&PIECES[6..13]);
        let value = prop::sample::select(&PIECES[13..]);
        let field = (key, value).prop_map(|(key, value)| format!("{key}{value}"));
        prop::collection::vec(field, 0..5).prop_map(|fields| format!("{{{}}}", fields.join(",")))
    }

    fn pieces() -> impl Strategy<Value = String> {
        prop::collection::vec(prop::sample::select(PIECES), 0..14).prop_map(|all| all.concat())
    }

    fn numbers() -> impl Strategy<Value = String> {
        "-?[0-9]{0,20}(\\.[0-9]{0,20})?([eE][+-]?[0-9]{1,3})?"
            .prop_map(|number| format!(r#"{{"sensorId":"a","temperature":{number}}}"#))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn agrees_with_the_general_path(text in prop_oneof![objects(), pieces(), numbers()]) {
            if let Some(item) = item(&text) {
                prop_assert_eq!(Item::from_any_json(&text), Ok(item));
            }
        }
    }

    proptest! {
        #[test]
        fn eight_at_a_time_finds_the_first(text in prop::collection::vec(
            prop_oneof![Just(b'"'), Just(b'\\'), any::<u8>(), 0x1eu8..0x24, Just(b'a')], 0..40,
        )) {
            let special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..=0x1f);
            let first = text.iter().position(special).unwrap_or(text.len());
            prop_assert_eq!(plain_length(&text), first);
        }
    }

    #[test]
    fn plain_text_takes_this_path() {
        for text in [
            r#"{"sensorId":"s-1","timestamp":"2026-11-20T13:00:00Z","temperature":-21.5}"#,
            r#" { "temperature" : 0 , "sensorID" : "é" } "#,
            r#"{"sensor_id":"a","time":"20261120T130000","temperature":1}"#,
        ] {
            assert!(item(text).is_some(), "{text}");
        }
    }
}

//! The fast path: a reading in plain JSON, as nearly every device spells it.

use std::borrow::Cow;

use super::Item;
use crate::readings::{Temperature, Timestamp};

/// Reads an object that holds the known fields once each in any order, strings without escapes, and the temperature as a
/// plain number. `None` means that the general path has to look, not that anything is wrong.
pub(super) fn item(text: &str) -> Option<Item<'_>> {
    let mut cursor = Cursor { text, at: 0 };
    let mut sensor_id = None;
    let mut timestamp = None;
    let mut temperature = None;
    cursor.expect(b'{')?;
    loop {
        let key = cursor.string()?;
        cursor.expect(b':')?;
        match key {
            "timestamp" | "time" if timestamp.is_none() => {
                timestamp = Some(Timestamp::parse(cursor.string()?.as_bytes()).ok()?);
            }
            "sensorId" | "sensorID" if sensor_id.is_none() => sensor_id = Some(cursor.string()?),
            "temperature" if temperature.is_none() => {
                temperature = Some(Temperature::parse(cursor.number()?).ok()?);
            }
            _ => return None,
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
    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\r' | b'\n') = self.text.as_bytes().get(self.at) {
            self.at += 1;
        }
    }

    /// The next byte that is not white space.
    fn token(&mut self) -> Option<u8> {
        self.skip_space();
        let byte = *self.text.as_bytes().get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.token()? == byte).then_some(())
    }

    /// A string without escapes.
    fn string(&mut self) -> Option<&'a str> {
        self.expect(b'"')?;
        let start = self.at;
        loop {
            match *self.text.as_bytes().get(self.at)? {
                b'"' => break,
                b'\\' | 0..=0x1f => return None,
                _ => self.at += 1,
            }
        }
        let inside = self.text.get(start..self.at)?;
        self.at += 1;
        Some(inside)
    }

    /// A number without an exponent, in the grammar of JSON.
    fn number(&mut self) -> Option<&'a [u8]> {
        self.skip_space();
        let bytes = self.text.as_bytes();
        let start = self.at;
        if bytes.get(self.at) == Some(&b'-') {
            self.at += 1;
        }
        let leading = self.at;
        let whole_digits = self.digits();
        if whole_digits == 0 || (whole_digits > 1 && bytes.get(leading) == Some(&b'0')) {
            return None;
        }
        if bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            if self.digits() == 0 {
                return None;
            }
        }
        bytes.get(start..self.at)
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.text.as_bytes().get(self.at) {
            self.at += 1;
        }
        self.at - start
    }

    fn is_at_end(&mut self) -> bool {
        self.skip_space();
        self.at == self.text.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Pieces that make up objects that are plain, nearly plain, or not JSON.
    const PIECES: &[&str] = &[
        "{",
        "}",
        ",",
        ":",
        " ",
        "\n",
        "\"sensorId\":",
        "\"sensorID\":",
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
        "\"2026-11-20T13:00:60Z\"",
        "\"2026-11-20T13:00:00.1234567+01:00\"",
        "\u{1}",
        "\u{feff}",
    ];

    /// Objects of known fields, mostly plain.
    fn objects() -> impl Strategy<Value = String> {
        let key = prop::sample::select(&PIECES[6..12]);
        let value = prop::sample::select(&PIECES[12..]);
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

    #[test]
    fn plain_text_takes_this_path() {
        for text in [
            r#"{"sensorId":"s-1","timestamp":"2026-11-20T13:00:00Z","temperature":-21.5}"#,
            r#" { "temperature" : 0 , "sensorID" : "é" } "#,
        ] {
            assert!(item(text).is_some(), "{text}");
        }
    }
}

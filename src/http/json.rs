//! JSON written by hand, where that is as clear as deriving it and allocates less.

use std::fmt::Write as _;
use std::io::Write as _;

/// Appends a JSON string.
pub fn write_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut plain_from = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        let escape: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            0..=0x1f => b"",
            _ => continue,
        };
        out.extend_from_slice(&bytes[plain_from..at]);
        plain_from = at + 1;
        if escape.is_empty() {
            const HEX: &[u8; 16] = b"0123456789abcdef";
            out.extend_from_slice(b"\\u00");
            out.push(HEX[usize::from(byte >> 4)]);
            out.push(HEX[usize::from(byte & 15)]);
        } else {
            out.extend_from_slice(escape);
        }
    }
    out.extend_from_slice(&bytes[plain_from..]);
    out.push(b'"');
}

/// Appends a whole number.
pub fn write_integer(out: &mut Vec<u8>, number: u64) {
    // Writing to memory does not fail.
    let _ = write!(out, "{number}");
}

/// Appends the shortest decimal text that reads back the same: `10`, not `10.0`.
pub fn write_number(out: &mut Vec<u8>, number: f64) {
    // As above. The negative zero of IEEE 754 is no number that a person expects.
    let _ = write!(out, "{}", number + 0.0);
}

/// A whole number with its thousands separated, for people: `1,204,331`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3 + 1);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        // Writing to memory does not fail.
        let _ = text.write_char(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_read_back_the_same() {
        for text in ["", "plain", "a\"b\\c", "\u{0}\u{1f}\n\r\t", "é 💡 \u{7f}"] {
            let mut out = Vec::new();
            write_string(&mut out, text);
            assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        }
    }

    #[test]
    fn numbers_are_short() {
        for (number, text) in [
            (10.0, "10"),
            (-0.0, "0"),
            (0.1, "0.1"),
            (-273.15, "-273.15"),
        ] {
            let mut out = Vec::new();
            write_number(&mut out, number);
            assert_eq!(out, text.as_bytes());
        }
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (1_204_331, "1,204,331"),
        ] {
            assert_eq!(grouped(number), text);
        }
    }
}

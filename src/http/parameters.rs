//! Parameters of header fields (RFC 9110, section 5.6.6), as in `form-data; name="file"`.

use percent_encoding::percent_decode_str;

/// The parameters after the first semicolon: names in lower case, and values without their quotes. `None` when one is malformed.
pub fn parameters(text: &str) -> Option<Vec<(String, String)>> {
    let mut found = Vec::new();
    let mut rest = text.split_once(';').map_or("", |(_, rest)| rest);
    loop {
        rest = rest.trim_start_matches([' ', '\t', ';']);
        if rest.is_empty() {
            return Some(found);
        }
        let (name, after) = rest.split_once('=')?;
        let after = after.trim_start_matches([' ', '\t']);
        let value;
        (value, rest) = match after.strip_prefix('"') {
            Some(quoted) => unquoted(quoted)?,
            None => {
                let end = after.find(';').unwrap_or(after.len());
                let (value, rest) = after.split_at(end);
                (value.trim_end().to_owned(), rest)
            }
        };
        found.push((name.trim().to_ascii_lowercase(), value));
    }
}

/// The text up to the closing quotation mark, and the text after that mark. A backslash escapes a quotation mark or a backslash
/// and nothing else, since some clients send the backslashes of a path unescaped.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut rest = text;
    loop {
        let at = rest.find(['"', '\\'])?;
        value.push_str(&rest[..at]);
        if rest[at..].starts_with('"') {
            return Some((value, &rest[at + 1..]));
        }
        let escaped = rest[at + 1..].chars().next()?;
        if !matches!(escaped, '"' | '\\') {
            value.push('\\');
        }
        value.push(escaped);
        rest = &rest[at + 1 + escaped.len_utf8()..];
    }
}

/// Decodes an extended value such as `UTF-8''%E2%82%AC` (RFC 8187); `None` when its character set is not UTF-8.
pub fn extended(value: &str) -> Option<String> {
    let mut parts = value.splitn(3, '\'');
    let (charset, _language, encoded) = (parts.next()?, parts.next()?, parts.next()?);
    if !charset.eq_ignore_ascii_case("utf-8") {
        return None;
    }
    let decoded = percent_decode_str(encoded).decode_utf8().ok()?;
    Some(decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_or_malformed() {
        let read = |text: &str| {
            let pairs = parameters(text)?.into_iter();
            Some(
                pairs
                    .map(|(name, value)| format!("{name}={value}"))
                    .collect::<Vec<_>>()
                    .join("|"),
            )
        };
        for (text, expected) in [
            ("a/b", Some("")),
            ("a/b;", Some("")),
            ("a/b; X=1;; y = 2 ", Some("x=1|y=2")),
            (r#"a; b="c;\"d\\";e=f"#, Some(r#"b=c;"d\|e=f"#)),
            (r#"a; b="C:\Temp""#, Some(r"b=C:\Temp")),
            ("a; b", None),
            ("a; b=\"c", None),
        ] {
            assert_eq!(read(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn extended_values_are_utf_8() {
        for (value, expected) in [
            ("UTF-8''%e2%82%ac%", Some("€%")),
            ("utf-8'de'a+b", Some("a+b")),
            ("UTF-8''%c3%28", None),
            ("ISO-8859-1''a", None),
            ("a", None),
        ] {
            assert_eq!(extended(value).as_deref(), expected, "{value}");
        }
    }
}

//! The words around the parts of a form: the boundary in a content type, and what a part says of itself.

/// What the head of a part says of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PartHead {
    /// The name of the field.
    pub(crate) field: Option<String>,
    /// What the file was called; `Some("")` where a form was sent without choosing one.
    pub(crate) file_name: Option<String>,
    /// The media type.
    pub(crate) content_type: Option<String>,
    /// How the bytes are written, if not as they are.
    pub(crate) transfer_encoding: Option<String>,
}

impl PartHead {
    /// Reads the lines of a head; `None` when one of them is not a header.
    pub(crate) fn parse(head: &str) -> Option<Self> {
        let mut parsed = Self::default();
        for line in head.split("\r\n").filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(':')?;
            let value = value.trim_matches([' ', '\t']);
            match name.to_ascii_lowercase().as_str() {
                "content-disposition" => {
                    let mut extended = None;
                    for (name, value) in parameters(value)? {
                        match name.as_str() {
                            "name" => parsed.field = Some(value),
                            "filename" => parsed.file_name = Some(value.replace("%22", "\"")),
                            "filename*" => extended = utf8_extended(&value),
                            _ => {}
                        }
                    }
                    parsed.file_name = extended.or(parsed.file_name);
                }
                "content-type" => parsed.content_type = Some(value.to_owned()),
                "content-transfer-encoding" => {
                    parsed.transfer_encoding = Some(value.to_ascii_lowercase());
                }
                // Nothing else says anything about a form, a length least of all.
                _ => {}
            }
        }
        Some(parsed)
    }
}

/// The boundary that a content type of `multipart/form-data` names, as RFC 2046 allows it.
pub(crate) fn boundary(content_type: &str) -> Option<String> {
    const BYTES_MAX: usize = 70;
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&byte);
    parameters(content_type)?
        .into_iter()
        .find(|(name, _)| name == "boundary")
        .map(|(_, boundary)| boundary)
        .filter(|boundary| {
            (1..=BYTES_MAX).contains(&boundary.len())
                && boundary.bytes().all(is_allowed)
                && !boundary.ends_with(' ')
        })
}

/// What follows the first semicolon: names in lower case, and values without their quotes.
fn parameters(text: &str) -> Option<Vec<(String, String)>> {
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

/// A text up to its closing quotation mark, and what follows that. Only quotation marks and backslashes are escaped: some
/// clients send the backslashes of a path as they are.
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

/// `UTF-8''%E2%82%AC` (RFC 8187).
fn utf8_extended(value: &str) -> Option<String> {
    let mut parts = value.splitn(3, '\'');
    let (charset, _language, encoded) = (parts.next()?, parts.next()?, parts.next()?);
    if !charset.eq_ignore_ascii_case("utf-8") {
        return None;
    }
    crate::http::percent_decode(encoded, false).map(std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boundaries_are_found_or_missed() {
        for (content_type, expected) in [
            ("multipart/form-data; boundary=abc", Some("abc")),
            (
                "multipart/form-data; charset=utf-8; Boundary=\"a b:c\"",
                Some("a b:c"),
            ),
            (
                "multipart/form-data;boundary=----WebKit123 ",
                Some("----WebKit123"),
            ),
            ("multipart/form-data", None),
            ("multipart/form-data; boundary", None),
            ("multipart/form-data; boundary=", None),
            ("multipart/form-data; boundary=\"a", None),
            ("multipart/form-data; boundary=\"a \"", None),
            ("multipart/form-data; boundary=é", None),
            (
                &format!("multipart/form-data; boundary={}", "a".repeat(71)),
                None,
            ),
        ] {
            assert_eq!(
                boundary(content_type).as_deref(),
                expected,
                "{content_type}"
            );
        }
    }

    #[test]
    fn heads_are_read_as_clients_write_them() {
        let names = |disposition: &str| {
            let head = format!("Content-Disposition: {disposition}\r\nX: y");
            let head = PartHead::parse(&head)?;
            Some((head.field?, head.file_name))
        };
        for (disposition, field, file_name) in [
            (
                "form-data; name=\"file\"; filename=\"a.png\"",
                "file",
                Some("a.png"),
            ),
            (
                "form-data; name=file; filename=a.png",
                "file",
                Some("a.png"),
            ),
            (
                "form-data; filename=\"na\\\"me;\\\\\"; name=\"file\"",
                "file",
                Some("na\"me;\\"),
            ),
            (
                "form-data; name=\"file\"; filename=\"a%22b\"",
                "file",
                Some("a\"b"),
            ),
            (
                "form-data; name=\"file\"; filename=\"C:\\Temp\\x\"",
                "file",
                Some("C:\\Temp\\x"),
            ),
            (
                "form-data; name=\"file\"; filename=\"_\"; filename*=UTF-8''%e2%82%ac",
                "file",
                Some("€"),
            ),
            ("form-data; name=\"name=\\\"file\"", "name=\"file", None),
            ("form-data; name=\"\"; filename=\"\"", "", Some("")),
        ] {
            let expected = Some((field.to_owned(), file_name.map(str::to_owned)));
            assert_eq!(names(disposition), expected, "{disposition}");
        }
        for bad in ["form-data; name=\"file", "form-data; name", "form-data"] {
            assert_eq!(names(bad), None, "{bad}");
        }
        assert_eq!(PartHead::parse("no header"), None);
        let head = PartHead::parse("content-type:  image/png \r\nContent-Length: 9").unwrap();
        assert_eq!(head.content_type.as_deref(), Some("image/png"));
    }
}

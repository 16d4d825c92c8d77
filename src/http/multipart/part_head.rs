//! The head of a part of a form.

use crate::http::parameters::{extended, parameters};

/// The head of a part, as far as a form needs it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartHead {
    /// The name of the field.
    pub field: Option<String>,
    /// The name of the file; empty when a person sent a form without choosing a file.
    pub file_name: Option<String>,
    /// The media type of the bytes.
    pub content_type: Option<String>,
    /// The encoding of the bytes, in lower case.
    pub transfer_encoding: Option<String>,
}

impl PartHead {
    /// Reads the lines of a head; `None` when one of them is not a header.
    pub fn parse(head: &str) -> Option<Self> {
        let mut parsed = Self::default();
        for line in head.split("\r\n").filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(':')?;
            let value = value.trim_matches([' ', '\t']);
            match name.to_ascii_lowercase().as_str() {
                "content-disposition" => {
                    let mut extended_name = None;
                    for (name, value) in parameters(value)? {
                        match name.as_str() {
                            "name" => parsed.field = Some(value),
                            "filename" => parsed.file_name = Some(value.replace("%22", "\"")),
                            "filename*" => extended_name = extended(&value),
                            _ => {}
                        }
                    }
                    parsed.file_name = extended_name.or(parsed.file_name);
                }
                "content-type" => parsed.content_type = Some(value.to_owned()),
                "content-transfer-encoding" => {
                    parsed.transfer_encoding = Some(value.to_ascii_lowercase());
                }
                // Other fields have no meaning in a form (RFC 7578, section 4.8).
                _ => {}
            }
        }
        Some(parsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

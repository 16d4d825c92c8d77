//! The types of device files. Every value of these types is valid.

use std::fmt;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use crate::timestamp::Timestamp;

/// The id of a device: 1 to 128 characters, without control characters, and without white space at its ends. All other characters are
/// allowed. An id is never a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId(Arc<str>);

/// The error of a text that is not a device id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceIdError {
    /// The text is empty after trimming.
    #[error("is empty; send 1 to 128 characters")]
    Empty,
    /// The text has more than [`DeviceId::CHARACTERS_MAX`] characters.
    #[error("is longer than 128 characters")]
    TooLong,
    /// The text has a control character, such as a line break or NUL.
    #[error("holds a control character")]
    ControlCharacter,
}

impl DeviceId {
    /// The longest id, in Unicode scalar values.
    pub const CHARACTERS_MAX: usize = 128;

    /// Trims white space from both ends and checks the text.
    ///
    /// # Errors
    /// [`DeviceIdError`] names the broken rule.
    pub fn new(text: &str) -> Result<Self, DeviceIdError> {
        let id = text.trim();
        if id.is_empty() {
            return Err(DeviceIdError::Empty);
        }
        if id.chars().nth(Self::CHARACTERS_MAX).is_some() {
            return Err(DeviceIdError::TooLong);
        }
        if id.chars().any(char::is_control) {
            return Err(DeviceIdError::ControlCharacter);
        }
        Ok(Self(id.into()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The SHA-256 of a file's bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// Parses 64 hexadecimal digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(Self(bytes))
    }
}

/// Hexadecimal digits, as `sha256sum` prints them.
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

/// A media type from the client. The server never guesses a media type from the bytes of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentType(Arc<str>);

impl ContentType {
    /// The longest, in bytes.
    pub const BYTES_MAX: usize = 255;

    /// Checks a text: a type and a subtype of RFC 9110 tokens, then parameters without control characters. Only visible ASCII.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim_matches([' ', '\t']);
        let (essence, _) = text.split_once(';').unwrap_or((text, ""));
        let (kind, subtype) = essence.trim_end_matches([' ', '\t']).split_once('/')?;
        let is_token = |text: &str| {
            !text.is_empty()
                && text
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
        };
        let is_plain = text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() || byte == b' ' || byte == b'\t');
        let is_valid =
            is_plain && is_token(kind) && is_token(subtype) && text.len() <= Self::BYTES_MAX;
        is_valid.then(|| Self(text.into()))
    }

    /// The type as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Bytes of an unknown type.
impl Default for ContentType {
    fn default() -> Self {
        Self("application/octet-stream".into())
    }
}

/// The name of a file on the client: 1 to 255 characters, without directories and control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileName(Arc<str>);

impl FileName {
    /// The longest, in characters.
    pub const CHARACTERS_MAX: usize = 255;

    /// Takes the text after the last slash or backslash, because some clients send a path.
    pub fn new(text: &str) -> Option<Self> {
        let name = text.rsplit(['/', '\\']).next().unwrap_or(text).trim();
        let is_valid = !name.is_empty()
            && name.chars().nth(Self::CHARACTERS_MAX).is_none()
            && !name.chars().any(char::is_control);
        is_valid.then(|| Self(name.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The metadata of a received file, before its publication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewFile {
    /// The size in bytes.
    pub size_bytes: u64,
    /// The media type.
    pub content_type: ContentType,
    /// The name, if there is one.
    pub name: Option<FileName>,
    /// The digest of the bytes.
    pub digest: Digest,
    /// The time of receipt.
    pub time: Timestamp,
}

/// The metadata of a device's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileInfo {
    /// The device.
    pub device: DeviceId,
    /// The file.
    pub file: NewFile,
}

impl FileInfo {
    /// The entity tag. The tag changes exactly when the bytes, the type or the name of the file change. So sending the same file again
    /// does not make the caches of clients stale.
    pub fn tag(&self) -> String {
        const BYTES: usize = 16;
        let mut hasher = Sha256::new();
        hasher.update(self.file.digest.0);
        hasher.update(self.file.content_type.as_str());
        if let Some(name) = &self.file.name {
            // Neither a type nor a name has a line break.
            hasher.update("\n");
            hasher.update(name.as_str());
        }
        hex::encode(&hasher.finalize()[..BYTES])
    }
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Whether there is another page.
    pub more: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_may_have_characters_that_a_path_must_not_have() {
        for id in ["..", "../../etc/passwd", "/", "a\\b", "%2e%2e", "CON", "é"] {
            assert_eq!(DeviceId::new(id).unwrap().as_str(), id);
        }
        let emoji = "💡".repeat(128);
        assert_eq!(DeviceId::new(&emoji).unwrap().as_str(), emoji);
        assert_eq!(DeviceId::new(" a ").unwrap().as_str(), "a");
        for (text, error) in [
            ("", DeviceIdError::Empty),
            (" \u{3000} ", DeviceIdError::Empty),
            ("a\0b", DeviceIdError::ControlCharacter),
            ("a\nb", DeviceIdError::ControlCharacter),
            (&"é".repeat(129), DeviceIdError::TooLong),
        ] {
            assert_eq!(DeviceId::new(text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn only_media_types_are_content_types() {
        for text in ["image/png", "text/plain; charset=utf-8", " a/b ;c=\"d e\" "] {
            assert_eq!(ContentType::new(text).unwrap().as_str(), text.trim());
        }
        let long = format!("a/{}", "b".repeat(254));
        for text in [
            "",
            "png",
            "/png",
            "image/",
            "a b/c",
            "a/b\r\nx: y",
            "a/é",
            &long,
        ] {
            assert_eq!(ContentType::new(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_file_name_has_no_directories() {
        for (text, name) in [
            ("photo.png", Some("photo.png")),
            ("C:\\Temp\\photo.png", Some("photo.png")),
            ("../../etc/passwd", Some("passwd")),
            ("日本.txt", Some("日本.txt")),
            ("", None),
            ("a/", None),
            ("a\0b", None),
            (&"a".repeat(256), None),
        ] {
            let found = FileName::new(text);
            assert_eq!(found.as_ref().map(FileName::as_str), name, "{text:?}");
        }
    }

    #[test]
    fn a_tag_depends_on_bytes_type_and_name_and_not_on_the_time() {
        let info = |byte, content_type: &str, name: Option<&str>, time| FileInfo {
            device: DeviceId::new("a").unwrap(),
            file: NewFile {
                size_bytes: 1,
                content_type: ContentType::new(content_type).unwrap(),
                name: name.and_then(FileName::new),
                digest: Digest([byte; 32]),
                time: Timestamp::from_micros(time).unwrap(),
            },
        };
        let tag = info(1, "a/b", None, 1).tag();
        assert_eq!(tag.len(), 32);
        assert_eq!(info(1, "a/b", None, 2).tag(), tag);
        for other in [
            info(2, "a/b", None, 1),
            info(1, "a/c", None, 1),
            info(1, "a/b", Some("c"), 1),
        ] {
            assert_ne!(other.tag(), tag);
        }
        let digest = Digest([0xa5; 32]);
        assert_eq!(Digest::from_hex(&digest.to_string()), Some(digest));
        assert_eq!(Digest::from_hex("a5"), None);
    }
}

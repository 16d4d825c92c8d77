//! The words of the files domain. None of these can be built invalid.

use std::fmt;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use crate::timestamp::Timestamp;

/// The name of a device: 1 to 128 characters, without control characters, without white space at its ends. It may hold
/// anything else, and is never a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId(Arc<str>);

/// Why a text is not a device id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceIdError {
    /// Nothing is left after trimming.
    #[error("is empty; send 1 to 128 characters")]
    Empty,
    /// More than [`DeviceId::CHARACTERS_MAX`] characters.
    #[error("is longer than 128 characters")]
    TooLong,
    /// A control character, such as a line break or NUL.
    #[error("holds a control character")]
    ControlCharacter,
}

impl DeviceId {
    /// The longest id, in Unicode scalar values.
    pub const CHARACTERS_MAX: usize = 128;

    /// Trims white space from both ends and checks the rest.
    ///
    /// # Errors
    /// [`DeviceIdError`] says which rule is broken.
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
    /// From 64 hexadecimal digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(Self(bytes))
    }
}

/// As hexadecimal digits, which is how `sha256sum` prints it.
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

/// A media type as the client named it: what a file says of itself, never guessed from its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentType(Arc<str>);

impl ContentType {
    /// The longest, in bytes.
    pub const BYTES_MAX: usize = 255;

    /// A type and a subtype of RFC 9110 tokens, then parameters that hold no control characters; visible ASCII only.
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

/// Bytes of which nothing is known.
impl Default for ContentType {
    fn default() -> Self {
        Self("application/octet-stream".into())
    }
}

/// What a file was called where it came from: 1 to 255 characters without directories or control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileName(Arc<str>);

impl FileName {
    /// The longest, in characters.
    pub const CHARACTERS_MAX: usize = 255;

    /// What stands after the last slash or backslash: some clients send a whole path.
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

/// A file that has been received, and is to be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewFile {
    /// Its size in bytes.
    pub size_bytes: u64,
    /// Its media type.
    pub content_type: ContentType,
    /// Its name, if it has one.
    pub name: Option<FileName>,
    /// The digest of its bytes.
    pub digest: Digest,
    /// When it was received.
    pub time: Timestamp,
}

/// What is known of a device's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileInfo {
    /// Whose file it is.
    pub device: DeviceId,
    /// The file.
    pub file: NewFile,
}

impl FileInfo {
    /// A tag that changes whenever the bytes, the type or the name of the file change, and never otherwise, so that sending
    /// the same file again does not make what others have cached stale.
    pub fn tag(&self) -> String {
        const BYTES: usize = 16;
        let mut hasher = Sha256::new();
        hasher.update(self.file.digest.0);
        hasher.update(self.file.content_type.as_str());
        if let Some(name) = &self.file.name {
            // Neither a type nor a name holds a line break.
            hasher.update("\n");
            hasher.update(name.as_str());
        }
        hex::encode(&hasher.finalize()[..BYTES])
    }
}

/// Some items of a longer list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Whether there are more after the last of them.
    pub more: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_may_hold_what_a_path_may_not() {
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
    fn a_content_type_is_a_media_type() {
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
    fn a_tag_follows_bytes_type_and_name_and_not_the_time() {
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

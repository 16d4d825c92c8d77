//! Entity tags and the header fields with lists of entity tags, `If-Match` and `If-None-Match` (RFC 9110, sections 8.8.3 and 13.1).

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

use super::{Problem, ProblemKind};

/// An entity tag: `"a"`, or `W/"a"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntityTag {
    /// Whether the tag begins with `W/`.
    pub is_weak: bool,
    /// The text between the quotes. A byte outside ASCII becomes the character with the same number.
    pub opaque: String,
}

/// The value of `If-Match` or `If-None-Match`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntityTags {
    /// `*`: every tag.
    Any,
    /// The listed tags. The list may be empty.
    List(Vec<EntityTag>),
}

impl EntityTags {
    /// Reads `If-Match`; `None` when the request has no such field.
    ///
    /// # Errors
    /// 400 when the field is neither `*` nor a list of entity tags.
    pub fn if_match(headers: &HeaderMap) -> Result<Option<Self>, Problem> {
        Self::of(headers, &header::IF_MATCH, "If-Match")
    }

    /// Reads `If-None-Match`; `None` when the request has no such field.
    ///
    /// # Errors
    /// 400 when the field is neither `*` nor a list of entity tags.
    pub fn if_none_match(headers: &HeaderMap) -> Result<Option<Self>, Problem> {
        Self::of(headers, &header::IF_NONE_MATCH, "If-None-Match")
    }

    /// Several lines of a field form a single list, joined by commas.
    fn of(headers: &HeaderMap, name: &HeaderName, shown: &str) -> Result<Option<Self>, Problem> {
        let lines: Vec<_> = headers
            .get_all(name)
            .iter()
            .map(HeaderValue::as_bytes)
            .collect();
        if lines.is_empty() {
            return Ok(None);
        }
        match Self::parse(&lines.join(&b',')) {
            Some(tags) => Ok(Some(tags)),
            None => Err(Problem::new(
                ProblemKind::InvalidParameter,
                format!(
                    "the header {shown} is neither * nor a list of entity tags; send * alone, or the ETag of an answer with its \
                     quotes, such as \"2026-11-20T13:00:00.25Z\""
                ),
            )),
        }
    }

    /// Reads `*`, or tags with commas between them. Empty elements of the list are ignored (section 5.6.1.2).
    fn parse(value: &[u8]) -> Option<Self> {
        if trimmed(value) == b"*" {
            return Some(Self::Any);
        }
        let mut tags = Vec::new();
        let mut rest = value;
        loop {
            rest = trimmed(rest);
            if let Some((tag, after)) = EntityTag::cut(rest) {
                tags.push(tag);
                rest = trimmed(after);
            }
            match rest.split_first() {
                None => return Some(Self::List(tags)),
                Some((b',', after)) => rest = after,
                Some(_) => return None,
            }
        }
    }

    /// Whether a tag of the list equals the strong tag `current` by strong comparison. A weak tag never does. `If-Match` uses this
    /// comparison.
    pub fn match_strongly(&self, current: &str) -> bool {
        match self {
            Self::Any => true,
            Self::List(tags) => tags.iter().any(|tag| !tag.is_weak && tag.opaque == current),
        }
    }

    /// Whether a tag of the list, weak or strong, has the text `current`. `If-None-Match` uses this comparison.
    pub fn match_weakly(&self, current: &str) -> bool {
        match self {
            Self::Any => true,
            Self::List(tags) => tags.iter().any(|tag| tag.opaque == current),
        }
    }
}

impl EntityTag {
    /// Reads a single tag; `None` when `value` is something else.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let (tag, rest) = Self::cut(trimmed(value))?;
        rest.is_empty().then_some(tag)
    }

    /// Reads the tag at the beginning of `value`, and returns the tag and the bytes after the tag.
    fn cut(value: &[u8]) -> Option<(Self, &[u8])> {
        // The W is case-sensitive.
        let quoted = value.strip_prefix(b"W/");
        let is_weak = quoted.is_some();
        let text = quoted.unwrap_or(value).strip_prefix(b"\"")?;
        let end = text.iter().position(|&byte| byte == b'"')?;
        let (opaque, after) = (&text[..end], &text[end + 1..]);
        let is_allowed = |&byte: &u8| matches!(byte, 0x21 | 0x23..=0x7e | 0x80..);
        opaque.iter().all(is_allowed).then(|| {
            let opaque = opaque.iter().map(|&byte| char::from(byte)).collect();
            (Self { is_weak, opaque }, after)
        })
    }
}

/// The value of `ETag` for a strong tag; `None` when `opaque` has a character outside of the alphabet of headers.
pub fn header_value(opaque: &str) -> Option<HeaderValue> {
    HeaderValue::try_from(format!("\"{opaque}\"")).ok()
}

/// Removes the optional white space of RFC 9110, spaces and tabs, from both ends.
fn trimmed(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn strong(opaque: &str) -> EntityTag {
        EntityTag {
            is_weak: false,
            opaque: opaque.to_owned(),
        }
    }

    fn weak(opaque: &str) -> EntityTag {
        EntityTag {
            is_weak: true,
            ..strong(opaque)
        }
    }

    fn written(tags: &[EntityTag], separator: &str) -> Vec<u8> {
        let tags = tags.iter().map(|tag| {
            let prefix = if tag.is_weak { "W/" } else { "" };
            format!("{prefix}\"{}\"", tag.opaque)
        });
        let text = tags.collect::<Vec<_>>().join(separator);
        text.chars().map(|character| character as u8).collect()
    }

    #[test]
    fn lists_are_read_with_their_empty_elements_left_out() {
        for (value, tags) in [
            (&b""[..], vec![]),
            (b" \t", vec![]),
            (b",, ,", vec![]),
            (b"\"a\"", vec![strong("a")]),
            (b",\"a\" ,\t,W/\"\",", vec![strong("a"), weak("")]),
            (b"\"a,b\",\"*\"", vec![strong("a,b"), strong("*")]),
            (b"\"W/\\\", \"\xe9\"", vec![strong("W/\\"), strong("é")]),
        ] {
            let found = EntityTags::parse(value);
            assert_eq!(found, Some(EntityTags::List(tags)), "{value:?}");
        }
        assert_eq!(EntityTags::parse(b" * "), Some(EntityTags::Any));
    }

    #[test]
    fn anything_else_is_malformed() {
        for value in [
            "*, \"a\"",
            "\"a\", *",
            "*,",
            "**",
            "a",
            "\"a",
            "a\"",
            "\"a\" \"b\"",
            "\"a\"\"b\"",
            "\"a\"b",
            "\"a b\"",
            "\"a\tb\"",
            "\"\x7f\"",
            "w/\"a\"",
            "W/a",
            "W/ \"a\"",
            "W/",
            "\"a\";\"b\"",
        ] {
            assert_eq!(EntityTags::parse(value.as_bytes()), None, "{value}");
        }
    }

    #[test]
    fn one_tag_is_not_a_list() {
        assert_eq!(EntityTag::parse(b" \"a\" "), Some(strong("a")));
        assert_eq!(EntityTag::parse(b"W/\"a\""), Some(weak("a")));
        for value in ["", "*", "a", "\"a\",", "\"a\", \"b\""] {
            assert_eq!(EntityTag::parse(value.as_bytes()), None, "{value}");
        }
    }

    #[test]
    fn a_weak_tag_matches_weakly_only() {
        let tags = EntityTags::List(vec![weak("a"), strong("b")]);
        assert!(tags.match_weakly("a") && !tags.match_strongly("a"));
        assert!(tags.match_weakly("b") && tags.match_strongly("b"));
        assert!(!tags.match_weakly("c") && !tags.match_strongly("c"));
        assert!(EntityTags::Any.match_weakly("c") && EntityTags::Any.match_strongly("c"));
    }

    #[test]
    fn lines_are_one_list() {
        let read = |lines: &[&'static str]| {
            let lines = lines
                .iter()
                .map(|line| (header::IF_MATCH, HeaderValue::from_static(line)));
            EntityTags::if_match(&lines.collect())
        };
        assert_eq!(read(&[]).unwrap(), None);
        let both = EntityTags::List(vec![strong("a"), strong("b")]);
        assert_eq!(read(&["\"a\"", "\"b\""]).unwrap(), Some(both));
        let problem = read(&["*", "\"a\""]).unwrap_err();
        assert!(problem.detail().contains("If-Match"), "{problem:?}");
    }

    fn tags() -> impl Strategy<Value = Vec<EntityTag>> {
        let tag = (any::<bool>(), "[!#-~\u{80}-\u{ff}]{0,5}");
        let tag = tag.prop_map(|(is_weak, opaque)| EntityTag { is_weak, opaque });
        prop::collection::vec(tag, 0..5)
    }

    proptest! {
        #[test]
        fn every_list_that_can_be_written_is_read_back(
            tags in tags(),
            separator in "[ \t]{0,2},[ \t,]{0,3}",
            around in "[ \t,]{0,3}",
        ) {
            let around = around.into_bytes();
            let value = [&around[..], &written(&tags, &separator), &around].concat();
            prop_assert_eq!(EntityTags::parse(&value), Some(EntityTags::List(tags)));
        }

        #[test]
        fn nothing_that_is_read_is_lost(value in prop::collection::vec(prop::sample::select(&b"\"\"W/a*, \t\x7f\xe9"[..]), 0..12)) {
            match EntityTags::parse(&value) {
                None => {}
                Some(EntityTags::Any) => prop_assert_eq!(trimmed(&value), b"*"),
                Some(EntityTags::List(tags)) => {
                    let is_part = |byte: &u8| !matches!(byte, b' ' | b'\t' | b',');
                    // Commas inside of tags are left out on both sides.
                    let read: Vec<u8> = value.iter().copied().filter(is_part).collect();
                    let again: Vec<u8> = written(&tags, "").into_iter().filter(is_part).collect();
                    prop_assert_eq!(read, again);
                }
            }
        }
    }
}

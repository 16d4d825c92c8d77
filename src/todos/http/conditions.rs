//! Entity tags: which version of a todo a request is about. The tag is the moment of the last change, in quotes.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::http::{Problem, ProblemKind};
use crate::timestamp::Timestamp;
use crate::todos::Precondition;

/// The tag of a version.
pub(super) fn tag(version: Timestamp) -> HeaderValue {
    // Digits, punctuation and two letters: always a header.
    HeaderValue::try_from(format!("\"{version}\""))
        .unwrap_or(HeaderValue::from_static("\"unknown\""))
}

/// What `If-Match` asks for.
pub(super) fn precondition(headers: &HeaderMap) -> Result<Precondition, Problem> {
    if headers.contains_key(header::IF_NONE_MATCH) {
        return Err(Problem::new(
            ProblemKind::InvalidParameter,
            "the header If-None-Match is for GET; a change names the version that it is meant for with If-Match",
        ));
    }
    match tags(headers, &header::IF_MATCH)? {
        None | Some(Tags::Any) => Ok(Precondition::Any),
        // A weak tag says nothing about the bytes, so it matches no version (RFC 9110, 13.1.1).
        Some(Tags::Some(tags)) => Ok(Precondition::Versions(
            tags.iter()
                .filter(|tag| !tag.is_weak)
                .filter_map(|tag| version(&tag.text))
                .collect(),
        )),
    }
}

/// Whether `If-None-Match` names a version, so that there is no need to send it.
pub(super) fn is_known(headers: &HeaderMap, current: Timestamp) -> Result<bool, Problem> {
    Ok(match tags(headers, &header::IF_NONE_MATCH)? {
        None => false,
        Some(Tags::Any) => true,
        Some(Tags::Some(tags)) => tags.iter().any(|tag| version(&tag.text) == Some(current)),
    })
}

fn version(text: &str) -> Option<Timestamp> {
    let version: Timestamp = text.parse().ok()?;
    // Another spelling of the moment is another tag.
    (version.to_string() == text).then_some(version)
}

enum Tags {
    Any,
    Some(Vec<Tag>),
}

#[derive(Debug, PartialEq, Eq)]
struct Tag {
    is_weak: bool,
    text: String,
}

/// The tags of a header, which may come in several lines.
fn tags(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Tags>, Problem> {
    if !headers.contains_key(name) {
        return Ok(None);
    }
    let mut tags = Vec::new();
    let mut any = false;
    for line in headers.get_all(name) {
        let read = line
            .to_str()
            .ok()
            .map(str::trim)
            .and_then(|line| match line {
                "*" => {
                    any = true;
                    Some(Vec::new())
                }
                line => list(line),
            });
        tags.extend(read.ok_or_else(|| malformed(name))?);
    }
    match (any, tags.is_empty()) {
        (true, true) => Ok(Some(Tags::Any)),
        (true, false) => Err(malformed(name)),
        (false, _) => Ok(Some(Tags::Some(tags))),
    }
}

fn malformed(name: &HeaderName) -> Problem {
    let shown = match *name {
        header::IF_MATCH => "If-Match",
        _ => "If-None-Match",
    };
    Problem::new(
        ProblemKind::InvalidParameter,
        format!(
            "the header {shown} is not a list of entity tags; send * or the ETag of an answer, with its quotes, such as \
             \"2026-11-20T13:00:00.25Z\""
        ),
    )
}

/// `"a", W/"b"`; `None` when it is something else.
fn list(line: &str) -> Option<Vec<Tag>> {
    let mut tags = Vec::new();
    let mut rest = line;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            return (!tags.is_empty()).then_some(tags);
        }
        let (is_weak, quoted) = match rest.strip_prefix("W/") {
            Some(quoted) => (true, quoted),
            None => (false, rest),
        };
        let (text, after) = quoted.strip_prefix('"')?.split_once('"')?;
        tags.push(Tag {
            is_weak,
            text: text.to_owned(),
        });
        rest = after.trim_start_matches([' ', '\t']);
        if !rest.is_empty() && !rest.starts_with(',') {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_tags_are_read() {
        let tag = |is_weak, text: &str| Tag {
            is_weak,
            text: text.to_owned(),
        };
        assert_eq!(list("\"a\""), Some(vec![tag(false, "a")]));
        assert_eq!(
            list("\"a,b\" ,\tW/\"\",, \"c\","),
            Some(vec![tag(false, "a,b"), tag(true, ""), tag(false, "c")])
        );
        for bad in [
            "",
            ",",
            "a",
            "\"a",
            "\"a\" \"b\"",
            "w/\"a\"",
            "*, \"a\"",
            "\"a\"b",
        ] {
            assert_eq!(list(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_tag_is_one_spelling_of_a_moment() {
        assert!(version("2026-11-20T13:00:00.25Z").is_some());
        for other in ["2026-11-20T13:00:00.250Z", "2026-11-20T13:00", "", "3"] {
            assert_eq!(version(other), None, "{other}");
        }
    }
}

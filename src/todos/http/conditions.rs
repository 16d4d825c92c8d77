//! The version of a todo in a request. The version is the time of the last change. The todo's entity tag is this time in quotes.

use axum::http::{HeaderMap, HeaderValue, header};

use crate::http::etag::{self, EntityTags};
use crate::http::{Problem, ProblemKind};
use crate::timestamp::Timestamp;
use crate::todos::Precondition;

/// The value of `ETag` for a version.
pub(super) fn tag(version: Timestamp) -> HeaderValue {
    // A timestamp is ASCII, so a header can always hold it.
    etag::header_value(&version.to_string()).unwrap_or(HeaderValue::from_static("\"unknown\""))
}

/// The precondition in `If-Match`.
///
/// # Errors
/// 400 when `If-Match` is malformed, or the request has `If-None-Match`.
pub(super) fn precondition(headers: &HeaderMap) -> Result<Precondition, Problem> {
    if headers.contains_key(header::IF_NONE_MATCH) {
        return Err(Problem::new(
            ProblemKind::InvalidParameter,
            "the header If-None-Match is for GET; a change names the version that it is meant for with If-Match",
        ));
    }
    match EntityTags::if_match(headers)? {
        None | Some(EntityTags::Any) => Ok(Precondition::Any),
        // A weak tag matches no version (RFC 9110, 13.1.1).
        Some(EntityTags::List(tags)) => Ok(Precondition::Versions(
            tags.iter()
                .filter(|tag| !tag.is_weak)
                .filter_map(|tag| version(&tag.opaque))
                .collect(),
        )),
    }
}

/// Whether `If-None-Match` names the current version, so that the answer is 304.
///
/// # Errors
/// 400 when `If-None-Match` is malformed.
pub(super) fn is_known(headers: &HeaderMap, current: Timestamp) -> Result<bool, Problem> {
    let tags = EntityTags::if_none_match(headers)?;
    Ok(tags.is_some_and(|tags| tags.match_weakly(&current.to_string())))
}

/// The version with this tag; `None` when no version has this tag.
fn version(text: &str) -> Option<Timestamp> {
    let version: Timestamp = text.parse().ok()?;
    // The same time in another spelling is another tag.
    (version.to_string() == text).then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_one_spelling_of_a_timestamp() {
        assert!(version("2026-11-20T13:00:00.25Z").is_some());
        for other in ["2026-11-20T13:00:00.250Z", "2026-11-20T13:00", "", "3"] {
            assert_eq!(version(other), None, "{other}");
        }
    }
}

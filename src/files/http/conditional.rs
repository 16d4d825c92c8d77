//! Conditional requests (RFC 9110, section 13).

use axum::http::{HeaderMap, header};

use crate::files::{Condition, TagList};
use crate::http::etag::{EntityTag, EntityTags};
use crate::http::{Problem, ProblemKind, date};
use crate::timestamp::Timestamp;

/// The condition of a request for a change.
///
/// # Errors
/// 400 when `If-Match` or `If-None-Match` is malformed.
pub(super) fn of_change(headers: &HeaderMap) -> Result<Condition, Problem> {
    let is = EntityTags::if_match(headers)?;
    let is_not = EntityTags::if_none_match(headers)?;
    Ok(Condition {
        if_match: is.map(|tags| tag_list(tags, false)),
        if_none_match: is_not.map(|tags| tag_list(tags, true)),
    })
}

/// The problem of a request with an unfulfilled condition.
pub(super) fn refused() -> Problem {
    Problem::new(
        ProblemKind::PreconditionFailed,
        "the current version of the file is not one that If-Match or If-None-Match allow; nothing was changed. \
         GET …/info describes the current version",
    )
}

/// The result of the conditions of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReadOutcome {
    /// The conditions hold.
    Proceed,
    /// 304: the client has the current version.
    NotModified,
    /// 412: the client does not accept the current version.
    Refused,
}

/// Evaluates the conditions of a `GET` or `HEAD`, in the order of RFC 9110, section 13.2.2.
///
/// # Errors
/// 400 when `If-Match` or `If-None-Match` is malformed.
pub(super) fn of_read(
    headers: &HeaderMap,
    tag: &str,
    modified: Timestamp,
) -> Result<ReadOutcome, Problem> {
    if let Some(tags) = EntityTags::if_match(headers)? {
        if !tags.match_strongly(tag) {
            return Ok(ReadOutcome::Refused);
        }
    } else if let Some(since) = date::of_header(headers, &header::IF_UNMODIFIED_SINCE)
        && date::seconds(modified) > since
    {
        return Ok(ReadOutcome::Refused);
    }
    if let Some(tags) = EntityTags::if_none_match(headers)? {
        if tags.match_weakly(tag) {
            return Ok(ReadOutcome::NotModified);
        }
    } else if let Some(since) = date::of_header(headers, &header::IF_MODIFIED_SINCE)
        && date::seconds(modified) <= since
    {
        return Ok(ReadOutcome::NotModified);
    }
    Ok(ReadOutcome::Proceed)
}

/// Whether the answer may be a part of the current version: `If-Range` is absent, or names the version by strong comparison.
pub(super) fn allows_range(headers: &HeaderMap, tag: &str, modified: Timestamp) -> bool {
    let Some(value) = headers.get(header::IF_RANGE) else {
        return true;
    };
    match EntityTag::parse(value.as_bytes()) {
        Some(named) => !named.is_weak && named.opaque == tag,
        None => date::of_header(headers, &header::IF_RANGE) == Some(date::seconds(modified)),
    }
}

/// The tags to compare with the strong tag of a file before a change: `If-Match` compares strongly, `If-None-Match` weakly.
fn tag_list(tags: EntityTags, takes_weak: bool) -> TagList {
    match tags {
        EntityTags::Any => TagList::Any,
        EntityTags::List(tags) => TagList::These(
            tags.into_iter()
                .filter(|tag| takes_weak || !tag.is_weak)
                .map(|tag| tag.opaque)
                .collect(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    fn time() -> Timestamp {
        "2026-11-20T13:00:00.5Z".parse().unwrap()
    }

    const SAME: &str = "Fri, 20 Nov 2026 13:00:00 GMT";
    const BEFORE: &str = "Fri, 20 Nov 2026 12:59:59 GMT";

    #[test]
    fn the_conditions_of_reads_are_evaluated_in_order() {
        use ReadOutcome::{NotModified, Proceed, Refused};
        for (pairs, reading) in [
            (&[][..], Proceed),
            (&[("if-match", "\"a\"")], Proceed),
            (&[("if-match", "\"b\", \"c\"")], Refused),
            (&[("if-match", "W/\"a\"")], Refused),
            (&[("if-match", "*")], Proceed),
            (&[("if-unmodified-since", BEFORE)], Refused),
            (&[("if-unmodified-since", SAME)], Proceed),
            (
                &[("if-none-match", "\"b\""), ("if-none-match", "W/\"a\"")],
                NotModified,
            ),
            (&[("if-none-match", "*")], NotModified),
            (&[("if-none-match", "\"b\"")], Proceed),
            (
                &[("if-none-match", "\"b\""), ("if-modified-since", SAME)],
                Proceed,
            ),
            (&[("if-modified-since", SAME)], NotModified),
            (&[("if-modified-since", BEFORE)], Proceed),
            (&[("if-modified-since", "yesterday")], Proceed),
            (
                &[("if-match", "\"b\""), ("if-none-match", "\"a\"")],
                Refused,
            ),
        ] {
            let found = of_read(&headers(pairs), "a", time()).unwrap();
            assert_eq!(found, reading, "{pairs:?}");
        }
        for bad in ["a", "\"a", "\"a\" b", "W/a"] {
            assert!(of_read(&headers(&[("if-match", bad)]), "a", time()).is_err());
            assert!(of_change(&headers(&[("if-none-match", bad)])).is_err());
        }
    }

    #[test]
    fn a_range_is_cut_from_the_same_file_only() {
        for (value, may) in [
            ("\"a\"", true),
            ("\"b\"", false),
            ("W/\"a\"", false),
            (SAME, true),
            (BEFORE, false),
            ("nonsense", false),
        ] {
            let headers = headers(&[("if-range", value)]);
            assert_eq!(allows_range(&headers, "a", time()), may, "{value}");
        }
        assert!(allows_range(&HeaderMap::new(), "a", time()));
    }
}

//! Conditional requests (RFC 9110, section 13).

use axum::http::{HeaderMap, HeaderName, header};
use jiff::fmt::rfc2822::{DateTimeParser, DateTimePrinter};

use crate::files::{Condition, TagList};
use crate::http::{Problem, ProblemKind};
use crate::timestamp::Timestamp;

/// The condition of a request that changes something. `If-Match` compares strongly: a weak tag matches nothing.
pub(super) fn of_change(headers: &HeaderMap) -> Result<Condition, Problem> {
    Ok(Condition {
        if_match: tags(headers, &header::IF_MATCH, false)?,
        if_none_match: tags(headers, &header::IF_NONE_MATCH, true)?,
    })
}

/// The file is another one than the request is about.
pub(super) fn refused() -> Problem {
    Problem::new(
        ProblemKind::PreconditionFailed,
        "the file that is there is not what If-Match or If-None-Match ask for; nothing was changed. \
         GET …/info answers what is there",
    )
}

/// What the conditions of a read come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// Answer it.
    Go,
    /// 304: the client has it.
    NotModified,
    /// 412: it is not what the client wants to go on with.
    Refused,
}

/// Looks at the conditions of a `GET` or `HEAD`, in the order that RFC 9110 gives them.
pub(super) fn of_read(
    headers: &HeaderMap,
    tag: &str,
    modified: Timestamp,
) -> Result<Reading, Problem> {
    if let Some(tags) = tags(headers, &header::IF_MATCH, false)? {
        if !tags.contains(Some(tag)) {
            return Ok(Reading::Refused);
        }
    } else if let Some(since) = date(headers, &header::IF_UNMODIFIED_SINCE)
        && seconds(modified) > since
    {
        return Ok(Reading::Refused);
    }
    if let Some(tags) = tags(headers, &header::IF_NONE_MATCH, true)? {
        if tags.contains(Some(tag)) {
            return Ok(Reading::NotModified);
        }
    } else if let Some(since) = date(headers, &header::IF_MODIFIED_SINCE)
        && seconds(modified) <= since
    {
        return Ok(Reading::NotModified);
    }
    Ok(Reading::Go)
}

/// Whether a range may be cut from the file as it is: `If-Range` is absent, or names it strongly.
pub(super) fn may_cut(headers: &HeaderMap, tag: &str, modified: Timestamp) -> bool {
    let Some(value) = headers.get(header::IF_RANGE) else {
        return true;
    };
    let Ok(text) = value.to_str() else {
        return false;
    };
    match text.trim().strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"') == Some(tag),
        None => date(headers, &header::IF_RANGE) == Some(seconds(modified)),
    }
}

/// A moment as HTTP writes it, to the second.
pub(super) fn http_date(time: Timestamp) -> Option<String> {
    let time = jiff::Timestamp::from_second(seconds(time)).ok()?;
    DateTimePrinter::new()
        .timestamp_to_rfc9110_string(&time)
        .ok()
}

/// Whole seconds since 1970: finer than that HTTP does not tell.
fn seconds(time: Timestamp) -> i64 {
    time.micros().div_euclid(1_000_000)
}

/// A date that does not parse is as good as absent.
fn date(headers: &HeaderMap, name: &HeaderName) -> Option<i64> {
    let text = headers.get(name)?.to_str().ok()?;
    let time = DateTimeParser::new().parse_timestamp(text).ok()?;
    Some(time.as_second())
}

/// The tags of a header, which may be there several times.
fn tags(
    headers: &HeaderMap,
    name: &HeaderName,
    takes_weak: bool,
) -> Result<Option<TagList>, Problem> {
    let malformed = || {
        Problem::new(
            ProblemKind::InvalidParameter,
            format!("the header {name} is not `*` or a list of quoted entity tags"),
        )
    };
    let mut found = None;
    for value in headers.get_all(name) {
        let text = value.to_str().map_err(|_| malformed())?;
        if text.trim() == "*" {
            return Ok(Some(TagList::Any));
        }
        let list = found.get_or_insert_with(Vec::new);
        let mut rest = text;
        loop {
            rest = rest.trim_start_matches([' ', '\t', ',']);
            if rest.is_empty() {
                break;
            }
            let is_weak = rest.starts_with("W/");
            let quoted = rest.strip_prefix("W/").unwrap_or(rest);
            let (tag, after) = quoted
                .strip_prefix('"')
                .and_then(|quoted| quoted.split_once('"'))
                .ok_or_else(malformed)?;
            if takes_weak || !is_weak {
                list.push(tag.to_owned());
            }
            rest = after;
        }
    }
    Ok(found.map(TagList::These))
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
    fn dates_are_those_of_http() {
        assert_eq!(http_date(time()).unwrap(), SAME);
    }

    #[test]
    fn reads_heed_their_conditions_in_order() {
        use Reading::{Go, NotModified, Refused};
        for (pairs, reading) in [
            (&[][..], Go),
            (&[("if-match", "\"a\"")], Go),
            (&[("if-match", "\"b\", \"c\"")], Refused),
            (&[("if-match", "W/\"a\"")], Refused),
            (&[("if-match", "*")], Go),
            (&[("if-unmodified-since", BEFORE)], Refused),
            (&[("if-unmodified-since", SAME)], Go),
            (
                &[("if-none-match", "\"b\""), ("if-none-match", "W/\"a\"")],
                NotModified,
            ),
            (&[("if-none-match", "*")], NotModified),
            (&[("if-none-match", "\"b\"")], Go),
            (
                &[("if-none-match", "\"b\""), ("if-modified-since", SAME)],
                Go,
            ),
            (&[("if-modified-since", SAME)], NotModified),
            (&[("if-modified-since", BEFORE)], Go),
            (&[("if-modified-since", "yesterday")], Go),
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
            assert_eq!(may_cut(&headers, "a", time()), may, "{value}");
        }
        assert!(may_cut(&HeaderMap::new(), "a", time()));
    }
}

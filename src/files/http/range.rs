//! Parts of a file (RFC 9110, section 14).

use std::ops::Range;

/// The result of a `Range` header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The whole file: there is no range, or the range is ignored.
    Whole,
    /// These bytes. The range is never empty.
    Bytes(Range<u64>),
    /// The file has none of the requested bytes.
    Unsatisfiable,
}

/// Evaluates a `Range` header. Several ranges at a time are ignored, as RFC 9110 allows: a client sends a single range to resume a
/// download.
pub(super) fn part(header: Option<&str>, size_bytes: u64) -> Part {
    let Some((unit, range)) = header.and_then(|header| header.split_once('=')) else {
        return Part::Whole;
    };
    if !unit.trim().eq_ignore_ascii_case("bytes") || range.contains(',') {
        return Part::Whole;
    }
    let Some((first, last)) = range.trim().split_once('-') else {
        return Part::Whole;
    };
    // `u64::from_str` would accept a plus sign.
    let number = |text: &str| -> Option<u64> {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        // A number that does not fit is beyond the end of the file.
        is_number.then(|| text.parse().unwrap_or(u64::MAX))
    };
    match (number(first), number(last)) {
        (Some(first), _) if first >= size_bytes && (last.is_empty() || number(last).is_some()) => {
            Part::Unsatisfiable
        }
        (Some(first), Some(last)) if last >= first => {
            Part::Bytes(first..size_bytes.min(last.saturating_add(1)))
        }
        (Some(first), None) if last.is_empty() => Part::Bytes(first..size_bytes),
        (None, Some(0)) if first.is_empty() => Part::Unsatisfiable,
        (None, Some(_)) if first.is_empty() && size_bytes == 0 => Part::Unsatisfiable,
        (None, Some(count)) if first.is_empty() => {
            Part::Bytes(size_bytes.saturating_sub(count)..size_bytes)
        }
        _ => Part::Whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_cut_at_the_end_and_nonsense_is_ignored() {
        for (header, expected) in [
            ("bytes=0-0", Part::Bytes(0..1)),
            ("bytes=0-", Part::Bytes(0..10)),
            ("Bytes = 2-4", Part::Bytes(2..5)),
            ("bytes=9-100", Part::Bytes(9..10)),
            ("bytes=0-99999999999999999999999", Part::Bytes(0..10)),
            ("bytes=-3", Part::Bytes(7..10)),
            ("bytes=-100", Part::Bytes(0..10)),
            ("bytes=10-", Part::Unsatisfiable),
            ("bytes=99999999999999999999999-", Part::Unsatisfiable),
            ("bytes=-0", Part::Unsatisfiable),
            ("bytes=4-2", Part::Whole),
            ("bytes=0-1,3-4", Part::Whole),
            ("bytes=a-b", Part::Whole),
            ("bytes=+1-2", Part::Whole),
            ("bytes=-", Part::Whole),
            ("bytes=", Part::Whole),
            ("lines=1-2", Part::Whole),
            ("", Part::Whole),
        ] {
            assert_eq!(part(Some(header), 10), expected, "{header}");
        }
        assert_eq!(part(None, 10), Part::Whole);
        for header in ["bytes=0-", "bytes=-1", "bytes=0-0"] {
            assert_eq!(part(Some(header), 0), Part::Unsatisfiable, "{header}");
        }
    }
}

//! Forms and queries in the format `application/x-www-form-urlencoded`.

use std::borrow::Cow;

use percent_encoding::percent_decode;

use crate::timestamp::Timestamp;

/// The names and values of a form or a query, decoded; `None` for a pair that is not UTF-8. The crate `form_urlencoded` would
/// replace bytes that are not UTF-8 instead.
pub fn pairs(text: &str) -> impl Iterator<Item = Option<(Cow<'_, str>, Cow<'_, str>)>> {
    let parts = text.split('&').filter(|part| !part.is_empty());
    parts.map(|part| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        Some((decoded(name)?, decoded(value)?))
    })
}

fn decoded(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains(['%', '+']) {
        return Some(Cow::Borrowed(text));
    }
    let spaced = text.replace('+', " ");
    let decoded = percent_decode(spaced.as_bytes()).decode_utf8().ok()?;
    Some(Cow::Owned(decoded.into_owned()))
}

/// Puts back the plus sign of an offset in a decoded timestamp. Most clients write `+01:00` instead of `%2B01:00`, which decodes to
/// a space. No timestamp ends in a space and an offset, so the replacement is certain. Any other text is returned unchanged.
pub fn restore_plus_sign(text: Cow<'_, str>) -> Cow<'_, str> {
    let Some((local, offset)) = text.trim().rsplit_once(' ') else {
        return text;
    };
    let restored = format!("{local}+{offset}");
    match restored.parse::<Timestamp>() {
        Ok(_) => Cow::Owned(restored),
        Err(_) => text,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn percent_signs_and_plus_signs_are_decoded() {
        let read = |text| {
            let pairs: Option<Vec<_>> = pairs(text).collect();
            let pairs = pairs?
                .into_iter()
                .map(|(name, value)| format!("{name}={value}"));
            Some(pairs.collect::<Vec<_>>().join("|"))
        };
        for (text, expected) in [
            ("", Some("")),
            ("a", Some("a=")),
            ("&a=1&&b=&", Some("a=1|b=")),
            ("a%20b+%=%zz%2B%e2%82%ac", Some("a b %=%zz+€")),
            ("a=b=c", Some("a=b=c")),
            ("a=%c3%28", None),
        ] {
            assert_eq!(read(text).as_deref(), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_form_reads_as_another_program_wrote_it(fields in prop::collection::vec((".{0,9}", ".{0,9}"), 0..5)) {
            let mut written = form_urlencoded::Serializer::new(String::new());
            let written = written.extend_pairs(&fields).finish();
            let read: Vec<_> = pairs(&written).map(|pair| pair.unwrap()).collect();
            let read: Vec<_> = read.into_iter().map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
            prop_assert_eq!(read, fields);
        }
    }

    #[test]
    fn a_plus_sign_that_became_a_space_is_put_back_where_a_time_has_one() {
        for (decoded, expected) in [
            ("2026-03-02T08:00:00 01:00", "2026-03-02T08:00:00+01:00"),
            ("2026-03-02 08:00 0130 ", "2026-03-02 08:00+0130"),
            ("20260302T0800 01", "20260302T0800+01"),
            ("2026-3-2 8:00 01:00", "2026-3-2 8:00+01:00"),
            ("2026-03-02 08:00:00", "2026-03-02 08:00:00"),
            ("2026-3-2 8:00:00", "2026-3-2 8:00:00"),
            ("20260302 0800", "20260302 0800"),
            ("2026-03-02T08:00:00 99:00", "2026-03-02T08:00:00 99:00"),
            ("yesterday 01:00", "yesterday 01:00"),
            ("", ""),
        ] {
            assert_eq!(restore_plus_sign(Cow::Borrowed(decoded)), expected);
        }
    }
}

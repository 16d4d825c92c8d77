//! Media types: `Content-Type` names the type of a body, and `Accept` names the wanted types of an answer (RFC 9110, sections 8.3 and
//! 12.5.1).

use std::borrow::Cow;

use axum::http::{HeaderMap, header};

use super::parameters::parameters;

/// The type and subtype of a form with each field in a part.
pub const MULTIPART_FORM: &str = "multipart/form-data";
/// The type and subtype of a form with all fields in a single text.
pub const URLENCODED_FORM: &str = "application/x-www-form-urlencoded";

/// The value of `Content-Type`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaType<'a>(Cow<'a, str>);

impl<'a> MediaType<'a> {
    /// The type of a request's body; `None` when the request does not name a type.
    pub fn of_body(headers: &'a HeaderMap) -> Option<Self> {
        let value = headers.get(header::CONTENT_TYPE)?;
        // A value that is not UTF-8 still has a type and a subtype.
        Some(Self(String::from_utf8_lossy(value.as_bytes())))
    }

    /// The value as sent by the client, parameters included.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The type and the subtype, without parameters.
    fn essence(&self) -> &str {
        self.0.split(';').next().unwrap_or_default().trim_ascii()
    }

    /// Whether type and subtype are these, such as `text/csv`, with any parameters.
    pub fn is(&self, essence: &str) -> bool {
        self.essence().eq_ignore_ascii_case(essence)
    }

    /// Whether the type is `multipart`, with any subtype.
    pub fn is_multipart(&self) -> bool {
        let kind = self.essence().split('/').next().unwrap_or_default();
        kind.eq_ignore_ascii_case("multipart")
    }

    /// The boundary of a `multipart` body; `None` when there is no boundary, or RFC 2046 forbids the boundary.
    pub fn boundary(&self) -> Option<String> {
        const BYTES_MAX: usize = 70;
        let is_allowed =
            |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&byte);
        parameters(&self.0)?
            .into_iter()
            .find(|(name, _)| name == "boundary")
            .map(|(_, boundary)| boundary)
            .filter(|boundary| {
                (1..=BYTES_MAX).contains(&boundary.len())
                    && boundary.bytes().all(is_allowed)
                    && !boundary.ends_with(' ')
            })
    }
}

impl<'a> From<&'a str> for MediaType<'a> {
    fn from(text: &'a str) -> Self {
        Self(Cow::Borrowed(text))
    }
}

/// The offered media type with the highest preference in `Accept`. The first offer wins among equals, and without `Accept`; `None` when no
/// offer is acceptable.
pub fn preferred<'a>(headers: &HeaderMap, offers: &[&'a str]) -> Option<&'a str> {
    let lines = headers.get_all(header::ACCEPT).iter();
    let lines: Vec<_> = lines.filter_map(|line| line.to_str().ok()).collect();
    if lines.is_empty() {
        return offers.first().copied();
    }
    let accept = lines.join(",");
    let mut best = None;
    for offer in offers {
        let quality = quality(&accept, offer);
        if quality > best.map_or(0, |(_, best)| best) {
            best = Some((*offer, quality));
        }
    }
    best.map(|(offer, _)| offer)
}

/// The weight of a media type in a list of media ranges, in thousandths. The most specific range decides.
fn quality(accept: &str, offer: &str) -> u16 {
    let kind = offer.split('/').next().unwrap_or_default();
    let ranges = accept.split(',').filter_map(|range| {
        let mut parts = range.split(';').map(str::trim);
        let name = parts.next()?;
        let prefix = name.strip_suffix("/*");
        let precedence = if name.eq_ignore_ascii_case(offer) {
            2
        } else if prefix.is_some_and(|prefix| prefix.eq_ignore_ascii_case(kind)) {
            1
        } else if name == "*/*" {
            0
        } else {
            return None;
        };
        let weight = parts.find_map(|part| {
            let (name, weight) = part.split_once('=')?;
            name.eq_ignore_ascii_case("q").then_some(weight)
        });
        Some((precedence, weight.map_or(Some(1000), thousandths)?))
    });
    let most_specific = ranges.max_by_key(|(precedence, _)| *precedence);
    most_specific.map_or(0, |(_, quality)| quality)
}

/// A weight from 0 to 1 with at most three decimals, in thousandths.
fn thousandths(weight: &str) -> Option<u16> {
    let (whole, decimals) = weight.split_once('.').unwrap_or((weight, ""));
    let is_number = decimals.len() <= 3 && decimals.bytes().all(|byte| byte.is_ascii_digit());
    let whole = match whole {
        "0" => 0,
        "1" => 1000,
        _ => return None,
    };
    let decimals: u16 = format!("{decimals:0<3}").parse().ok()?;
    let thousandths = whole + decimals;
    (is_number && thousandths <= 1000).then_some(thousandths)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn types_are_compared_without_their_parameters_and_in_any_case() {
        for (text, essence) in [
            ("text/csv", "text/csv"),
            ("Text/CSV ; header=present", "text/csv"),
            (" text/csv;note=é", "text/csv"),
            ("multipart/form-data; boundary=x", MULTIPART_FORM),
        ] {
            assert!(MediaType::from(text).is(essence), "{text}");
        }
        for text in ["", ";", "text", "text/csvx", "text/ csv"] {
            assert!(!MediaType::from(text).is("text/csv"), "{text}");
        }
        assert!(MediaType::from("Multipart/mixed").is_multipart());
        assert!(!MediaType::from("multipartial/a").is_multipart());
        assert!(!MediaType::from("").is_multipart());
    }

    #[test]
    fn a_value_that_is_not_text_has_a_type() {
        let value = HeaderValue::from_bytes(b"text/csv; note=\xff").unwrap();
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, value)]);
        assert!(MediaType::of_body(&headers).unwrap().is("text/csv"));
        assert_eq!(MediaType::of_body(&HeaderMap::new()), None);
    }

    #[test]
    fn boundaries_are_found_or_missed() {
        for (content_type, expected) in [
            ("multipart/form-data; boundary=abc", Some("abc")),
            (
                "multipart/form-data; charset=utf-8; Boundary=\"a b:c\"",
                Some("a b:c"),
            ),
            (
                "multipart/form-data;boundary=----WebKit123 ",
                Some("----WebKit123"),
            ),
            ("multipart/form-data", None),
            ("multipart/form-data; boundary", None),
            ("multipart/form-data; boundary=", None),
            ("multipart/form-data; boundary=\"a", None),
            ("multipart/form-data; boundary=\"a \"", None),
            ("multipart/form-data; boundary=é", None),
            (
                &format!("multipart/form-data; boundary={}", "a".repeat(71)),
                None,
            ),
        ] {
            assert_eq!(
                MediaType::from(content_type).boundary().as_deref(),
                expected,
                "{content_type}"
            );
        }
    }

    #[test]
    fn the_preferred_type_is_offered() {
        const CSV: &str = "text/csv";
        const LINES: &str = "application/x-ndjson";
        for (accept, expected) in [
            ("*/*", Some(LINES)),
            ("text/csv", Some(CSV)),
            ("TEXT/CSV;header=present", Some(CSV)),
            ("text/*", Some(CSV)),
            ("text/csv;q=0.5, application/x-ndjson;q=0.9", Some(LINES)),
            ("text/csv; Q=0.501, application/x-ndjson; q=0.5", Some(CSV)),
            ("text/csv;q=0.5, */*;q=0.1", Some(CSV)),
            ("text/csv;q=0, */*", Some(LINES)),
            ("text/csv;q=1.000, application/x-ndjson;q=1.", Some(LINES)),
            ("application/xml, text/html", None),
            ("*/*;q=0", None),
            ("*/*;q=0.000", None),
            // A range with a malformed weight is ignored.
            ("text/csv;q=1.001", None),
            ("text/csv;q=nan", None),
            ("text/csv;q=0.1234, */*;q=0.2", Some(LINES)),
            ("text/csv;q=", None),
            ("text/csv;q=2, application/x-ndjson;q=0.1", Some(LINES)),
            ("", None),
        ] {
            let value = HeaderValue::from_static(accept);
            let headers = HeaderMap::from_iter([(header::ACCEPT, value)]);
            assert_eq!(preferred(&headers, &[LINES, CSV]), expected, "{accept}");
        }
        let lines = ["application/xml", "text/csv"].map(HeaderValue::from_static);
        let headers: HeaderMap = lines
            .map(|line| (header::ACCEPT, line))
            .into_iter()
            .collect();
        assert_eq!(preferred(&headers, &[LINES, CSV]), Some(CSV));
        assert_eq!(preferred(&HeaderMap::new(), &[LINES, CSV]), Some(LINES));
    }
}

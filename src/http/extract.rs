//! Parts of requests that reject with a [`Problem`].

use std::borrow::Cow;
use std::fmt::Display;
use std::str::FromStr;

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;

use super::{Problem, ProblemKind};
use crate::timestamp::Timestamp;

/// The parameters of a query, each at most once.
#[derive(Debug, Default)]
pub struct Query {
    pairs: Vec<(String, String)>,
}

/// The query of a request, not looked at yet: the handler knows which parameters there are.
#[derive(Debug)]
pub struct RawQuery(Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for RawQuery {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(parts.uri.query().map(ToOwned::to_owned)))
    }
}

/// The one variable part of a path, percent-decoded.
#[derive(Debug)]
pub struct PathPart(pub String);

impl<S: Send + Sync> FromRequestParts<S> for PathPart {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let part = Path::<String>::from_request_parts(parts, state).await;
        part.map(|Path(part)| Self(part)).map_err(|_| {
            Problem::new(
                ProblemKind::InvalidParameter,
                "the path is not UTF-8 after percent-decoding",
            )
        })
    }
}

impl RawQuery {
    /// As it was sent, without the question mark.
    pub fn text(&self) -> Option<&str> {
        self.0.as_deref()
    }

    /// The parameters.
    ///
    /// # Errors
    /// 400 when one is not among `known`, is there twice, or is not UTF-8.
    pub fn parse(&self, known: &[&str]) -> Result<Query, Problem> {
        match &self.0 {
            None => Ok(Query::default()),
            Some(text) => Query::parse(text, known),
        }
    }
}

impl Query {
    fn parse(text: &str, known: &[&str]) -> Result<Self, Problem> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for pair in form_pairs(text) {
            let Some((name, value)) = pair else {
                return Err(Problem::new(
                    ProblemKind::InvalidParameter,
                    "the query is not UTF-8 after percent-decoding",
                ));
            };
            let (name, value) = (name.into_owned(), value.into_owned());
            if !known.contains(&name.as_str()) {
                let known = if known.is_empty() {
                    "none is known here".to_owned()
                } else {
                    format!("known here: {}", known.join(", "))
                };
                let name = shortened(&name);
                return Err(Problem::parameter(&name, format!("is unknown; {known}")));
            }
            if pairs.iter().any(|(other, _)| *other == name) {
                return Err(Problem::parameter(&name, "is given twice"));
            }
            pairs.push((name, value));
        }
        Ok(Self { pairs })
    }

    /// A parameter's value.
    pub fn get(&self, name: &str) -> Option<&str> {
        let pair = self.pairs.iter().find(|(other, _)| other == name);
        pair.map(|(_, value)| value.as_str())
    }

    /// A parameter as a value of a type.
    ///
    /// # Errors
    /// 400 with the type's own words.
    pub fn parsed<T>(&self, name: &str) -> Result<Option<T>, Problem>
    where
        T: FromStr,
        T::Err: Display,
    {
        self.get(name).map(|text| parse(name, text)).transpose()
    }

    /// A time, whose offset may have lost its plus sign: see [`with_plus`].
    ///
    /// # Errors
    /// 400 for what is not a time.
    pub fn time(&self, name: &str) -> Result<Option<Timestamp>, Problem> {
        let text = self.get(name).map(|text| with_plus(Cow::Borrowed(text)));
        text.map(|text| parse(name, &text)).transpose()
    }

    /// A whole number within bounds.
    ///
    /// # Errors
    /// 400 naming the bounds.
    pub fn number(
        &self,
        name: &str,
        least: usize,
        most: usize,
        default: usize,
    ) -> Result<usize, Problem> {
        match self.get(name).map(str::parse) {
            None => Ok(default),
            Some(Ok(number)) if (least..=most).contains(&number) => Ok(number),
            Some(_) => Err(Problem::parameter(
                name,
                format!("must be a number from {least} to {most}"),
            )),
        }
    }

    /// `true` or `false`.
    ///
    /// # Errors
    /// 400 for anything else.
    pub fn flag(&self, name: &str) -> Result<bool, Problem> {
        match self.get(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(Problem::parameter(name, "must be true or false")),
        }
    }
}

fn parse<T>(name: &str, text: &str) -> Result<T, Problem>
where
    T: FromStr,
    T::Err: Display,
{
    text.parse()
        .map_err(|error| Problem::parameter(name, format!("`{}` {error}", shortened(text))))
}

/// The first characters of something that a client sent, for a message.
pub fn shortened(text: &str) -> Cow<'_, str> {
    const CHARACTERS_MAX: usize = 40;
    match text.char_indices().nth(CHARACTERS_MAX) {
        None => Cow::Borrowed(text),
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
    }
}

/// The pairs of a query or a form, decoded; `None` for one that is not UTF-8.
pub fn form_pairs(text: &str) -> impl Iterator<Item = Option<(Cow<'_, str>, Cow<'_, str>)>> {
    let parts = text.split('&').filter(|part| !part.is_empty());
    parts.map(|part| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        Some((percent_decode(name, true)?, percent_decode(value, true)?))
    })
}

/// The text of a time that came in a query or a form, where a plus sign stands for a space and nearly nobody writes `%2B`: with the plus
/// sign of its offset put back. No time ends in a space and an offset, so what was meant is certain. Any other text stays as it is.
pub fn with_plus(text: Cow<'_, str>) -> Cow<'_, str> {
    let Some((moment, offset)) = text.trim().rsplit_once(' ') else {
        return text;
    };
    let meant = format!("{moment}+{offset}");
    match meant.parse::<Timestamp>() {
        Ok(_) => Cow::Owned(meant),
        Err(_) => text,
    }
}

/// Undoes percent-encoding (and `+` for a space in a query); `None` when the result is not UTF-8. A percent sign that
/// introduces nothing stands for itself.
pub fn percent_decode(text: &str, plus_is_space: bool) -> Option<Cow<'_, str>> {
    if !text
        .bytes()
        .any(|byte| byte == b'%' || (plus_is_space && byte == b'+'))
    {
        return Some(Cow::Borrowed(text));
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.as_bytes();
    while let [first, rest @ ..] = bytes {
        bytes = rest;
        match (first, rest) {
            (b'%', [high, low, rest @ ..])
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                let digit = |byte: u8| char::from(byte).to_digit(16).unwrap_or(0);
                decoded.push((digit(*high) * 16 + digit(*low)) as u8);
                bytes = rest;
            }
            (b'+', _) if plus_is_space => decoded.push(b' '),
            (byte, _) => decoded.push(*byte),
        }
    }
    String::from_utf8(decoded).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_known_once_and_text() {
        let known = &["from", "sensorId"];
        let query = Query::parse("sensorId=a+b%2Bc&from=", known).unwrap();
        assert_eq!(query.get("sensorId"), Some("a b+c"));
        assert_eq!(query.get("from"), Some(""));
        for (text, words) in [
            ("sensorId=a&sensorId=b", "twice"),
            ("sensor=a", "known here: from, sensorId"),
            ("sensorId=%ff", "UTF-8"),
        ] {
            let problem = Query::parse(text, known).unwrap_err();
            assert!(problem.detail().contains(words), "{problem:?}");
        }
        assert!(Query::parse("a", &[]).is_err());
    }

    #[test]
    fn numbers_have_bounds() {
        let query = Query::parse("limit=5", &["limit"]).unwrap();
        assert_eq!(query.number("limit", 1, 10, 3).unwrap(), 5);
        assert_eq!(Query::default().number("limit", 1, 10, 3).unwrap(), 3);
        for bad in ["limit=0", "limit=11", "limit=-1", "limit=", "limit=1e1"] {
            let query = Query::parse(bad, &["limit"]).unwrap();
            assert!(query.number("limit", 1, 10, 3).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_plus_sign_that_became_a_space_is_put_back_where_a_time_has_one() {
        for (decoded, meant) in [
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
            assert_eq!(with_plus(Cow::Borrowed(decoded)), meant);
        }
    }

    #[test]
    fn percent_signs() {
        assert_eq!(percent_decode("a%20b+%", true).as_deref(), Some("a b %"));
        assert_eq!(
            percent_decode("a+%zz%e2%82%ac", false).as_deref(),
            Some("a+%zz€")
        );
        assert_eq!(percent_decode("%c3%28", false), None);
    }
}

//! Extractors of parts of requests. An extractor rejects a request with a [`Problem`].

use std::borrow::Cow;
use std::fmt::Display;
use std::str::FromStr;

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;

use super::{Problem, ProblemKind, form};
use crate::timestamp::Timestamp;

/// The parameters of a query, each at most once.
#[derive(Debug, Default)]
pub struct Query {
    pairs: Vec<(String, String)>,
}

/// The query of a request, not parsed yet: each handler has its own parameters.
#[derive(Debug)]
pub struct RawQuery(Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for RawQuery {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(parts.uri.query().map(ToOwned::to_owned)))
    }
}

/// The variable part of a path, percent-decoded.
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
    /// The query as sent by the client, without the question mark.
    pub fn text(&self) -> Option<&str> {
        self.0.as_deref()
    }

    /// The parameters.
    ///
    /// # Errors
    /// 400 when a parameter is not among `known`, is given twice, or is not UTF-8.
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
        for pair in form::pairs(text) {
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

    /// The value of a parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        let pair = self.pairs.iter().find(|(other, _)| other == name);
        pair.map(|(_, value)| value.as_str())
    }

    /// A parameter as a value of a type.
    ///
    /// # Errors
    /// 400 with the error of the type.
    pub fn parsed<T>(&self, name: &str) -> Result<Option<T>, Problem>
    where
        T: FromStr,
        T::Err: Display,
    {
        self.get(name).map(|text| parse(name, text)).transpose()
    }

    /// A timestamp. The offset may have lost the plus sign: see [`form::restore_plus_sign`].
    ///
    /// # Errors
    /// 400 for any other text.
    pub fn time(&self, name: &str) -> Result<Option<Timestamp>, Problem> {
        let text = self
            .get(name)
            .map(|text| form::restore_plus_sign(Cow::Borrowed(text)));
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

/// The first characters of a client's text, for a message.
pub fn shortened(text: &str) -> Cow<'_, str> {
    const CHARACTERS_MAX: usize = 40;
    match text.char_indices().nth(CHARACTERS_MAX) {
        None => Cow::Borrowed(text),
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
    }
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
}

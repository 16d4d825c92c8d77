//! The URL of a store. Its scheme selects the backend.

use std::fmt;
use std::str::FromStr;

use crate::error::{StoreError, StoreErrorKind};

/// The URL of a backend. Neither `Debug` nor `Display` shows a password.
#[derive(Clone, PartialEq, Eq)]
pub struct BackendUrl {
    scheme: String,
    rest: String,
}

/// The error of a text that is not the URL of a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("begin with the scheme of a backend and a colon, such as sqlite:")]
pub struct BackendUrlError;

impl BackendUrl {
    /// The part before the colon, in lower case.
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// The part after the colon, secrets included.
    pub fn rest(&self) -> &str {
        &self.rest
    }

    /// The error of a scheme that no backend has. `what` is kept in the store, such as "todos"; `known` lists the URLs of the backends.
    pub fn unknown_scheme(&self, what: &str, known: &str) -> StoreError {
        unsupported(format!(
            "there is no backend for {what} with the scheme {}; this binary knows {known}",
            self.scheme
        ))
    }

    /// The error of an embedded backend with a path in its URL.
    pub fn path_not_taken(&self, what: &str) -> StoreError {
        unsupported(format!(
            "{what} cannot have a path of its own in {self}: write {}: and name the data directory with --data",
            self.scheme
        ))
    }

    /// The error of a backend that this binary was built without.
    pub fn feature_missing(&self) -> StoreError {
        feature_missing(&format!("the scheme {}", self.scheme))
    }
}

/// The error of a setting that needs a backend which this binary was built without. `what` asks for the backend.
pub fn feature_missing(what: &str) -> StoreError {
    unsupported(format!(
        "{what} needs the feature `cloud`, which this binary was built without; use a binary that has the feature"
    ))
}

fn unsupported(message: String) -> StoreError {
    StoreError::new(StoreErrorKind::Unsupported, message)
}

impl FromStr for BackendUrl {
    type Err = BackendUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (scheme, rest) = text.split_once(':').ok_or(BackendUrlError)?;
        let mut characters = scheme.chars();
        let starts_well = characters
            .next()
            .is_some_and(|first| first.is_ascii_alphabetic());
        if !starts_well || !characters.all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c)) {
            return Err(BackendUrlError);
        }
        Ok(Self {
            scheme: scheme.to_ascii_lowercase(),
            rest: rest.to_owned(),
        })
    }
}

impl fmt::Display for BackendUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // In `//user:password@host`, the text between the colon and the last at sign before the path is hidden. A password may have
        // an unencoded slash by mistake. So for schemes with passwords the last at sign of the URL counts.
        let has_password = matches!(
            self.scheme.as_str(),
            "postgres" | "postgresql" | "redis" | "rediss"
        );
        let authority_end = self
            .rest
            .get(2..)
            .filter(|_| !has_password)
            .and_then(|rest| rest.find('/'))
            .map_or(self.rest.len(), |at| at + 2);
        let authority = &self.rest[..authority_end];
        let password = self.rest.starts_with("//").then(|| {
            let at = authority.rfind('@')?;
            let colon = authority[..at].find(':')?;
            Some((colon, at))
        });
        match password.flatten() {
            Some((colon, at)) => {
                write!(
                    f,
                    "{}:{}:***{}",
                    self.scheme,
                    &self.rest[..colon],
                    &self.rest[at..]
                )
            }
            None => write!(f, "{}:{}", self.scheme, self.rest),
        }
    }
}

impl fmt::Debug for BackendUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BackendUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_shown() {
        for (text, shown) in [
            ("sqlite:", "sqlite:"),
            (
                "postgres://ann:s3cret@db:5432/todos",
                "postgres://ann:***@db:5432/todos",
            ),
            ("redis://:p@ss:word@cache", "redis://:***@cache"),
            ("s3://bucket/a:b@c", "s3://bucket/a:b@c"),
            ("postgres://ann@db/todos", "postgres://ann@db/todos"),
            (
                "postgres://ann:s3/cr@t@db/todos",
                "postgres://ann:***@db/todos",
            ),
            (
                "postgres://ann:s3?cr#t@db:1/todos",
                "postgres://ann:***@db:1/todos",
            ),
        ] {
            let url: BackendUrl = text.parse().unwrap();
            assert_eq!(url.to_string(), shown);
            assert_eq!(format!("{url:?}"), format!("BackendUrl({shown})"));
        }
    }

    #[test]
    fn a_url_needs_a_scheme() {
        for text in ["", "sqlite", ":x", "1x:y", "a b:c", "/path:x"] {
            assert_eq!(text.parse::<BackendUrl>(), Err(BackendUrlError), "{text}");
        }
        assert_eq!("SQLite:x".parse::<BackendUrl>().unwrap().scheme(), "sqlite");
    }
}

//! What an error of S3 means to those who asked, and what of it the log may know.

use crate::aws_profile::lacks_sso;
use crate::error::{StoreError, StoreErrorKind};
use crate::trouble::chain;

/// How much of what S3 says of an error goes to the log.
const TOLD_CHARACTERS_MAX: usize = 300;

/// An error of S3: as it is told to whoever asked, and as a cause of trouble, which is the same whatever was asked for.
pub(super) struct Meaning {
    pub(super) error: StoreError,
    pub(super) cause: StoreError,
}

/// What an error of S3 while doing something means; `what` completes "could not". What S3 itself says of it goes to the log only:
/// it names buckets and keys.
pub(super) fn meaning(what: &str, error: &object_store::Error) -> Meaning {
    let text = chain(error);
    let code = code(&text).unwrap_or_default();
    let (kind, why) = reason(error, code, &text);
    let why = if code.is_empty() {
        why.to_owned()
    } else {
        format!("{why} ({code})")
    };
    let told = format!("could not {what}: {}", told(&error.to_string()));
    Meaning::new(kind, what, &why, told)
}

/// S3 said nothing while something was to be done.
pub(super) fn silence(what: &str) -> Meaning {
    let told = format!("could not {what}");
    let why = "S3 does not answer in time";
    Meaning::new(StoreErrorKind::Unavailable, what, why, told)
}

impl Meaning {
    fn new(kind: StoreErrorKind, what: &str, why: &str, told: String) -> Self {
        let end = match kind {
            StoreErrorKind::Denied => "",
            _ => "; try again later",
        };
        let error = StoreError::new(kind, format!("could not {what}: {why}{end}"));
        Self {
            error: error.with_source(told.clone()),
            cause: StoreError::new(kind, why).with_source(told),
        }
    }
}

fn reason(error: &object_store::Error, code: &str, text: &str) -> (StoreErrorKind, &'static str) {
    use StoreErrorKind::{Denied, Unavailable};
    use object_store::Error as E;
    if let Some(advice) = lacks_sso(text) {
        return (Denied, advice);
    }
    match (code, error) {
        ("NoSuchBucket", _) => (
            Denied,
            "the bucket is not there: create it, or correct --files",
        ),
        ("RequestTimeTooSkewed", _) => (
            Denied,
            "the clock of this server is not that of S3: set it right",
        ),
        (
            "ExpiredToken"
            | "InvalidToken"
            | "TokenRefreshRequired"
            | "InvalidAccessKeyId"
            | "InvalidClientTokenId"
            | "UnrecognizedClientException"
            | "SignatureDoesNotMatch",
            _,
        ) => (
            Denied,
            "S3 does not take the credentials of this server: correct or renew them",
        ),
        ("", E::Unauthenticated { .. }) => (
            Denied,
            "there are no credentials for S3, or it does not take them: see where the server looks for them",
        ),
        (
            "AuthorizationHeaderMalformed"
            | "PermanentRedirect"
            | "IllegalLocationConstraintException",
            _,
        ) => (
            Denied,
            "the bucket is in another region: correct region= in --files, or AWS_REGION",
        ),
        _ if text.contains("incorrectly configured region") => (
            Denied,
            "the bucket is in another region: correct region= in --files, or AWS_REGION",
        ),
        (_, E::PermissionDenied { .. } | E::Unauthenticated { .. }) => (
            Denied,
            "S3 does not let this server do it: its policy has to allow it",
        ),
        (_, E::NotFound { .. }) => (Unavailable, "it is not there any more"),
        _ => (Unavailable, "S3 cannot be reached, or fails"),
    }
}

/// Whether S3 says that it does not know how to do what was asked.
pub(super) fn is_unknown_to_it(error: &object_store::Error) -> bool {
    let not_implemented = matches!(
        error,
        object_store::Error::NotImplemented { .. } | object_store::Error::NotSupported { .. }
    );
    not_implemented || code(&chain(error)) == Some("NotImplemented")
}

/// Whether it is the bucket that is not there.
pub(super) fn is_of_bucket(error: &object_store::Error) -> bool {
    code(&chain(error)) == Some("NoSuchBucket")
}

/// The name that S3 gives the error.
fn code(text: &str) -> Option<&str> {
    let code = between(text, "<Code>", "</Code>")?;
    let is_name = code.bytes().all(|byte| byte.is_ascii_alphanumeric());
    (is_name && !code.is_empty() && code.len() <= 64).then_some(code)
}

/// What the log may know. An error in XML repeats what was signed, tokens included: of it only the code and the message.
fn told(text: &str) -> String {
    let told = match code(text) {
        Some(code) => {
            let message = between(text, "<Message>", "</Message>").unwrap_or_default();
            format!("S3 says {code}: {message}")
        }
        None => text.to_owned(),
    };
    told.chars().take(TOLD_CHARACTERS_MAX).collect()
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    Some(rest.split_once(after)?.0)
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    fn generic(text: &str) -> object_store::Error {
        object_store::Error::Generic {
            store: "S3",
            source: text.into(),
        }
    }

    #[test]
    fn what_somebody_has_to_correct_is_denied_and_an_outage_is_not() {
        for (text, kind, words) in [
            (
                "400: <Error><Code>ExpiredToken</Code></Error>",
                StoreErrorKind::Denied,
                "renew",
            ),
            (
                "403: <Code>InvalidAccessKeyId</Code>",
                StoreErrorKind::Denied,
                "credentials",
            ),
            (
                "404: <Code>NoSuchBucket</Code>",
                StoreErrorKind::Denied,
                "create it",
            ),
            (
                "403: <Code>RequestTimeTooSkewed</Code>",
                StoreErrorKind::Denied,
                "clock",
            ),
            (
                "this normally indicates an incorrectly configured region",
                StoreErrorKind::Denied,
                "region",
            ),
            (
                "503: <Code>SlowDown</Code>",
                StoreErrorKind::Unavailable,
                "try again",
            ),
            (
                "connection refused",
                StoreErrorKind::Unavailable,
                "try again",
            ),
        ] {
            let error = meaning("store a file", &generic(text)).error;
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.message().contains(words), "{error}");
            assert!(error.message().starts_with("could not store a file: "));
        }
    }

    #[test]
    fn the_log_gets_no_token_that_s3_repeats() {
        let text = "403: <Error><Code>SignatureDoesNotMatch</Code><Message>No.</Message>\
                    <CanonicalRequest>x-amz-security-token:s3cret</CanonicalRequest></Error>";
        let error = meaning("read a file", &generic(text)).error;
        let source = error.source().unwrap().to_string();
        assert!(source.ends_with(": S3 says SignatureDoesNotMatch: No."));
        assert!(!error.message().contains("s3cret"));
    }
}

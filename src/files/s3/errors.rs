//! Translates errors of S3: the text for the caller, and the text for the log.

use crate::aws_profile::lacks_sso;
use crate::error::chain;
use crate::error::{StoreError, StoreErrorKind};

/// The longest text of S3 in the log, in characters.
const S3_TEXT_CHARACTERS_MAX: usize = 300;

/// An error of S3 in two forms.
pub(super) struct ErrorReport {
    /// The error for the caller. The error names the action of the caller.
    pub(super) error: StoreError,
    /// The cause of the outage. The cause is the same for all requests.
    pub(super) cause: StoreError,
}

/// Translates an error of S3. `action` completes "could not". The text of S3 itself goes to the log only, because the text
/// names buckets and keys.
pub(super) fn report(action: &str, error: &object_store::Error) -> ErrorReport {
    let text = chain(error);
    let code = code(&text).unwrap_or_default();
    let (kind, reason) = kind_and_reason(error, code, &text);
    let reason = if code.is_empty() {
        reason.to_owned()
    } else {
        format!("{reason} ({code})")
    };
    let source = format!("could not {action}: {}", loggable(&error.to_string()));
    ErrorReport::new(kind, action, &reason, source)
}

/// The error for the caller alone. `action` completes "could not".
pub(super) fn store_error(action: &str, error: &object_store::Error) -> StoreError {
    report(action, error).error
}

/// The error of a request without an answer. `action` completes "could not".
pub(super) fn timeout_report(action: &str) -> ErrorReport {
    let source = format!("could not {action}");
    let reason = "S3 does not answer in time";
    ErrorReport::new(StoreErrorKind::Unavailable, action, reason, source)
}

impl ErrorReport {
    fn new(kind: StoreErrorKind, action: &str, reason: &str, source: String) -> Self {
        let advice = match kind {
            StoreErrorKind::Denied => "",
            _ => "; try again later",
        };
        let error = StoreError::new(kind, format!("could not {action}: {reason}{advice}"));
        Self {
            error: error.with_source(source.clone()),
            cause: StoreError::new(kind, reason).with_source(source),
        }
    }
}

fn kind_and_reason(
    error: &object_store::Error,
    code: &str,
    text: &str,
) -> (StoreErrorKind, &'static str) {
    use StoreErrorKind::{Denied, Unavailable};
    use object_store::Error as E;
    if let Some(advice) = lacks_sso(text) {
        return (Denied, advice);
    }
    match (code, error) {
        ("NoSuchBucket", _) => (
            Denied,
            "the bucket does not exist: create it, or correct --files",
        ),
        ("RequestTimeTooSkewed", _) => (
            Denied,
            "the clock of this server differs from the clock of S3: set the clock",
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
            "S3 does not accept the credentials of this server: correct or renew them",
        ),
        ("", E::Unauthenticated { .. }) => (
            Denied,
            "there are no credentials for S3, or S3 does not accept the credentials: see where the server looks for them",
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
            "S3 denies this server access: change the policy of the server",
        ),
        (_, E::NotFound { .. }) => (Unavailable, "the object does not exist any more"),
        _ => (Unavailable, "S3 cannot be reached, or fails"),
    }
}

/// Whether S3 lacks the requested feature.
pub(super) fn is_not_implemented(error: &object_store::Error) -> bool {
    let not_implemented = matches!(
        error,
        object_store::Error::NotImplemented { .. } | object_store::Error::NotSupported { .. }
    );
    not_implemented || code(&chain(error)) == Some("NotImplemented")
}

/// Whether the bucket is missing, and not only an object.
pub(super) fn is_bucket_missing(error: &object_store::Error) -> bool {
    code(&chain(error)) == Some("NoSuchBucket")
}

/// The error code of S3.
fn code(text: &str) -> Option<&str> {
    let code = between(text, "<Code>", "</Code>")?;
    let is_name = code.bytes().all(|byte| byte.is_ascii_alphanumeric());
    (is_name && !code.is_empty() && code.len() <= 64).then_some(code)
}

/// The part of an error of S3 that may be logged: of an XML error only the code and the message. The other parts repeat the signed text,
/// tokens included.
fn loggable(text: &str) -> String {
    let text = match code(text) {
        Some(code) => {
            let message = between(text, "<Message>", "</Message>").unwrap_or_default();
            format!("S3 says {code}: {message}")
        }
        None => text.to_owned(),
    };
    text.chars().take(S3_TEXT_CHARACTERS_MAX).collect()
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
    fn a_mistake_in_the_setup_is_denied_and_an_outage_is_unavailable() {
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
            let error = store_error("store a file", &generic(text));
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.message().contains(words), "{error}");
            assert!(error.message().starts_with("could not store a file: "));
        }
    }

    #[test]
    fn a_token_that_s3_repeats_is_not_logged() {
        let text = "403: <Error><Code>SignatureDoesNotMatch</Code><Message>No.</Message>\
                    <CanonicalRequest>x-amz-security-token:s3cret</CanonicalRequest></Error>";
        let error = store_error("read a file", &generic(text));
        let source = error.source().unwrap().to_string();
        assert!(source.ends_with(": S3 says SignatureDoesNotMatch: No."));
        assert!(!error.message().contains("s3cret"));
    }
}

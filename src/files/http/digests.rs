//! Digests of bodies (RFC 9530): `Content-Digest` and `Repr-Digest`.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use sha2::{Digest as _, Sha256, Sha512};

use crate::files::Digest;
use crate::http::{Problem, ProblemKind};

const CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");
pub(super) const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");

/// The value of `Repr-Digest`.
pub(super) fn header_value(digest: &Digest) -> Option<HeaderValue> {
    format!("sha-256=:{}:", STANDARD.encode(digest.0))
        .parse()
        .ok()
}

/// The digests named in a request.
#[derive(Debug, Default)]
pub(super) struct ExpectedDigests(Vec<(&'static str, Value)>);

#[derive(Debug, PartialEq, Eq)]
enum Value {
    Sha256([u8; 32]),
    Sha512([u8; 64]),
}

impl ExpectedDigests {
    /// Reads both headers. Unknown algorithms are ignored, as RFC 9530 requires.
    ///
    /// # Errors
    /// 400 when a header is not a dictionary of byte sequences, or a digest has the wrong length.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let mut expected_digests = Vec::new();
        for (name, shown) in [
            (CONTENT_DIGEST, "Content-Digest"),
            (REPR_DIGEST, "Repr-Digest"),
        ] {
            for value in headers.get_all(name) {
                let malformed = || {
                    Problem::new(
                        ProblemKind::InvalidParameter,
                        format!(
                            "the header {shown} is not like `sha-256=:base64 of the 32 bytes:`"
                        ),
                    )
                };
                let text = value.to_str().map_err(|_| malformed())?;
                for member in text.split(',') {
                    let (algorithm, rest) = member.trim().split_once('=').ok_or_else(malformed)?;
                    let (encoded, _parameters) = rest
                        .strip_prefix(':')
                        .and_then(|rest| rest.split_once(':'))
                        .ok_or_else(malformed)?;
                    let bytes = STANDARD.decode(encoded).map_err(|_| malformed())?;
                    let value = match algorithm {
                        "sha-256" => bytes.try_into().map(Value::Sha256),
                        "sha-512" => bytes.try_into().map(Value::Sha512),
                        _ => continue,
                    };
                    expected_digests.push((shown, value.map_err(|_| malformed())?));
                }
            }
        }
        Ok(Self(expected_digests))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The hashers for the digests in the comparison.
    pub(super) fn hashers(&self) -> Hashers {
        let wants_sha512 = self
            .0
            .iter()
            .any(|(_, value)| matches!(value, Value::Sha512(_)));
        Hashers {
            sha256: Sha256::new(),
            sha512: wants_sha512.then(Sha512::new),
        }
    }

    /// Checks that each expected digest equals a received digest: of the whole form, or of the file in the form.
    ///
    /// # Errors
    /// 400 with the name of the first header with a different digest.
    pub(super) fn check(&self, received: &[&Digests]) -> Result<(), Problem> {
        for (name, value) in &self.0 {
            let is_equal_to_one = received.iter().any(|digests| match value {
                Value::Sha256(value) => digests.sha256.0 == *value,
                Value::Sha512(value) => digests.sha512.as_deref() == Some(value),
            });
            if !is_equal_to_one {
                return Err(Problem::new(
                    ProblemKind::DigestMismatch,
                    format!(
                        "the received bytes do not have the digest in {name}; nothing was stored. Send the file again"
                    ),
                ));
            }
        }
        Ok(())
    }
}

/// Hashers of a stream of bytes.
#[derive(Clone, Debug)]
pub(super) struct Hashers {
    sha256: Sha256,
    sha512: Option<Sha512>,
}

/// The digests of received bytes.
#[derive(Debug)]
pub(super) struct Digests {
    pub(super) sha256: Digest,
    sha512: Option<Box<[u8; 64]>>,
}

impl Hashers {
    pub(super) fn update(&mut self, pieces: &[Bytes]) {
        for piece in pieces {
            self.sha256.update(piece);
            if let Some(sha512) = &mut self.sha512 {
                sha512.update(piece);
            }
        }
    }

    pub(super) fn finish(self) -> Digests {
        Digests {
            sha256: Digest(self.sha256.finalize().into()),
            sha512: self.sha512.map(|sha512| Box::new(sha512.finalize().into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expected_digests(values: &[&str]) -> Result<ExpectedDigests, Problem> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(REPR_DIGEST, value.parse().unwrap());
        }
        ExpectedDigests::of(&headers)
    }

    fn digests(of: &'static str, expected_digests: &ExpectedDigests) -> Digests {
        let mut hashers = expected_digests.hashers();
        hashers.update(&[Bytes::from(of)]);
        hashers.finish()
    }

    /// Of `{"hello": "world"}` and a line break, from RFC 9530.
    const BODY: &str = "{\"hello\": \"world\"}\n";
    const SHA_256: &str = "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:";
    const SHA_512: &str = "sha-512=:YMAam51Jz/jOATT6/zvHrLVgOYTGFy1d6GJiOHTohq4yP+pgk4vf2aCsyRZOtw8MjkM7iw7yZ/WkppmM44T3qg==:";

    #[test]
    fn digests_of_the_rfc_are_checked() {
        for values in [&[SHA_256][..], &[SHA_512], &[SHA_256, SHA_512]] {
            let expected_digests = expected_digests(values).unwrap();
            expected_digests
                .check(&[&digests(BODY, &expected_digests)])
                .unwrap();
            let problem = expected_digests
                .check(&[&digests("x", &expected_digests)])
                .unwrap_err();
            assert_eq!(problem.kind(), ProblemKind::DigestMismatch);
            let (x, body) = (
                digests("x", &expected_digests),
                digests(BODY, &expected_digests),
            );
            expected_digests.check(&[&x, &body]).unwrap();
        }
        let both = format!("md5=:AA==:, {SHA_256};p=1, {SHA_512}");
        assert_eq!(expected_digests(&[&both]).unwrap().0.len(), 2);
        assert!(expected_digests(&["md5=:AA==:"]).unwrap().is_empty());
    }

    #[test]
    fn what_is_no_digest_is_refused() {
        for bad in [
            "sha-256",
            "sha-256=abc",
            "sha-256=:AA==:",
            "sha-256=:!:",
            "sha-512=:AA==:",
            "",
        ] {
            assert!(expected_digests(&[bad]).is_err(), "{bad}");
        }
    }
}

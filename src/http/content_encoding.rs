//! How a body is compressed: `Content-Encoding` (RFC 9110, section 8.4).

use axum::http::{HeaderMap, header};

use super::{Problem, ProblemKind};

/// A content encoding of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentEncoding {
    /// No compression.
    Identity,
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
}

impl ContentEncoding {
    /// Reads `Content-Encoding`; `None` for an unknown encoding, and for several encodings.
    pub fn of_body(headers: &HeaderMap) -> Option<Self> {
        let lines = headers.get_all(header::CONTENT_ENCODING).iter();
        let codings = lines
            .flat_map(|line| line.as_bytes().split(|&byte| byte == b','))
            .map(<[u8]>::trim_ascii)
            .filter(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity"));
        let mut found = Self::Identity;
        for coding in codings {
            let is = |name: &[u8]| coding.eq_ignore_ascii_case(name);
            found = match found {
                Self::Identity if is(b"gzip") || is(b"x-gzip") => Self::Gzip,
                Self::Identity if is(b"zstd") => Self::Zstd,
                _ => return None,
            };
        }
        Some(found)
    }

    /// Checks that a body is not compressed.
    ///
    /// # Errors
    /// 415 with this `detail` when the body is compressed.
    pub fn require_identity(headers: &HeaderMap, detail: &'static str) -> Result<(), Problem> {
        if Self::of_body(headers) == Some(Self::Identity) {
            return Ok(());
        }
        let problem = Problem::new(ProblemKind::UnsupportedMediaType, detail);
        Err(problem.accept_encoding("identity"))
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn one_encoding_that_is_known_is_read() {
        use ContentEncoding::{Gzip, Identity, Zstd};
        for (lines, encoding) in [
            (&[][..], Some(Identity)),
            (&[""], Some(Identity)),
            (&["identity"], Some(Identity)),
            (&[" Identity , identity"], Some(Identity)),
            (&["gzip"], Some(Gzip)),
            (&["X-GZIP"], Some(Gzip)),
            (&["zstd"], Some(Zstd)),
            (&["identity, zstd"], Some(Zstd)),
            (&["identity", "gzip"], Some(Gzip)),
            (&["gzip, gzip"], None),
            (&["gzip", "zstd"], None),
            (&["br"], None),
            (&["gzip;q=1"], None),
        ] {
            let lines = lines
                .iter()
                .map(|line| (header::CONTENT_ENCODING, HeaderValue::from_static(line)));
            let headers: HeaderMap = lines.collect();
            assert_eq!(ContentEncoding::of_body(&headers), encoding, "{headers:?}");
            let is_identity = ContentEncoding::require_identity(&headers, "compressed").is_ok();
            assert_eq!(is_identity, encoding == Some(Identity), "{headers:?}");
        }
    }
}

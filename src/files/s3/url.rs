//! The URL of a bucket.

use percent_encoding::percent_decode_str;
use url::Url;

use super::key::PREFIX_BYTES_MAX;
use crate::backend_url::BackendUrl;
use crate::error::{StoreError, StoreErrorKind};

/// A parsed `s3://bucket/prefix?region=…&endpoint=…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BucketUrl {
    pub(super) bucket: String,
    /// The beginning of every key, without slashes at its ends. May be empty.
    pub(super) prefix: String,
    pub(super) region: Option<String>,
    pub(super) endpoint: Option<String>,
}

impl BucketUrl {
    /// Parses a URL. Does no I/O.
    ///
    /// # Errors
    /// [`StoreErrorKind::Unsupported`] names the mistake, and never shows a credential.
    pub(super) fn parse(url: &BackendUrl) -> Result<Self, StoreError> {
        let example =
            "write s3://bucket/prefix, with ?region=… and &endpoint=… where they are needed";
        let invalid = |reason: &str| {
            StoreError::new(
                StoreErrorKind::Unsupported,
                format!("{url} {reason}; {example}"),
            )
        };
        let parsed =
            Url::parse(&format!("s3:{}", url.rest())).map_err(|_| invalid("is not a URL"))?;
        if !parsed.username().is_empty() || parsed.password().is_some() {
            return Err(invalid(
                "has credentials in it, which logs would show: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY instead",
            ));
        }
        let bucket = parsed.host_str().filter(|host| !host.is_empty());
        let bucket = bucket.ok_or_else(|| invalid("names no bucket"))?;
        if parsed.port().is_some() || parsed.fragment().is_some() {
            return Err(invalid("has a port or a fragment"));
        }
        let prefix = percent_decode_str(parsed.path().trim_matches('/'))
            .decode_utf8()
            .ok()
            .filter(|prefix| prefix.len() <= PREFIX_BYTES_MAX)
            .ok_or_else(|| invalid("has a prefix that is too long, or not UTF-8"))?;
        let mut bucket_url = Self {
            bucket: bucket.to_owned(),
            prefix: prefix.into_owned(),
            region: None,
            endpoint: None,
        };
        for (name, value) in parsed.query_pairs() {
            let setting = match name.as_ref() {
                "region" => &mut bucket_url.region,
                "endpoint" => &mut bucket_url.endpoint,
                _ => {
                    return Err(invalid(
                        "has a parameter that is neither region nor endpoint",
                    ));
                }
            };
            *setting = Some(value.into_owned());
        }
        if let Some(endpoint) = &bucket_url.endpoint {
            let is_url = Url::parse(endpoint)
                .is_ok_and(|endpoint| matches!(endpoint.scheme(), "http" | "https"));
            if !is_url {
                return Err(invalid(
                    "has an endpoint that is not a URL such as http://127.0.0.1:9000",
                ));
            }
        }
        Ok(bucket_url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<BucketUrl, StoreError> {
        BucketUrl::parse(&url.parse().unwrap())
    }

    #[test]
    fn a_url_names_a_bucket_and_a_prefix() {
        let url =
            parse("s3://bucket/a/b%20c/?region=eu-central-1&endpoint=http%3A%2F%2F127.0.0.1:9000")
                .unwrap();
        assert_eq!(url.bucket, "bucket");
        assert_eq!(url.prefix, "a/b c");
        assert_eq!(url.region.as_deref(), Some("eu-central-1"));
        assert_eq!(url.endpoint.as_deref(), Some("http://127.0.0.1:9000"));
    }

    #[test]
    fn an_error_names_the_mistake_and_hides_credentials() {
        for (url, words) in [
            ("s3:", "bucket"),
            ("s3:///prefix", "bucket"),
            ("s3://key:s3cret@bucket", "credentials"),
            ("s3://bucket?endpont=x", "neither region nor endpoint"),
            ("s3://bucket?endpoint=127.0.0.1", "http://127.0.0.1:9000"),
            ("s3://bucket:80/", "port"),
        ] {
            let error = parse(url).unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Unsupported);
            assert!(error.message().contains(words), "{error}");
            assert!(!error.message().contains("s3cret"), "{error}");
        }
    }
}

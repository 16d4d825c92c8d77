//! From a URL and the machine's settings to a bucket.

use std::sync::Arc;
use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_credential_types::provider::SharedCredentialsProvider;
use object_store::aws::AmazonS3Builder;
use object_store::prefix::PrefixStore;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};
use percent_encoding::percent_decode_str;
use url::Url;

use super::client::S3Client;
use super::credentials::Credentials;
use super::key::PREFIX_BYTES_MAX;
use crate::backend_url::BackendUrl;
use crate::error::{StoreError, StoreErrorKind};

const CONNECT_TIME_MAX: Duration = Duration::from_secs(2);
/// How long S3 may be silent, which includes the time that a part takes on its way.
const SILENCE_MAX: Duration = Duration::from_secs(8);
/// The same while it makes a file of parts: what bounds that is a limit for the size of the file.
const JOINING_SILENCE_MAX: Duration = Duration::from_secs(600);
/// Below what S3 keeps an idle connection for.
const IDLE_TIME_MAX: Duration = Duration::from_secs(15);

/// What a signature names where there are no regions.
const REGION_OF_OTHERS: &str = "us-east-1";

/// What a URL says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BucketUrl {
    pub(super) bucket: String,
    pub(super) prefix: String,
    region: Option<String>,
    pub(super) endpoint: Option<String>,
}

/// How to get to a bucket.
#[derive(Debug)]
pub(super) struct Access {
    pub(super) place: BucketUrl,
    pub(super) region: String,
    pub(super) endpoint: Option<String>,
    pub(super) credentials: Arc<Credentials>,
    url: BackendUrl,
}

impl Access {
    /// From what a URL says and what the machine is set up with.
    pub(super) fn of(
        url: &BackendUrl,
        place: BucketUrl,
        credentials: Option<SharedCredentialsProvider>,
    ) -> Result<Self, StoreError> {
        let settings = settings(place.region.clone(), place.endpoint.is_some())?;
        let endpoint = place
            .endpoint
            .clone()
            .or_else(|| settings.endpoint_url().map(str::to_owned));
        let region = match (settings.region(), &endpoint) {
            (Some(region), _) => region.as_ref().to_owned(),
            // What is not Amazon's does not care, and a signature needs one.
            (None, Some(_)) => REGION_OF_OTHERS.to_owned(),
            (None, None) => {
                return Err(unsupported(format!(
                    "{url} needs a region: set AWS_REGION, or write ?region=eu-central-1"
                )));
            }
        };
        let credentials = match (credentials, settings.credentials_provider()) {
            (Some(given), _) => Credentials::of(given),
            (None, Some(chain)) => Credentials::of_the_machine(chain, region.clone()),
            (None, None) => {
                return Err(unsupported(format!(
                    "{url} needs credentials, and there is nowhere to look for them"
                )));
            }
        };
        Ok(Self {
            place,
            region,
            endpoint,
            credentials: Arc::new(credentials),
            url: url.clone(),
        })
    }

    fn is_plain(&self) -> bool {
        let endpoint = self.endpoint.as_deref();
        endpoint.is_some_and(|endpoint| endpoint.starts_with("http://"))
    }

    /// How requests are sent; S3 may be silent for so long.
    pub(super) fn client_options(&self) -> ClientOptions {
        client_options(self.is_plain(), SILENCE_MAX)
    }

    /// The bucket, with the prefix in front of every key.
    fn bucket(&self, silence_max: Duration) -> Result<Arc<dyn ObjectStore>, StoreError> {
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&self.place.bucket)
            .with_region(&self.region)
            .with_credentials(Arc::clone(&self.credentials) as _)
            .with_client_options(client_options(self.is_plain(), silence_max))
            .with_retry(retries())
            // A request for one object each: not everything that speaks S3 takes lists, and there is one to remove at a time.
            .with_disable_bulk_delete(true)
            // TLS protects what is sent; without it a digest in the signature does, for as much work as ours costs.
            .with_unsigned_payload(!self.is_plain())
            .with_virtual_hosted_style_request(self.endpoint.is_none());
        if let Some(endpoint) = &self.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        let store = builder
            .build()
            .map_err(|error| unsupported(format!("{} cannot be used: {error}", self.url)))?;
        Ok(if self.place.prefix.is_empty() {
            Arc::new(store)
        } else {
            Arc::new(PrefixStore::new(store, self.place.prefix.as_str()))
        })
    }
}

/// A bucket for files.
pub(super) fn connect(
    url: &BackendUrl,
    credentials: Option<SharedCredentialsProvider>,
) -> Result<S3Client, StoreError> {
    let access = Access::of(url, BucketUrl::of(url)?, credentials)?;
    Ok(S3Client::new(
        access.bucket(SILENCE_MAX)?,
        access.bucket(JOINING_SILENCE_MAX)?,
        Arc::clone(&access.credentials),
    ))
}

fn client_options(is_plain: bool, silence_max: Duration) -> ClientOptions {
    ClientOptions::new()
        .with_allow_http(is_plain)
        .with_connect_timeout(CONNECT_TIME_MAX)
        .with_read_timeout(silence_max)
        .with_timeout_disabled()
        .with_pool_idle_timeout(IDLE_TIME_MAX)
}

fn retries() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(1),
            base: 2.0,
        },
        max_retries: 4,
        retry_timeout: Duration::from_secs(4),
    }
}

impl BucketUrl {
    pub(super) fn of(url: &BackendUrl) -> Result<Self, StoreError> {
        let example =
            "write s3://bucket/prefix, with ?region=… and &endpoint=… where they are needed";
        let wrong = |why: &str| unsupported(format!("{url} {why}; {example}"));
        let parsed =
            Url::parse(&format!("s3:{}", url.rest())).map_err(|_| wrong("is not a URL"))?;
        if !parsed.username().is_empty() || parsed.password().is_some() {
            return Err(wrong(
                "has credentials in it, and they would end in logs: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
            ));
        }
        let bucket = parsed.host_str().filter(|host| !host.is_empty());
        let bucket = bucket.ok_or_else(|| wrong("names no bucket"))?;
        if parsed.port().is_some() || parsed.fragment().is_some() {
            return Err(wrong("has a port or a fragment"));
        }
        let prefix = percent_decode_str(parsed.path().trim_matches('/'));
        let prefix = prefix.decode_utf8().ok();
        let prefix = prefix
            .filter(|prefix| prefix.len() <= PREFIX_BYTES_MAX)
            .ok_or_else(|| wrong("has a prefix that is too long, or not UTF-8"))?;
        let mut place = Self {
            bucket: bucket.to_owned(),
            prefix: prefix.into_owned(),
            region: None,
            endpoint: None,
        };
        for (name, value) in parsed.query_pairs() {
            let setting = match name.as_ref() {
                "region" => &mut place.region,
                "endpoint" => &mut place.endpoint,
                _ => return Err(wrong("has a parameter that is neither region nor endpoint")),
            };
            *setting = Some(value.into_owned());
        }
        if let Some(endpoint) = &place.endpoint {
            let is_url = Url::parse(endpoint)
                .is_ok_and(|endpoint| matches!(endpoint.scheme(), "http" | "https"));
            if !is_url {
                return Err(wrong(
                    "has an endpoint that is not like http://127.0.0.1:9000",
                ));
            }
        }
        Ok(place)
    }
}

/// What AWS tools would use on this machine. On a thread with a runtime of its own, since the server's may not be running yet,
/// or may be the one that this is called from.
fn settings(
    region: Option<String>,
    has_endpoint: bool,
) -> Result<aws_config::SdkConfig, StoreError> {
    let failed = || {
        StoreError::new(
            StoreErrorKind::Internal,
            "could not read the settings of AWS",
        )
    };
    let load = move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let mut loader = aws_config::defaults(BehaviorVersion::latest());
        // What is not Amazon's needs none, and the search for one ends with a service that only Amazon's machines have.
        let region = region.or_else(|| has_endpoint.then(|| REGION_OF_OTHERS.to_owned()));
        if let Some(region) = region {
            loader = loader.region(aws_config::Region::new(region));
        }
        std::io::Result::Ok(runtime.block_on(loader.load()))
    };
    match std::thread::spawn(load).join() {
        Ok(loaded) => loaded.map_err(|error| failed().with_source(error)),
        Err(_) => Err(failed()),
    }
}

fn unsupported(message: String) -> StoreError {
    StoreError::new(StoreErrorKind::Unsupported, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(url: &str) -> Result<BucketUrl, StoreError> {
        BucketUrl::of(&url.parse().unwrap())
    }

    #[test]
    fn a_url_names_a_bucket_and_a_place_in_it() {
        let place =
            place("s3://bucket/a/b%20c/?region=eu-central-1&endpoint=http%3A%2F%2F127.0.0.1:9000")
                .unwrap();
        assert_eq!(place.bucket, "bucket");
        assert_eq!(place.prefix, "a/b c");
        assert_eq!(place.region.as_deref(), Some("eu-central-1"));
        assert_eq!(place.endpoint.as_deref(), Some("http://127.0.0.1:9000"));
    }

    #[test]
    fn mistakes_are_named_and_secrets_are_not() {
        for (url, words) in [
            ("s3:", "bucket"),
            ("s3:///prefix", "bucket"),
            ("s3://key:s3cret@bucket", "credentials"),
            ("s3://bucket?endpont=x", "neither region nor endpoint"),
            ("s3://bucket?endpoint=127.0.0.1", "http://127.0.0.1:9000"),
            ("s3://bucket:80/", "port"),
        ] {
            let error = place(url).unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Unsupported);
            assert!(error.message().contains(words), "{error}");
            assert!(!error.message().contains("s3cret"), "{error}");
        }
    }
}

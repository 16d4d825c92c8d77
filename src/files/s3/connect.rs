//! From a URL and the machine's settings to a bucket.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use aws_config::BehaviorVersion;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use object_store::aws::{AmazonS3Builder, AwsCredential};
use object_store::prefix::PrefixStore;
use object_store::{BackoffConfig, ClientOptions, CredentialProvider, ObjectStore, RetryConfig};
use tokio::sync::Mutex;
use url::Url;

use super::client::S3Client;
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

/// Credentials are renewed so long before they expire.
const RENEWED_BEFORE: Duration = Duration::from_secs(5 * 60);

/// What a URL says.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    bucket: String,
    prefix: String,
    region: Option<String>,
    endpoint: Option<String>,
}

/// The bucket, with the prefix in front of every key.
pub(super) fn connect(
    url: &BackendUrl,
    credentials: Option<SharedCredentialsProvider>,
) -> Result<S3Client, StoreError> {
    let place = Place::of(url)?;
    let settings = settings(place.region.clone(), place.endpoint.is_some())?;
    let endpoint = place
        .endpoint
        .clone()
        .or_else(|| settings.endpoint_url().map(str::to_owned));
    let is_plain = endpoint
        .as_deref()
        .is_some_and(|endpoint| endpoint.starts_with("http://"));
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
    let provider = credentials.or_else(|| settings.credentials_provider());
    let provider = provider.ok_or_else(|| {
        unsupported(format!(
            "{url} needs credentials, and there is nowhere to look for them"
        ))
    })?;
    let credentials = Arc::new(Credentials::new(provider));
    let bucket = |silence_max| -> Result<Arc<dyn ObjectStore>, StoreError> {
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&place.bucket)
            .with_region(&region)
            .with_credentials(Arc::clone(&credentials) as _)
            .with_client_options(client_options(is_plain, silence_max))
            .with_retry(retries())
            // A request for one object each: not everything that speaks S3 takes lists, and there is one to remove at a time.
            .with_disable_bulk_delete(true)
            // TLS protects what is sent; without it a digest in the signature does, for as much work as ours costs.
            .with_unsigned_payload(!is_plain)
            .with_virtual_hosted_style_request(endpoint.is_none());
        if let Some(endpoint) = &endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        let store = builder
            .build()
            .map_err(|error| unsupported(format!("{url} cannot be used: {error}")))?;
        Ok(if place.prefix.is_empty() {
            Arc::new(store)
        } else {
            Arc::new(PrefixStore::new(store, place.prefix.as_str()))
        })
    };
    Ok(S3Client::new(
        bucket(SILENCE_MAX)?,
        bucket(JOINING_SILENCE_MAX)?,
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

impl Place {
    fn of(url: &BackendUrl) -> Result<Self, StoreError> {
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
        let prefix = crate::http::percent_decode(parsed.path().trim_matches('/'), false)
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

/// The standard chain, asked when what it gave last is about to expire.
#[derive(Debug)]
struct Credentials {
    provider: SharedCredentialsProvider,
    last: Mutex<Option<(Arc<AwsCredential>, Option<SystemTime>)>>,
}

impl Credentials {
    fn new(provider: SharedCredentialsProvider) -> Self {
        Self {
            provider,
            last: Mutex::default(),
        }
    }
}

#[async_trait]
impl CredentialProvider for Credentials {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let mut last = self.last.lock().await;
        if let Some((credential, expiry)) = &*last
            && expiry.is_none_or(|expiry| SystemTime::now() + RENEWED_BEFORE < expiry)
        {
            return Ok(Arc::clone(credential));
        }
        let given = self.provider.provide_credentials().await.map_err(|error| {
            object_store::Error::Unauthenticated {
                path: String::new(),
                source: Box::new(error),
            }
        })?;
        let credential = Arc::new(AwsCredential {
            key_id: given.access_key_id().to_owned(),
            secret_key: given.secret_access_key().to_owned(),
            token: given.session_token().map(str::to_owned),
        });
        *last = Some((Arc::clone(&credential), given.expiry()));
        Ok(credential)
    }
}

fn unsupported(message: String) -> StoreError {
    StoreError::new(StoreErrorKind::Unsupported, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(url: &str) -> Result<Place, StoreError> {
        Place::of(&url.parse().unwrap())
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

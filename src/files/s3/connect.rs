//! Access to a bucket: from a URL and the AWS settings of the machine to a client.

use std::sync::Arc;
use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_credential_types::provider::SharedCredentialsProvider;
use object_store::aws::AmazonS3Builder;
use object_store::prefix::PrefixStore;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};

use super::client::S3Client;
use super::credentials::Credentials;
use super::url::BucketUrl;
use crate::backend_url::BackendUrl;
use crate::error::{StoreError, StoreErrorKind};

const CONNECT_TIME_MAX: Duration = Duration::from_secs(2);
/// The longest silence of S3 during a request. Sending a part counts as silence.
const READ_TIMEOUT: Duration = Duration::from_secs(8);
/// The same for uploads in parts: S3 is silent while S3 joins the parts. Another limit for the joining depends on the size of the file.
const MULTIPART_READ_TIMEOUT: Duration = Duration::from_secs(600);
/// Shorter than S3 keeps an idle connection open.
const IDLE_TIME_MAX: Duration = Duration::from_secs(15);

/// The region in signatures for S3 servers without regions.
const DEFAULT_REGION: &str = "us-east-1";

/// Everything for requests to a bucket: address, region and credentials.
#[derive(Debug)]
pub(super) struct BucketAccess {
    pub(super) bucket_url: BucketUrl,
    pub(super) region: String,
    pub(super) endpoint: Option<String>,
    pub(super) credentials: Arc<Credentials>,
    url: BackendUrl,
}

impl BucketAccess {
    /// Combines a URL with the AWS settings of the machine. Asks S3 nothing. `credentials` replace the credentials of the machine.
    ///
    /// # Errors
    /// [`StoreErrorKind::Unsupported`] when the URL is wrong, or the region or the credentials are missing.
    pub(super) async fn load(
        url: &BackendUrl,
        credentials: Option<SharedCredentialsProvider>,
    ) -> Result<Self, StoreError> {
        let bucket_url = BucketUrl::parse(url)?;
        let settings = load_settings(&bucket_url).await;
        let endpoint = bucket_url
            .endpoint
            .clone()
            .or_else(|| settings.endpoint_url().map(str::to_owned));
        let region = match (settings.region(), &endpoint) {
            (Some(region), _) => region.as_ref().to_owned(),
            // Only Amazon checks the region, but every signature needs a region.
            (None, Some(_)) => DEFAULT_REGION.to_owned(),
            (None, None) => {
                return Err(unsupported(format!(
                    "{url} needs a region: set AWS_REGION, or write ?region=eu-central-1"
                )));
            }
        };
        let credentials = match (credentials, settings.credentials_provider()) {
            (Some(provider), _) => Credentials::fixed(provider),
            (None, Some(chain)) => Credentials::of_machine(chain, region.clone()),
            (None, None) => {
                return Err(unsupported(format!(
                    "{url} needs credentials, and this machine has no source of credentials"
                )));
            }
        };
        Ok(Self {
            bucket_url,
            region,
            endpoint,
            credentials: Arc::new(credentials),
            url: url.clone(),
        })
    }

    /// Whether requests go without TLS.
    fn is_plain_http(&self) -> bool {
        let endpoint = self.endpoint.as_deref();
        endpoint.is_some_and(|endpoint| endpoint.starts_with("http://"))
    }

    /// The settings of the HTTP client.
    pub(super) fn client_options(&self) -> ClientOptions {
        client_options(self.is_plain_http(), READ_TIMEOUT)
    }

    /// The bucket, with the prefix in front of every key.
    fn object_store(&self, read_timeout: Duration) -> Result<Arc<dyn ObjectStore>, StoreError> {
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&self.bucket_url.bucket)
            .with_region(&self.region)
            .with_credentials(Arc::clone(&self.credentials) as _)
            .with_client_options(client_options(self.is_plain_http(), read_timeout))
            .with_retry(retries())
            // Not every S3 server accepts the removal of several objects in one request.
            .with_disable_bulk_delete(true)
            // TLS protects the body. Without TLS the signature has a digest of the body, and the digest costs a second SHA-256.
            .with_unsigned_payload(!self.is_plain_http())
            .with_virtual_hosted_style_request(self.endpoint.is_none());
        if let Some(endpoint) = &self.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        let store = builder
            .build()
            .map_err(|error| unsupported(format!("{} cannot be used: {error}", self.url)))?;
        Ok(if self.bucket_url.prefix.is_empty() {
            Arc::new(store)
        } else {
            Arc::new(PrefixStore::new(store, self.bucket_url.prefix.as_str()))
        })
    }
}

/// The client of a bucket. Asks S3 nothing.
///
/// # Errors
/// Those of [`BucketAccess::load`].
pub(super) async fn connect(
    url: &BackendUrl,
    credentials: Option<SharedCredentialsProvider>,
) -> Result<S3Client, StoreError> {
    let access = BucketAccess::load(url, credentials).await?;
    Ok(S3Client::new(
        access.object_store(READ_TIMEOUT)?,
        access.object_store(MULTIPART_READ_TIMEOUT)?,
        Arc::clone(&access.credentials),
    ))
}

fn client_options(is_plain_http: bool, read_timeout: Duration) -> ClientOptions {
    ClientOptions::new()
        .with_allow_http(is_plain_http)
        .with_connect_timeout(CONNECT_TIME_MAX)
        .with_read_timeout(read_timeout)
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

/// The settings of the AWS tools on this machine.
async fn load_settings(bucket_url: &BucketUrl) -> aws_config::SdkConfig {
    let mut loader = aws_config::defaults(BehaviorVersion::latest());
    // An S3 server that is not Amazon's needs no region. The search for a region would end with a request to a service, and only Amazon's
    // machines have this service.
    let has_endpoint = bucket_url.endpoint.is_some();
    let region = bucket_url.region.clone();
    let region = region.or_else(|| has_endpoint.then(|| DEFAULT_REGION.to_owned()));
    if let Some(region) = region {
        loader = loader.region(aws_config::Region::new(region));
    }
    loader.load().await
}

fn unsupported(message: String) -> StoreError {
    StoreError::new(StoreErrorKind::Unsupported, message)
}

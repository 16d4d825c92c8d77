//! Who we are in S3: from where the tools of AWS look for it, and looked for again when S3 does not take it any more.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use aws_config::BehaviorVersion;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use object_store::CredentialProvider;
use object_store::aws::AwsCredential;
use tokio::sync::Mutex;

/// Credentials are renewed so long before they expire.
const RENEWED_BEFORE: Duration = Duration::from_secs(5 * 60);

/// After a search that found none, or none that S3 takes, the next one is made so much later.
const SEARCH_PAUSE: Duration = Duration::from_secs(5);

/// Credentials, asked for when what was given last is about to expire, or is refused.
#[derive(Debug)]
pub(super) struct Credentials {
    last: Mutex<Last>,
    /// Where the search is made anew; none for credentials of the caller's.
    region: Option<String>,
}

#[derive(Debug)]
struct Last {
    provider: SharedCredentialsProvider,
    given: Option<(Arc<AwsCredential>, Option<SystemTime>)>,
    /// When the search was made last, and whether it is to be made anew: a chain remembers the files that it has read.
    searched_at: Option<Instant>,
    is_refused: bool,
    failure: Option<String>,
}

impl Credentials {
    /// Those of a caller.
    pub(super) fn of(provider: SharedCredentialsProvider) -> Self {
        Self {
            last: Mutex::new(Last::new(provider)),
            region: None,
        }
    }

    /// Those of the standard chain.
    pub(super) fn of_the_machine(chain: SharedCredentialsProvider, region: String) -> Self {
        Self {
            last: Mutex::new(Last::new(chain)),
            region: Some(region),
        }
    }

    /// S3 has refused them: they may have been renewed since they were asked for.
    pub(super) async fn refused(&self) {
        self.last.lock().await.is_refused = true;
    }

    /// Reads the settings of this machine again.
    async fn search_again(&self, last: &mut Last) {
        let Some(region) = &self.region else { return };
        let region = aws_config::Region::new(region.clone());
        let loader = aws_config::defaults(BehaviorVersion::latest()).region(region);
        if let Some(chain) = loader.load().await.credentials_provider() {
            last.provider = chain;
        }
    }
}

impl Last {
    fn new(provider: SharedCredentialsProvider) -> Self {
        Self {
            provider,
            given: None,
            searched_at: None,
            is_refused: false,
            failure: None,
        }
    }

    fn has_rested(&self) -> bool {
        self.searched_at
            .is_none_or(|searched_at| searched_at.elapsed() >= SEARCH_PAUSE)
    }

    /// What was given last, while it is good.
    fn good(&self) -> Option<Arc<AwsCredential>> {
        let (credential, expiry) = self.given.as_ref()?;
        let is_fresh = expiry.is_none_or(|expiry| SystemTime::now() + RENEWED_BEFORE < expiry);
        let is_good = if self.is_refused {
            !self.has_rested()
        } else {
            is_fresh
        };
        is_good.then(|| Arc::clone(credential))
    }
}

#[async_trait]
impl CredentialProvider for Credentials {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let mut last = self.last.lock().await;
        if let Some(credential) = last.good() {
            return Ok(credential);
        }
        if let Some(failure) = &last.failure
            && !last.has_rested()
        {
            return Err(none_found(failure.clone().into()));
        }
        if last.is_refused || last.failure.is_some() {
            self.search_again(&mut last).await;
        }
        let found = last.provider.provide_credentials().await;
        last.searched_at = Some(Instant::now());
        last.is_refused = false;
        match found {
            Ok(given) => {
                let credential = Arc::new(AwsCredential {
                    key_id: given.access_key_id().to_owned(),
                    secret_key: given.secret_access_key().to_owned(),
                    token: given.session_token().map(str::to_owned),
                });
                last.failure = None;
                last.given = Some((Arc::clone(&credential), given.expiry()));
                Ok(credential)
            }
            Err(error) => {
                last.failure = Some(crate::error::chain(&error));
                last.given = None;
                Err(none_found(Box::new(error)))
            }
        }
    }
}

fn none_found(source: Box<dyn std::error::Error + Send + Sync>) -> object_store::Error {
    object_store::Error::Unauthenticated {
        path: String::new(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use aws_credential_types::Credentials as Given;
    use aws_credential_types::provider::future;

    use super::*;

    /// Gives another key each time that it is asked.
    #[derive(Debug)]
    struct Rotating(AtomicUsize);

    impl ProvideCredentials for Rotating {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            let number = self.0.fetch_add(1, Ordering::Relaxed);
            let given = Given::new(number.to_string(), "secret", None, None, "tests");
            future::ProvideCredentials::ready(Ok(given))
        }
    }

    async fn key(credentials: &Credentials) -> String {
        credentials.get_credential().await.unwrap().key_id.clone()
    }

    #[tokio::test]
    async fn what_s3_refused_is_asked_for_again_and_not_at_every_request() {
        let credentials = Credentials::of(SharedCredentialsProvider::new(Rotating(0.into())));
        assert_eq!(key(&credentials).await, "0");
        assert_eq!(key(&credentials).await, "0");
        credentials.refused().await;
        assert_eq!(key(&credentials).await, "0", "asked for a moment ago");
        let long_ago = Instant::now().checked_sub(SEARCH_PAUSE);
        credentials.last.lock().await.searched_at = long_ago;
        assert_eq!(key(&credentials).await, "1");
        assert_eq!(key(&credentials).await, "1");
    }
}

//! The credentials for S3, from the usual places of AWS tools. The search is repeated when S3 rejects the credentials.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use aws_config::BehaviorVersion;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use object_store::CredentialProvider;
use object_store::aws::AwsCredential;
use tokio::sync::Mutex;

/// How long before their expiry credentials are renewed.
const RENEW_BEFORE: Duration = Duration::from_secs(5 * 60);

/// The pause after a search without success: no credentials were found, or S3 rejected them.
const SEARCH_PAUSE: Duration = Duration::from_secs(5);

/// Credentials with a renewal before the expiry, and after a rejection by S3.
#[derive(Debug)]
pub(super) struct Credentials {
    state: Mutex<State>,
    /// The region for a new search of the machine's settings; `None` for a fixed provider.
    region: Option<String>,
}

#[derive(Debug)]
struct State {
    provider: SharedCredentialsProvider,
    /// The last credentials from the provider, and their expiry.
    current: Option<(Arc<AwsCredential>, Option<SystemTime>)>,
    /// When the provider was asked last.
    searched_at: Option<Instant>,
    /// Whether S3 rejected the current credentials. A new search is needed then: a provider keeps the content of files in memory after the
    /// first read.
    is_rejected: bool,
    /// The error of the last search, when the search found nothing.
    search_error: Option<String>,
}

impl Credentials {
    /// Credentials of the given provider.
    pub(super) fn fixed(provider: SharedCredentialsProvider) -> Self {
        Self {
            state: Mutex::new(State::new(provider)),
            region: None,
        }
    }

    /// Credentials of the standard chain of AWS.
    pub(super) fn of_machine(chain: SharedCredentialsProvider, region: String) -> Self {
        Self {
            state: Mutex::new(State::new(chain)),
            region: Some(region),
        }
    }

    /// Records that S3 rejected the credentials. An operator may have renewed them since the search.
    pub(super) async fn reject(&self) {
        self.state.lock().await.is_rejected = true;
    }

    /// Reads the settings of this machine again.
    async fn search_again(&self, state: &mut State) {
        let Some(region) = &self.region else { return };
        let region = aws_config::Region::new(region.clone());
        let loader = aws_config::defaults(BehaviorVersion::latest()).region(region);
        if let Some(chain) = loader.load().await.credentials_provider() {
            state.provider = chain;
        }
    }
}

impl State {
    fn new(provider: SharedCredentialsProvider) -> Self {
        Self {
            provider,
            current: None,
            searched_at: None,
            is_rejected: false,
            search_error: None,
        }
    }

    fn may_search(&self) -> bool {
        self.searched_at
            .is_none_or(|searched_at| searched_at.elapsed() >= SEARCH_PAUSE)
    }

    /// The current credentials, while they can be used.
    fn usable(&self) -> Option<Arc<AwsCredential>> {
        let (credential, expiry) = self.current.as_ref()?;
        let is_fresh = expiry.is_none_or(|expiry| SystemTime::now() + RENEW_BEFORE < expiry);
        let is_usable = if self.is_rejected {
            !self.may_search()
        } else {
            is_fresh
        };
        is_usable.then(|| Arc::clone(credential))
    }
}

#[async_trait]
impl CredentialProvider for Credentials {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let mut state = self.state.lock().await;
        if let Some(credential) = state.usable() {
            return Ok(credential);
        }
        if let Some(error) = &state.search_error
            && !state.may_search()
        {
            return Err(not_found(error.clone().into()));
        }
        if state.is_rejected || state.search_error.is_some() {
            self.search_again(&mut state).await;
        }
        let found = state.provider.provide_credentials().await;
        state.searched_at = Some(Instant::now());
        state.is_rejected = false;
        match found {
            Ok(found) => {
                let credential = Arc::new(AwsCredential {
                    key_id: found.access_key_id().to_owned(),
                    secret_key: found.secret_access_key().to_owned(),
                    token: found.session_token().map(str::to_owned),
                });
                state.search_error = None;
                state.current = Some((Arc::clone(&credential), found.expiry()));
                Ok(credential)
            }
            Err(error) => {
                state.search_error = Some(crate::error::chain(&error));
                state.current = None;
                Err(not_found(Box::new(error)))
            }
        }
    }
}

fn not_found(source: Box<dyn std::error::Error + Send + Sync>) -> object_store::Error {
    object_store::Error::Unauthenticated {
        path: String::new(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use aws_credential_types::Credentials as AwsCredentials;
    use aws_credential_types::provider::future;

    use super::*;

    /// A provider with another key for each request.
    #[derive(Debug)]
    struct Rotating(AtomicUsize);

    impl ProvideCredentials for Rotating {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            let number = self.0.fetch_add(1, Ordering::Relaxed);
            let credentials =
                AwsCredentials::new(number.to_string(), "secret", None, None, "tests");
            future::ProvideCredentials::ready(Ok(credentials))
        }
    }

    async fn key(credentials: &Credentials) -> String {
        credentials.get_credential().await.unwrap().key_id.clone()
    }

    #[tokio::test]
    async fn rejected_credentials_are_renewed_after_a_pause() {
        let credentials = Credentials::fixed(SharedCredentialsProvider::new(Rotating(0.into())));
        assert_eq!(key(&credentials).await, "0");
        assert_eq!(key(&credentials).await, "0");
        credentials.reject().await;
        assert_eq!(key(&credentials).await, "0", "the pause is not over");
        let long_ago = Instant::now().checked_sub(SEARCH_PAUSE);
        credentials.state.lock().await.searched_at = long_ago;
        assert_eq!(key(&credentials).await, "1");
        assert_eq!(key(&credentials).await, "1");
    }
}

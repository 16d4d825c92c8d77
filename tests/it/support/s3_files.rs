//! Files on S3. The storage is empty and for a single test.

use std::sync::Arc;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use fieldstation::files::FileStore;
use fieldstation::files::s3::S3Store;

use super::{FileBackend, S3Kind, S3Server};

pub struct S3Backend {
    server: S3Server,
    store: Arc<S3Store>,
}

impl S3Backend {
    pub async fn start() -> Self {
        Self::start_kind(S3Kind::Moto).await
    }

    pub async fn start_kind(kind: S3Kind) -> Self {
        let server = S3Server::start_kind(kind);
        let credentials = Credentials::new("test", "test", None, None, "tests");
        let credentials = SharedCredentialsProvider::new(credentials);
        let url = server.url().parse().unwrap();
        let store = S3Store::open_with_credentials(&url, credentials)
            .await
            .unwrap();
        Self {
            server,
            store: Arc::new(store),
        }
    }
}

/// The same backend on ministack.
pub struct MinistackBackend;

impl MinistackBackend {
    pub async fn start() -> S3Backend {
        S3Backend::start_kind(S3Kind::Ministack).await
    }
}

impl FileBackend for S3Backend {
    fn store(&self) -> Arc<dyn FileStore> {
        Arc::clone(&self.store) as _
    }

    fn blobs(&self) -> Vec<String> {
        let mut blobs = self.server.keys();
        blobs.retain(|key| key.starts_with("some/place/content/"));
        blobs.extend(self.server.unfinished());
        blobs
    }

    fn outside(&self) -> Vec<String> {
        let mut keys = self.server.keys();
        keys.retain(|key| {
            let rest = key.strip_prefix("some/place/").unwrap_or("");
            let name = rest
                .strip_prefix("index/")
                .or_else(|| rest.strip_prefix("content/"));
            name.is_none_or(|name| name.contains('/'))
        });
        keys
    }

    fn plant_leftover(&self) {
        self.server.put("content/d-2f1!left");
        self.server.put("content/nobody!left");
        self.server.put("content/not%20ours");
        self.server.put("index/not%20ours");
    }

    /// A sweep keeps young objects, because a young object may belong to another replica.
    fn leftovers_swept(&self) -> u64 {
        0
    }
}

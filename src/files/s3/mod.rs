//! The backend on S3, or anything that speaks its language.
//!
//! As in the folder, a file is a blob of its own, and a small record that says which blob is a device's file:
//! `content/KEY!BLOB` and `index/KEY`, where KEY stands for the id (`key.rs`). Writing the record is the publication. S3
//! does that atomically, and only if the record is still the one that was read: so a condition holds at the moment of
//! publication, and of two replicas that publish at once each knows which blob it replaced. A listing of `index/` is a
//! listing of the devices, in their order. Whether a bucket knows conditions is tried before the first file is taken (`probe.rs`).

mod client;
mod connect;
mod content;
mod credentials;
mod errors;
mod index;
mod key;
pub mod older;
mod probe;
mod sweep;
mod timeouts;
mod upload;

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use aws_credential_types::provider::SharedCredentialsProvider;
use futures_util::{StreamExt, TryStreamExt};
use object_store::ObjectStore;
use parking_lot::Mutex;

use self::client::S3Client;
use self::content::S3Content;
use self::timeouts::Patience;
use self::upload::S3Upload;
use super::{Condition, DeviceId, FileInfo, FileStore, OpenFile, Page, Removal, Upload};
use crate::backend_url::BackendUrl;
use crate::error::{StoreError, StoreErrorKind};

/// How long an answer to "are you there?" is good for.
const READY_FOR: Duration = Duration::from_secs(2);

/// How often a sweep looks whether S3 is there.
const SWEEP_PAUSE: Duration = Duration::from_secs(15);

/// Files in a bucket.
#[derive(Debug)]
pub struct S3Store {
    client: Arc<S3Client>,
    /// The last time that S3 was seen to answer.
    ready_at: Mutex<Option<Instant>>,
}

impl S3Store {
    /// Files in the bucket that `s3://bucket/prefix?region=…&endpoint=…` names. Blocks while the machine's settings are read;
    /// S3 itself is not asked yet, so that the server starts while it is away.
    ///
    /// # Errors
    /// When the URL or the settings make no sense.
    pub fn open(url: &BackendUrl) -> Result<Self, StoreError> {
        Ok(Self::with(connect::connect(url, None)?))
    }

    /// [`S3Store::open`] with credentials of the caller's.
    ///
    /// # Errors
    /// As [`S3Store::open`].
    pub fn open_as(
        url: &BackendUrl,
        credentials: SharedCredentialsProvider,
    ) -> Result<Self, StoreError> {
        Ok(Self::with(connect::connect(url, Some(credentials))?))
    }

    fn with(client: S3Client) -> Self {
        Self {
            client: Arc::new(client),
            ready_at: Mutex::default(),
        }
    }
}

#[async_trait]
impl FileStore for S3Store {
    async fn begin(&self, device: &DeviceId) -> Result<Box<dyn Upload>, StoreError> {
        let mut patience = Patience::new();
        if !self.client.probe.is_proven() {
            let proof = self.client.probe.ensure(&self.client);
            patience
                .wait(Duration::ZERO, proof)
                .await
                .unwrap_or_else(|| Err(too_slow()))?;
        }
        Ok(Box::new(S3Upload::new(
            device.clone(),
            Arc::clone(&self.client),
            patience,
        )))
    }

    async fn info(&self, device: &DeviceId) -> Result<Option<FileInfo>, StoreError> {
        let found = index::find(&self.client, &mut Patience::new(), device).await?;
        Ok(found.map(|entry| entry.info))
    }

    async fn open(&self, device: &DeviceId) -> Result<Option<OpenFile>, StoreError> {
        let mut patience = Patience::new();
        let found = index::find(&self.client, &mut patience, device).await?;
        Ok(found.map(|entry| OpenFile {
            content: Box::new(S3Content::new(
                Arc::clone(&self.client),
                key::content(device, &entry.blob),
                entry.info.file.size_bytes,
                patience,
            )),
            info: entry.info,
        }))
    }

    async fn list(
        &self,
        after: Option<&DeviceId>,
        limit: usize,
    ) -> Result<Page<DeviceId>, StoreError> {
        let prefix = key::index_prefix();
        let objects = match after {
            Some(after) => self
                .client
                .store
                .list_with_offset(Some(&prefix), &key::index(after)),
            None => self.client.store.list(Some(&prefix)),
        };
        // What does not stand for an id is not ours.
        let listing = objects
            .try_filter_map(async |object| Ok(key::device(&object.location)))
            .take(limit + 1)
            .try_collect::<Vec<_>>();
        let mut items = Patience::new()
            .ask(&self.client, "list the files", listing)
            .await?;
        let more = items.len() > limit;
        items.truncate(limit);
        Ok(Page { items, more })
    }

    async fn remove(
        &self,
        device: &DeviceId,
        condition: &Condition,
    ) -> Result<Removal, StoreError> {
        let mut patience = Patience::new();
        let Some(entry) = index::find(&self.client, &mut patience, device).await? else {
            return Ok(if condition.holds(None) {
                Removal::Missing
            } else {
                Removal::Refused
            });
        };
        if !condition.holds(Some(&entry.info.tag())) {
            return Ok(Removal::Refused);
        }
        let record = key::index(device);
        self.client.delete(&mut patience, &record).await?;
        self.client.discard(key::content(device, &entry.blob));
        Ok(Removal::Removed)
    }

    async fn sweep(&self) -> Result<u64, StoreError> {
        // Asked for at the start, which is when what the bucket can do is found out, too. S3 may be away: the log says so, and
        // this waits until it is back.
        while self.client.probe.ensure(&self.client).await.is_err() {
            tokio::time::sleep(SWEEP_PAUSE).await;
        }
        sweep::sweep(&self.client).await
    }

    fn backend(&self) -> &'static str {
        "s3"
    }

    async fn ready(&self) -> Result<(), StoreError> {
        self.client.probe.ensure(&self.client).await?;
        let is_recent = |at: Instant| at.elapsed() < READY_FOR;
        if self.ready_at.lock().is_some_and(is_recent) {
            return Ok(());
        }
        // Past the last key that there may be: S3 answers, and has nothing to say.
        let mut nothing = self
            .client
            .store
            .list_with_offset(Some(&key::index_prefix()), &key::past_the_last());
        let answer = async { nothing.next().await.transpose() };
        Patience::new()
            .ask(&self.client, "reach the bucket", answer)
            .await?;
        *self.ready_at.lock() = Some(Instant::now());
        Ok(())
    }
}

fn too_slow() -> StoreError {
    StoreError::new(
        StoreErrorKind::Unavailable,
        "could not write to the bucket: S3 does not answer in time; try again later",
    )
}

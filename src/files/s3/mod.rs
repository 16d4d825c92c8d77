//! The backend on S3, or on any server with the API of S3.
//!
//! A file is a blob and a small record. The record says which blob is the file of the device: `content/KEY!BLOB` and `index/KEY`, where KEY
//! stands for the id of the device (`key.rs`). Writing the record publishes the file. S3 writes a record atomically, and only if the record
//! has not changed since the server read it. So a condition holds at the moment of publication. If two servers publish at the same time,
//! each server knows the replaced blob. A listing of `index/` lists the devices in order of their ids. Before the first file is accepted, a
//! probe tests whether the bucket has conditional writes (`probe.rs`).

mod client;
mod connect;
mod content;
mod credentials;
mod errors;
mod index;
mod key;
pub mod older;
mod outage;
mod probe;
mod status;
mod sweep;
mod timeouts;
mod upload;
mod url;

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use aws_credential_types::provider::SharedCredentialsProvider;
use futures_util::{StreamExt, TryStreamExt};
use object_store::ObjectStore;
use parking_lot::Mutex;

use self::client::{Leftover, S3Client};
use self::content::S3Content;
use self::timeouts::TimeBudget;
use self::upload::S3Upload;
use super::{Condition, DeviceId, FileInfo, FileStore, OpenFile, Page, Removal, Upload};
use crate::backend_url::BackendUrl;
use crate::error::{StoreError, StoreErrorKind};

/// How long an answer of S3 counts as a sign that the bucket can be reached.
const READY_FOR: Duration = Duration::from_secs(2);

/// The pause between two attempts of a sweep to reach S3.
const SWEEP_PAUSE: Duration = Duration::from_secs(15);

/// Files in a bucket.
#[derive(Debug)]
pub struct S3Store {
    client: Arc<S3Client>,
    /// When S3 answered last.
    ready_at: Mutex<Option<Instant>>,
}

impl S3Store {
    /// Opens the bucket of `s3://bucket/prefix?region=…&endpoint=…`. Reads the AWS settings of the machine, and sends no request to
    /// S3, so that the server starts during an outage of S3.
    ///
    /// # Errors
    /// [`StoreErrorKind::Unsupported`] when the URL or the settings are wrong.
    pub async fn open(url: &BackendUrl) -> Result<Self, StoreError> {
        Ok(Self::new(connect::connect(url, None).await?))
    }

    /// As [`S3Store::open`], with these credentials instead of those of the machine.
    ///
    /// # Errors
    /// As [`S3Store::open`].
    pub async fn open_with_credentials(
        url: &BackendUrl,
        credentials: SharedCredentialsProvider,
    ) -> Result<Self, StoreError> {
        Ok(Self::new(connect::connect(url, Some(credentials)).await?))
    }

    fn new(client: S3Client) -> Self {
        let client = Arc::new(client);
        outage::watch(&client);
        Self {
            client,
            ready_at: Mutex::default(),
        }
    }
}

#[async_trait]
impl FileStore for S3Store {
    async fn begin(&self, device: &DeviceId) -> Result<Box<dyn Upload>, StoreError> {
        let mut budget = TimeBudget::new();
        if !self.client.status.is_proven() {
            let probe = probe::ensure(&self.client);
            budget
                .wait(Duration::ZERO, probe)
                .await
                .unwrap_or_else(|| Err(timeout_error()))?;
        }
        Ok(Box::new(S3Upload::new(
            device.clone(),
            Arc::clone(&self.client),
            budget,
        )))
    }

    async fn info(&self, device: &DeviceId) -> Result<Option<FileInfo>, StoreError> {
        let found = index::find(&self.client, &mut TimeBudget::new(), device).await?;
        Ok(found.map(|entry| entry.info))
    }

    async fn open(&self, device: &DeviceId) -> Result<Option<OpenFile>, StoreError> {
        let mut budget = TimeBudget::new();
        let found = index::find(&self.client, &mut budget, device).await?;
        Ok(found.map(|entry| OpenFile {
            content: Box::new(S3Content::new(
                Arc::clone(&self.client),
                key::content(device, &entry.blob),
                entry.info.file.size_bytes,
                budget,
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
        // Objects of other programs have no device.
        let listing = objects
            .try_filter_map(async |object| Ok(key::device(&object.location)))
            .take(limit + 1)
            .try_collect::<Vec<_>>();
        let mut budget = TimeBudget::new();
        let mut items = self
            .client
            .request(&mut budget, "list the files", listing)
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
        let mut budget = TimeBudget::new();
        let Some(entry) = index::find(&self.client, &mut budget, device).await? else {
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
        self.client.delete(&mut budget, &record).await?;
        let blob = key::content(device, &entry.blob);
        self.client.clean_up(Leftover::Object(blob));
        Ok(Removal::Removed)
    }

    async fn sweep(&self) -> Result<u64, StoreError> {
        // The server sweeps at its start, so the sweep is also the first probe of the bucket. During an outage the log reports
        // the outage, and the sweep waits.
        while probe::ensure(&self.client).await.is_err() {
            tokio::time::sleep(SWEEP_PAUSE).await;
        }
        sweep::sweep(&self.client).await
    }

    fn backend(&self) -> &'static str {
        "s3"
    }

    async fn ready(&self) -> Result<(), StoreError> {
        probe::ensure(&self.client).await?;
        let is_recent = |at: Instant| at.elapsed() < READY_FOR;
        if self.ready_at.lock().is_some_and(is_recent) {
            return Ok(());
        }
        // The listing begins after the last possible key, so the answer is always empty.
        let mut empty = self
            .client
            .store
            .list_with_offset(Some(&key::index_prefix()), &key::after_all_records());
        let answer = async { empty.next().await.transpose() };
        let mut budget = TimeBudget::new();
        self.client
            .request(&mut budget, "reach the bucket", answer)
            .await?;
        *self.ready_at.lock() = Some(Instant::now());
        Ok(())
    }
}

fn timeout_error() -> StoreError {
    StoreError::new(
        StoreErrorKind::Unavailable,
        "could not write to the bucket: S3 does not answer in time; try again later",
    )
}

//! The client of a bucket. Every request to S3 has a time limit, a clear error, and a part in the log of outages.

use std::sync::Arc;
use std::time::Duration;

use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tracing::debug;

use super::credentials::Credentials;
use super::errors::{self, ErrorReport};
use super::status::BucketStatus;
use super::timeouts::TimeBudget;
use crate::error::{StoreError, StoreErrorKind};
use crate::outage_log::OutageLog;

/// The number of parts in memory, over all uploads: 30 MiB.
const PARTS_MAX: usize = 6;

/// How much longer S3 may take to join the parts of a file, for each byte. S3 sends nothing until the file is complete.
const JOIN_NANOS_PER_BYTE: u64 = 15;

/// How often the removal of a leftover is tried, and the first pause between two attempts. An outage of S3 is a usual reason for a
/// leftover, and the outage may continue.
const CLEANUP_ATTEMPTS_MAX: u32 = 8;
const CLEANUP_PAUSE: Duration = Duration::from_secs(1);

/// The number of leftovers that wait for their removal. A sweep removes the others.
const CLEANUPS_MAX: usize = 1000;

/// The client of a bucket.
#[derive(Debug)]
pub(super) struct S3Client {
    pub(super) store: Arc<dyn ObjectStore>,
    /// The same bucket for uploads in parts, with a longer read timeout.
    pub(super) multipart_store: Arc<dyn ObjectStore>,
    /// One permit for each part in memory.
    pub(super) part_permits: Arc<Semaphore>,
    pub(super) status: BucketStatus,
    credentials: Arc<Credentials>,
    cleanup_permits: Arc<Semaphore>,
    outage_log: OutageLog,
    /// The number of requests that failed through the fault of S3.
    failures: watch::Sender<u64>,
}

impl S3Client {
    pub(super) fn new(
        store: Arc<dyn ObjectStore>,
        multipart_store: Arc<dyn ObjectStore>,
        credentials: Arc<Credentials>,
    ) -> Self {
        Self {
            store,
            multipart_store,
            part_permits: Arc::new(Semaphore::new(PARTS_MAX)),
            status: BucketStatus::default(),
            credentials,
            cleanup_permits: Arc::new(Semaphore::new(CLEANUPS_MAX)),
            outage_log: OutageLog::new("files", "s3"),
            failures: watch::Sender::new(0),
        }
    }

    /// The answer to a request, when S3 sends the answer within the budget. `action` completes "could not".
    ///
    /// # Errors
    /// [`StoreErrorKind::Denied`] when S3 refuses; [`StoreErrorKind::Unavailable`] when S3 fails, or the time runs out.
    pub(super) async fn request<T>(
        &self,
        budget: &mut TimeBudget,
        action: &'static str,
        request: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T, StoreError> {
        self.long_request(budget, Duration::ZERO, action, request)
            .await
    }

    /// As [`Self::request`], with more time than the budget has.
    async fn long_request<T>(
        &self,
        budget: &mut TimeBudget,
        extra: Duration,
        action: &'static str,
        request: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T, StoreError> {
        match budget.wait(extra, request).await {
            Some(Ok(answer)) => Ok(answer),
            Some(Err(error)) => Err(self.request_error(action, &error).await),
            None => {
                let ErrorReport { error, cause } = errors::timeout_report(action);
                self.record_failure(&cause);
                Err(error)
            }
        }
    }

    /// The error for the caller of a failed request. The failure is recorded.
    pub(super) async fn request_error(
        &self,
        action: &str,
        error: &object_store::Error,
    ) -> StoreError {
        let ErrorReport { error, cause } = errors::report(action, error);
        if error.kind() == StoreErrorKind::Denied {
            self.credentials.reject().await;
            self.status.invalidate();
        }
        self.record_failure(&cause);
        error
    }

    /// Records a failure that S3 caused, for the log and the health of the server.
    pub(super) fn record_failure(&self, cause: &StoreError) {
        self.outage_log.report_failure(cause);
        self.failures.send_modify(|failures| *failures += 1);
    }

    /// Reports each failure that is recorded from now on.
    pub(super) fn subscribe_failures(&self) -> watch::Receiver<u64> {
        self.failures.subscribe()
    }

    /// Records that S3 works again.
    pub(super) fn end_outage(&self) {
        self.outage_log.report_success();
    }

    /// Joins the parts of a file of `size_bytes` bytes. The object exists when this returns `Ok`.
    pub(super) async fn complete_multipart(
        &self,
        budget: &mut TimeBudget,
        upload: &mut dyn MultipartUpload,
        path: &Path,
        size_bytes: u64,
    ) -> Result<(), StoreError> {
        let join_time = Duration::from_nanos(size_bytes.saturating_mul(JOIN_NANOS_PER_BYTE));
        let completion = async {
            match upload.complete().await {
                // A request is repeated when the answer was lost. Then the parts are already used up by the first request.
                Err(error @ object_store::Error::NotFound { .. }) => {
                    self.store.head(path).await.map_err(|_| error)?;
                    Ok(())
                }
                result => result.map(|_| ()),
            }
        };
        self.long_request(budget, join_time, "complete a file", completion)
            .await
    }

    /// Removes an object. A missing object is a success.
    pub(super) async fn delete(
        &self,
        budget: &mut TimeBudget,
        path: &Path,
    ) -> Result<(), StoreError> {
        let removal = async { ignore_missing(self.store.delete(path).await) };
        self.request(budget, "remove a file", removal).await
    }

    /// Aborts an upload in parts. A missing upload is a success.
    pub(super) async fn abort_multipart(
        &self,
        budget: &mut TimeBudget,
        upload: &mut dyn MultipartUpload,
    ) -> Result<(), StoreError> {
        let abort = async { ignore_missing(upload.abort().await) };
        self.request(budget, "abort an upload", abort).await
    }

    /// Removes a leftover in the background, with several attempts. If the leftover stays, a sweep removes the leftover.
    pub(super) fn clean_up(self: &Arc<Self>, mut leftover: Leftover) {
        let permit = Arc::clone(&self.cleanup_permits).try_acquire_owned();
        // An upload may be dropped while the runtime shuts down.
        let (Ok(permit), Ok(runtime)) = (permit, tokio::runtime::Handle::try_current()) else {
            debug!("an unused object stays in the bucket until the next sweep");
            return;
        };
        let client = Arc::clone(self);
        runtime.spawn(async move {
            let _permit = permit;
            for attempt in 1..=CLEANUP_ATTEMPTS_MAX {
                match leftover.remove(&client).await {
                    Ok(()) => return,
                    Err(error) if attempt == CLEANUP_ATTEMPTS_MAX || is_permanent(&error) => {
                        debug!(%error, "an unused object stays in the bucket until the next sweep");
                        return;
                    }
                    Err(_) => tokio::time::sleep(CLEANUP_PAUSE * 2_u32.pow(attempt)).await,
                }
            }
        });
    }
}

/// Whether another attempt fails in the same way.
fn is_permanent(error: &StoreError) -> bool {
    error.kind() == StoreErrorKind::Denied
}

fn ignore_missing(result: object_store::Result<()>) -> object_store::Result<()> {
    match result {
        Err(object_store::Error::NotFound { .. }) => Ok(()),
        result => result,
    }
}

/// A task that begins an upload in parts.
pub(super) type MultipartStart = JoinHandle<Result<Box<dyn MultipartUpload>, StoreError>>;

/// An unused object or upload in the bucket.
pub(super) enum Leftover {
    /// An object without a record.
    Object(Path),
    /// The beginning of an upload in parts.
    StartingUpload(MultipartStart),
    /// An upload in parts.
    Upload(Box<dyn MultipartUpload>),
}

impl Leftover {
    async fn remove(&mut self, client: &S3Client) -> Result<(), StoreError> {
        if let Self::StartingUpload(start) = self {
            match start.await {
                Ok(Ok(upload)) => *self = Self::Upload(upload),
                _ => return Ok(()),
            }
        }
        let mut budget = TimeBudget::new();
        match self {
            Self::Object(path) => client.delete(&mut budget, path).await,
            Self::Upload(upload) => client.abort_multipart(&mut budget, upload.as_mut()).await,
            Self::StartingUpload(_) => Ok(()),
        }
    }
}

//! What every request to S3 goes through: a limit in time, errors in words, and a broom.

use std::sync::Arc;
use std::time::Duration;

use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt};
use tokio::sync::Semaphore;
use tracing::warn;

use super::upload;
use crate::error::{StoreError, StoreErrorKind};

/// How long anything may take, retries included: a client hears within ten seconds that S3 is away.
pub(super) const TIME_MAX: Duration = Duration::from_millis(8500);

/// How much longer the parts of a file may take to become one, for each byte: S3 says nothing until it is done.
const JOINING_NANOS_PER_BYTE: u64 = 15;

/// How often, and with what pauses, cleaning up is tried: S3 may be away, which is why there is something to clean up.
const CLEAN_UPS_MAX: u32 = 8;
const CLEAN_UP_PAUSE: Duration = Duration::from_secs(1);

/// How many things may wait to be cleaned up. What is more is left to a sweep.
const CLEAN_UPS_WAITING_MAX: usize = 1000;

/// A bucket.
#[derive(Debug)]
pub(super) struct S3Client {
    pub(super) store: Arc<dyn ObjectStore>,
    /// The same for uploads in parts, with more patience for silence.
    pub(super) patient: Arc<dyn ObjectStore>,
    /// One for each part in memory.
    pub(super) parts: Arc<Semaphore>,
    clean_ups: Arc<Semaphore>,
}

impl S3Client {
    pub(super) fn new(store: Arc<dyn ObjectStore>, patient: Arc<dyn ObjectStore>) -> Self {
        Self {
            store,
            patient,
            parts: Arc::new(Semaphore::new(upload::PARTS_MAX)),
            clean_ups: Arc::new(Semaphore::new(CLEAN_UPS_WAITING_MAX)),
        }
    }

    /// Makes a file of its parts.
    pub(super) async fn complete(
        &self,
        upload: &mut dyn MultipartUpload,
        path: &Path,
        size_bytes: u64,
    ) -> Result<(), StoreError> {
        let joining = Duration::from_nanos(size_bytes.saturating_mul(JOINING_NANOS_PER_BYTE));
        in_this_time(TIME_MAX + joining, "complete a file", async {
            match upload.complete().await {
                // A request whose answer was lost is sent again, and then there are no parts any more.
                Err(error @ object_store::Error::NotFound { .. }) => {
                    self.store.head(path).await.map_err(|_| error)?;
                    Ok(())
                }
                result => result.map(|_| ()),
            }
        })
        .await
    }

    /// Removes an object; one that is not there is as good as removed.
    pub(super) async fn delete(&self, path: &Path) -> Result<(), StoreError> {
        in_time("remove a file", async {
            match self.store.delete(path).await {
                Err(object_store::Error::NotFound { .. }) => Ok(()),
                result => result,
            }
        })
        .await
    }

    /// Removes a blob that no record names, as soon as S3 lets it.
    pub(super) fn discard(self: &Arc<Self>, path: Path) {
        self.clean_up(Leftover::Blob(path));
    }

    /// Gives up an upload in parts, as soon as S3 lets it.
    pub(super) fn abort(self: &Arc<Self>, upload: Box<dyn MultipartUpload>) {
        self.clean_up(Leftover::Parts(upload));
    }

    fn clean_up(self: &Arc<Self>, mut leftover: Leftover) {
        let turn = Arc::clone(&self.clean_ups).try_acquire_owned();
        let (Ok(turn), Ok(runtime)) = (turn, tokio::runtime::Handle::try_current()) else {
            warn!("something that is no longer used stays in the bucket until it is swept");
            return;
        };
        let client = Arc::clone(self);
        runtime.spawn(async move {
            let _turn = turn;
            for attempt in 1..=CLEAN_UPS_MAX {
                match leftover.remove(&client).await {
                    Ok(()) => return,
                    Err(error) if attempt == CLEAN_UPS_MAX => {
                        warn!(%error, "something that is no longer used stays in the bucket until it is swept");
                    }
                    Err(_) => tokio::time::sleep(CLEAN_UP_PAUSE * 2_u32.pow(attempt)).await,
                }
            }
        });
    }
}

/// Something in the bucket that nobody uses any more.
enum Leftover {
    Blob(Path),
    Parts(Box<dyn MultipartUpload>),
}

impl Leftover {
    async fn remove(&mut self, client: &S3Client) -> Result<(), StoreError> {
        match self {
            Self::Blob(path) => client.delete(path).await,
            Self::Parts(upload) => {
                in_time("give up an upload", async {
                    match upload.abort().await {
                        Err(object_store::Error::NotFound { .. }) => Ok(()),
                        result => result,
                    }
                })
                .await
            }
        }
    }
}

/// The result of a request to S3, if it comes in time. `what` completes "could not".
pub(super) async fn in_time<T>(
    what: &'static str,
    request: impl Future<Output = object_store::Result<T>>,
) -> Result<T, StoreError> {
    in_this_time(TIME_MAX, what, request).await
}

async fn in_this_time<T>(
    time_max: Duration,
    what: &'static str,
    request: impl Future<Output = object_store::Result<T>>,
) -> Result<T, StoreError> {
    match tokio::time::timeout(time_max, request).await {
        Ok(result) => result.map_err(|error| failed(what, error)),
        Err(_) => Err(StoreError::new(
            StoreErrorKind::Unavailable,
            format!("could not {what}: S3 does not answer in time; try again later"),
        )),
    }
}

/// An error of S3 while doing something. What S3 itself says of it goes to the log only: it names buckets and keys.
pub(super) fn failed(what: &str, error: object_store::Error) -> StoreError {
    use object_store::Error as E;
    let why = match &error {
        E::NotFound { .. } => "the bucket, or what is in it, is not there",
        E::PermissionDenied { .. } | E::Unauthenticated { .. } => {
            "S3 does not let this server do it"
        }
        _ => "S3 cannot be reached, or fails",
    };
    StoreError::new(
        StoreErrorKind::Unavailable,
        format!("could not {what}: {why}; try again later"),
    )
    .with_source(error)
}

//! What every request to S3 goes through: a limit in time, errors in words, a look at how S3 is, and a broom.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt};
use tokio::sync::Semaphore;
use tracing::debug;

use super::credentials::Credentials;
use super::failure::Meaning;
use super::patience::Patience;
use super::probe::Probe;
use super::{failure, upload};
use crate::error::{StoreError, StoreErrorKind};
use crate::outage_log::OutageLog;

/// How much longer the parts of a file may take to become one, for each byte: S3 says nothing until it is done.
const JOINING_NANOS_PER_BYTE: u64 = 15;

/// How often, and with what pauses, cleaning up is tried: S3 may be away, which is why there is something to clean up.
const CLEAN_UPS_MAX: u32 = 8;
const CLEAN_UP_PAUSE: Duration = Duration::from_secs(1);

/// How many things may wait to be cleaned up. What is more is left to a sweep.
const CLEAN_UPS_WAITING_MAX: usize = 1000;

/// While there is trouble, whether it is over is looked at so often: doubled from the first.
const LOOK_PAUSE_MIN: Duration = Duration::from_secs(1);
const LOOK_PAUSE_MAX: Duration = Duration::from_secs(5);

/// A bucket.
#[derive(Debug)]
pub(super) struct S3Client {
    pub(super) store: Arc<dyn ObjectStore>,
    /// The same for uploads in parts, with more patience for silence.
    pub(super) patient: Arc<dyn ObjectStore>,
    /// One for each part in memory.
    pub(super) parts: Arc<Semaphore>,
    pub(super) probe: Probe,
    credentials: Arc<Credentials>,
    clean_ups: Arc<Semaphore>,
    outage_log: OutageLog,
    failures: AtomicU64,
    is_watched: AtomicBool,
}

impl S3Client {
    pub(super) fn new(
        store: Arc<dyn ObjectStore>,
        patient: Arc<dyn ObjectStore>,
        credentials: Arc<Credentials>,
    ) -> Self {
        Self {
            store,
            patient,
            parts: Arc::new(Semaphore::new(upload::PARTS_MAX)),
            probe: Probe::default(),
            credentials,
            clean_ups: Arc::new(Semaphore::new(CLEAN_UPS_WAITING_MAX)),
            outage_log: OutageLog::new("files", "s3"),
            failures: AtomicU64::new(0),
            is_watched: AtomicBool::new(false),
        }
    }

    /// Makes a file of its parts.
    pub(super) async fn complete(
        self: &Arc<Self>,
        patience: &mut Patience,
        upload: &mut dyn MultipartUpload,
        path: &Path,
        size_bytes: u64,
    ) -> Result<(), StoreError> {
        let joining = Duration::from_nanos(size_bytes.saturating_mul(JOINING_NANOS_PER_BYTE));
        let completion = async {
            match upload.complete().await {
                // A request whose answer was lost is sent again, and then there are no parts any more.
                Err(error @ object_store::Error::NotFound { .. }) => {
                    self.store.head(path).await.map_err(|_| error)?;
                    Ok(())
                }
                result => result.map(|_| ()),
            }
        };
        patience
            .ask_longer(self, joining, "complete a file", completion)
            .await
    }

    /// Removes an object; one that is not there is as good as removed.
    pub(super) async fn delete(
        self: &Arc<Self>,
        patience: &mut Patience,
        path: &Path,
    ) -> Result<(), StoreError> {
        let removal = async {
            match self.store.delete(path).await {
                Err(object_store::Error::NotFound { .. }) => Ok(()),
                result => result,
            }
        };
        patience.ask(self, "remove a file", removal).await
    }

    /// What an error of S3 means, which the log and whoever asks for the health of the whole get to know, too.
    pub(super) async fn failed(
        self: &Arc<Self>,
        what: &str,
        error: &object_store::Error,
    ) -> StoreError {
        let Meaning { error, cause } = failure::meaning(what, error);
        if error.kind() == StoreErrorKind::Denied {
            self.credentials.refused().await;
            self.probe.forget();
        }
        self.in_trouble(&cause);
        error
    }

    /// What it means that S3 does not answer, with the same consequences.
    pub(super) fn silent(self: &Arc<Self>, what: &str) -> StoreError {
        let Meaning { error, cause } = failure::silence(what);
        self.in_trouble(&cause);
        error
    }

    /// Something failed, and it was S3's doing.
    pub(super) fn in_trouble(self: &Arc<Self>, cause: &StoreError) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.outage_log.report_failure(cause);
        self.watch();
    }

    /// Looks from time to time whether the trouble is over. Nothing else ends it: while some requests fail and others do not, there
    /// would be a line in the log for each.
    fn watch(self: &Arc<Self>) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        if self.is_watched.swap(true, Ordering::AcqRel) {
            return;
        }
        let client = Arc::downgrade(self);
        runtime.spawn(async move {
            let mut pause = LOOK_PAUSE_MIN;
            loop {
                tokio::time::sleep(pause).await;
                let Some(client) = client.upgrade() else {
                    return;
                };
                let failures = client.failures.load(Ordering::Relaxed);
                if client.probe.look(&client).await.is_ok()
                    && client.failures.load(Ordering::Relaxed) == failures
                {
                    client.is_watched.store(false, Ordering::Release);
                    client.outage_log.report_success();
                    return;
                }
                pause = (pause * 2).min(LOOK_PAUSE_MAX);
            }
        });
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
            debug!("something that is no longer used stays in the bucket until it is swept");
            return;
        };
        let client = Arc::clone(self);
        runtime.spawn(async move {
            let _turn = turn;
            for attempt in 1..=CLEAN_UPS_MAX {
                match leftover.remove(&client).await {
                    Ok(()) => return,
                    Err(error) if attempt == CLEAN_UPS_MAX || is_final(&error) => {
                        debug!(%error, "something that is no longer used stays in the bucket until it is swept");
                        return;
                    }
                    Err(_) => tokio::time::sleep(CLEAN_UP_PAUSE * 2_u32.pow(attempt)).await,
                }
            }
        });
    }
}

/// Whether trying again changes nothing.
fn is_final(error: &StoreError) -> bool {
    error.kind() == StoreErrorKind::Denied
}

/// Something in the bucket that nobody uses any more.
enum Leftover {
    Blob(Path),
    Parts(Box<dyn MultipartUpload>),
}

impl Leftover {
    async fn remove(&mut self, client: &Arc<S3Client>) -> Result<(), StoreError> {
        let mut patience = Patience::new();
        match self {
            Self::Blob(path) => client.delete(&mut patience, path).await,
            Self::Parts(upload) => give_up(client, &mut patience, upload.as_mut()).await,
        }
    }
}

/// Gives up an upload in parts; one that is not there is as good as given up.
pub(super) async fn give_up(
    client: &Arc<S3Client>,
    patience: &mut Patience,
    upload: &mut dyn MultipartUpload,
) -> Result<(), StoreError> {
    let end = async {
        match upload.abort().await {
            Err(object_store::Error::NotFound { .. }) => Ok(()),
            result => result,
        }
    };
    patience.ask(client, "give up an upload", end).await
}

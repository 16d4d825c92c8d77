//! Whether the store is open, and the progress of the start until then.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::watch;

use super::queue::CloseReason;
use crate::error::{StoreError, StoreErrorKind};
use crate::readings::embedded::progress::Progress;

/// How long a read waits for the store to open.
const READ_TIMEOUT: Duration = Duration::from_millis(250);

/// The status of the start.
#[derive(Debug)]
pub(crate) struct Opening {
    pub(crate) progress: Progress,
    /// Every read checks this flag.
    is_open: AtomicBool,
    failure: OnceLock<StoreError>,
    /// Becomes true when the store is open, or could not be opened.
    ended: watch::Sender<bool>,
}

impl Default for Opening {
    fn default() -> Self {
        Self {
            progress: Progress::default(),
            is_open: AtomicBool::new(false),
            failure: OnceLock::new(),
            ended: watch::Sender::new(false),
        }
    }
}

impl Opening {
    pub(crate) fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Acquire)
    }

    pub(crate) fn succeeded(&self) {
        self.is_open.store(true, Ordering::Release);
        self.ended.send_replace(true);
    }

    pub(crate) fn failed(&self, error: &StoreError) {
        self.failure
            .get_or_init(|| StoreError::new(error.kind(), error.message()));
        self.ended.send_replace(true);
    }

    /// The reason why the opening of the store failed, if it failed.
    pub(crate) fn failure(&self) -> Option<StoreError> {
        let failure = self.failure.get()?;
        Some(StoreError::new(failure.kind(), failure.message()))
    }

    /// Checks that the store is open.
    ///
    /// # Errors
    /// [`StoreErrorKind::Unavailable`] while the store is not open.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        if self.is_open() {
            return Ok(());
        }
        if self.failure.get().is_some() {
            return Err(CloseReason::NotOpened.error());
        }
        let percent = self.progress.percent();
        Err(StoreError::new(
            StoreErrorKind::Unavailable,
            format!(
                "the server has just started and is reading what is stored, {percent} % so far; try again in a moment"
            ),
        ))
    }

    /// Waits for the store to open, at most [`READ_TIMEOUT`].
    ///
    /// # Errors
    /// [`StoreErrorKind::Unavailable`] if the store is still not open.
    pub(crate) async fn wait(&self) -> Result<(), StoreError> {
        if !self.is_open() {
            let mut ended = self.ended.subscribe();
            // The sender lives as long as `self`. The check below reads the result.
            let _ = tokio::time::timeout(READ_TIMEOUT, ended.wait_for(|&ended| ended)).await;
        }
        self.check()
    }
}

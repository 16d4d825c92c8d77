//! Opening the store: it reads what is on disk while the server may listen already.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::watch;
use tracing::info;

use super::committer::Shared;
use super::options::EmbeddedOptions;
use super::progress::Progress;
use super::queue::Closed;
use super::recovery::{self, Recovered};
use super::schema::DATABASE;
use super::writer::Writer;
use super::{chunks, database};
use crate::error::{StoreError, StoreErrorKind};
use crate::storage::data_directory::DataDirectory;
use crate::storage::sqlite::write_ahead_log::Checkpointer;

/// How long a read waits for the store to be open.
const READ_PATIENCE: Duration = Duration::from_millis(250);

/// How far the store is on its way to be open.
#[derive(Debug)]
pub(crate) struct Opening {
    pub(crate) progress: Progress,
    /// Asked by every read.
    is_open: AtomicBool,
    failure: OnceLock<StoreError>,
    /// Turns true when it is open or has failed.
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

    /// Why the store could not be opened.
    pub(crate) fn failure(&self) -> Option<StoreError> {
        let failure = self.failure.get()?;
        Some(StoreError::new(failure.kind(), failure.message()))
    }

    /// # Errors
    /// [`StoreErrorKind::Unavailable`] while the store is not open.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        if self.is_open() {
            return Ok(());
        }
        if self.failure.get().is_some() {
            return Err(Closed::NotOpened.error());
        }
        let percent = self.progress.percent();
        Err(StoreError::new(
            StoreErrorKind::Unavailable,
            format!(
                "the server has just started and is reading what is stored, {percent} % so far; try again in a moment"
            ),
        ))
    }

    /// Waits a moment for the store to be open.
    ///
    /// # Errors
    /// [`StoreErrorKind::Unavailable`] when it is not open by then.
    pub(crate) async fn wait(&self) -> Result<(), StoreError> {
        if !self.is_open() {
            let mut ended = self.ended.subscribe();
            // The sender lives as long as this does; what came of it is looked at next.
            let _ = tokio::time::timeout(READ_PATIENCE, ended.wait_for(|&ended| ended)).await;
        }
        self.check()
    }
}

/// Opens the file, creating it if it is missing, and puts what it holds into memory. Where nothing is ever written, there is no
/// writer, and no file is made or changed.
pub(super) fn open(
    directory: Arc<DataDirectory>,
    options: &EmbeddedOptions,
    shared: &Shared,
) -> Result<Option<Writer>, StoreError> {
    let progress = &shared.opening.progress;
    if directory.is_read_only() {
        let connection = database::open_reader_of(&directory)?;
        shared.take(recovery::recover(&connection, progress)?);
        return Ok(None);
    }
    let mut connection = directory.open_writer(&DATABASE)?;
    let checkpointer = Checkpointer::new(&mut connection, DATABASE.checkpoint_pages)
        .map_err(|error| DATABASE.error("open readings.db", error))?;
    let mut recovered = recovery::recover(&connection, progress)?;
    recovered.count(&connection, options, progress)?;
    let last_data = chunks::last_data(&connection)?;
    let writer = Writer::new(
        options.clone(),
        directory,
        connection,
        checkpointer,
        &recovered,
        last_data,
    );
    shared.take(recovered);
    Ok(Some(writer))
}

impl Shared {
    /// From now on what was recovered can be read.
    fn take(&self, recovered: Recovered) {
        info!(
            sensors = recovered.index.len(),
            readings = recovered.index.totals.count(),
            log_rows = recovered.log_rows,
            "readings are open"
        );
        *self.totals.lock() = recovered.index.totals;
        *self.index.write() = recovered.index;
    }
}

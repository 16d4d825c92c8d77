//! The writer: the connection for writes, the pending changes, and the state of sealing and counting.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::deferred::PreparedBatch;
use super::lookups::BatchLookups;
use super::pending::Pending;
use super::stored_readings::StoredReadings;
use crate::error::StoreError;
use crate::readings::embedded::format::file::{FILE_NAME, failed};
use crate::readings::embedded::format::ledger::Ledger;
use crate::readings::embedded::index::Index;
use crate::readings::embedded::options::EmbeddedOptions;
use crate::readings::embedded::periods::{Counting, Uncounted};
use crate::readings::embedded::seal::sealer::Sealer;
use crate::readings::embedded::seal::slice::Slice;
use crate::readings::embedded::sensor::range_cache::RangeCache;
use crate::readings::{Batch, Outcome};
use crate::storage::data_directory::DataDirectory;
use crate::storage::sqlite::write_ahead_log::{self, Checkpointer};

/// How long maintenance pauses after a refused commit.
const MAINTENANCE_BACK_OFF: Duration = Duration::from_secs(1);

/// How many log rows a commit removes at most.
const LOG_ROWS_REMOVED_MAX: u64 = 256;

/// How many log rows a commit removes at most while the store closes.
const LOG_ROWS_REMOVED_MAX_CLOSING: u64 = 65_536;

/// How long the last checkpoint of the write-ahead log waits for readers.
const CLOSING_CHECKPOINT_TIMEOUT: Duration = Duration::from_millis(100);

/// The state from which the writer continues.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start {
    pub(crate) ledger: Ledger,
    /// The sequence of the last log row.
    pub(crate) last_sequence: u64,
    /// The number of readings in the log.
    pub(crate) log_readings: usize,
    /// The highest row number in `chunk_data`.
    pub(crate) last_data: i64,
}

pub(crate) struct Writer {
    pub(super) options: EmbeddedOptions,
    pub(super) directory: Arc<DataDirectory>,
    pub(super) connection: Connection,
    pub(super) folding: Checkpointer,
    pub(super) cache: RangeCache,
    /// The changes of the commit in preparation.
    pub(super) pending: Pending,
    pub(super) sealer: Sealer,
    pub(super) counting: Counting,
    pub(super) last_sequence: u64,
    /// Log rows up to this sequence are removed.
    pub(super) log_removed: u64,
    /// How many log rows a commit removes at most.
    pub(super) log_rows_removed_max: u64,
    /// Set after a refused commit (the disk is full): until then only readings are written, without maintenance.
    pub(super) maintenance_paused_until: Option<Instant>,
}

impl Writer {
    pub(crate) fn new(
        options: EmbeddedOptions,
        directory: Arc<DataDirectory>,
        connection: Connection,
        folding: Checkpointer,
        start: Start,
    ) -> Self {
        let mut sealer = Sealer::new(start.ledger, start.last_data);
        sealer.logged(start.log_readings);
        Self {
            options,
            directory,
            connection,
            folding,
            cache: RangeCache::default(),
            pending: Pending::default(),
            sealer,
            counting: Counting::new(&start.ledger),
            last_sequence: start.last_sequence,
            log_removed: 0,
            log_rows_removed_max: LOG_ROWS_REMOVED_MAX,
            maintenance_paused_until: None,
        }
    }

    /// Lists the lookups for a batch.
    pub(crate) fn lookups(&self, batch: &Batch, index: &Index) -> BatchLookups {
        BatchLookups::new(batch, index, |number| self.is_stuck(number, index))
    }

    /// Lists the lookups that a waiting batch may need.
    pub(crate) fn widen_to_all(&self, lookups: &mut BatchLookups, batch: &Batch, index: &Index) {
        lookups.widen_to_all(batch, index, |number| self.is_stuck(number, index));
    }

    /// Makes lookups until the deadline, at least one. Returns whether all are made. All lookups before [`Writer::end_lookups`]
    /// share a read transaction, because the start of a transaction takes as long as half a lookup.
    pub(crate) fn advance(
        &mut self,
        lookups: &mut BatchLookups,
        index: &Index,
        deadline: Instant,
    ) -> Result<bool, StoreError> {
        if !lookups.is_empty() && self.connection.is_autocommit() {
            self.execute("BEGIN")?;
        }
        lookups.advance(index, &mut self.cache, &self.connection, deadline)
    }

    /// Ends the read transaction of the lookups.
    pub(crate) fn end_lookups(&self) -> Result<(), StoreError> {
        if self.connection.is_autocommit() {
            return Ok(());
        }
        self.execute("COMMIT")
    }

    /// Whether sealing or counting is so far behind that late readings must wait. Always `false` while maintenance pauses.
    pub(crate) fn is_overcrowded(&self, index: &Index) -> bool {
        self.maintenance_paused_until.is_none()
            && (self.sealer.is_overcrowded(index, &self.options)
                || self.counting.is_crowded(&index.uncounted, &self.options))
    }

    fn is_stuck(&self, number: u32, index: &Index) -> bool {
        self.sealer.is_stuck(number, index, &self.options)
    }

    /// Removes the pending changes.
    pub(crate) fn clear_pending(&mut self) {
        self.pending.clear();
    }

    /// Frees the memory of an unusually large commit.
    pub(crate) fn shrink_pending(&mut self) {
        self.pending.shrink(4 * self.options.commit_readings_max);
    }

    /// Adds a batch to the pending changes, compared with the stored readings.
    ///
    /// # Errors
    /// After an error the changes are incomplete: call [`Writer::clear_pending`], and admit the other batches again.
    pub(crate) fn admit(
        &mut self,
        prepared: &PreparedBatch,
        index: &Index,
    ) -> Result<Outcome, StoreError> {
        let mut disk = StoredReadings {
            connection: &self.connection,
            cache: &mut self.cache,
            lookups: &prepared.lookups,
        };
        let (sealer, options) = (&self.sealer, &self.options);
        let is_stuck = |number| sealer.is_stuck(number, index, options);
        let (batch, mode) = (&prepared.submission.batch, prepared.submission.mode);
        self.pending
            .admit(batch, mode, options.sensors_max, index, is_stuck, &mut disk)
    }

    /// Starts a full sealing cycle without pauses.
    pub(crate) fn start_full_cycle(&mut self) {
        self.sealer
            .start_full_cycle(self.last_sequence, &self.options);
    }

    /// Starts a last full sealing cycle with longer slices, since no client waits any more.
    pub(crate) fn prepare_to_close(&mut self) {
        self.log_rows_removed_max = LOG_ROWS_REMOVED_MAX_CLOSING;
        self.sealer.prepare_to_close();
        self.start_full_cycle();
    }

    /// Whether maintenance is due: sealing, counting, or removing log rows.
    pub(crate) fn has_maintenance(&mut self, index: &Index) -> bool {
        // Sealing first uses disk space and then frees disk space. No file may grow while the data directory is missing or moved.
        if self.directory.ready().is_err() {
            return false;
        }
        if self
            .maintenance_paused_until
            .is_some_and(|until| Instant::now() < until)
        {
            return false;
        }
        self.maintenance_paused_until = None;
        self.has_rows_to_remove() || self.is_due(index)
    }

    pub(super) fn is_due(&mut self, index: &Index) -> bool {
        self.sealer.is_due(self.last_sequence, index, &self.options) || self.folding_is_due(index)
    }

    fn folding_is_due(&self, index: &Index) -> bool {
        let Sealer { ledger, sealed, .. } = &self.sealer;
        self.counting
            .is_due(ledger, *sealed, &index.uncounted, &self.options)
    }

    /// Whether the changes of totals in memory are to be frozen now, before they are written to disk.
    pub(crate) fn should_freeze(&self, index: &Index) -> bool {
        self.counting.begins() && self.folding_is_due(index)
    }

    pub(crate) fn freeze(&mut self, uncounted: &mut Uncounted) {
        uncounted.freeze();
        self.counting.begun(self.last_sequence);
    }

    pub(super) fn has_rows_to_remove(&self) -> bool {
        self.log_removed < self.sealer.ledger.log_sealed
    }

    /// Takes over the state of a committed slice.
    pub(crate) fn committed(&mut self, slice: &Slice) {
        self.sealer.committed(slice);
        self.counting.committed(&slice.ledger);
    }

    /// Whether totals by periods are kept.
    pub(crate) fn keeps_period_totals(&self) -> bool {
        self.sealer.ledger.counted.is_some()
    }

    /// Checks that the database is still the file in the data directory.
    ///
    /// # Errors
    /// If the commit is in a file that is no longer there.
    pub(crate) fn confirm(&self) -> Result<(), StoreError> {
        self.directory.confirm(FILE_NAME)
    }

    /// Pauses maintenance after a refused commit: sealing first uses disk space and then frees disk space.
    pub(crate) fn back_off(&mut self) {
        self.maintenance_paused_until = Some(Instant::now() + MAINTENANCE_BACK_OFF);
    }

    /// Checkpoints the write-ahead log if the log has grown. No client waits for this.
    pub(crate) fn checkpoint_when_due(&self) -> Result<(), StoreError> {
        let folded = self
            .folding
            .after_commit(&self.connection)
            .map_err(|error| failed("fold the write-ahead log into readings.db", error));
        self.directory.without_room(folded).map(drop)
    }

    /// After a failed disk: leaves the files as they are, also on drop.
    pub(crate) fn abandon(&self) {
        write_ahead_log::forbid_checkpoint_on_close(&self.connection);
    }

    /// Frees unused pages until the deadline, and checkpoints the write-ahead log as far as readers allow.
    pub(crate) fn checkpoint(&self, deadline: Instant) -> rusqlite::Result<()> {
        let mut vacuum = self.connection.prepare("PRAGMA incremental_vacuum")?;
        let mut pages = vacuum.query([])?;
        while Instant::now() < deadline && pages.next()?.is_some() {} // Each step frees a page.
        drop(pages);
        self.connection.busy_timeout(CLOSING_CHECKPOINT_TIMEOUT)?;
        write_ahead_log::truncate(&self.connection).map(drop)
    }

    pub(super) fn execute(&self, sql: &str) -> Result<(), StoreError> {
        self.connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.execute([]))
            .map(drop)
            .map_err(|error| failed("write to readings.db", error))
    }
}

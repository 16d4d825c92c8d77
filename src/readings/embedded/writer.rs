//! The connection that writes: one transaction a commit, with its log row, a slice of sealing, and what sealing lets go of.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::{Connection, params};
use tracing::error;

use super::aside::Surveyed;
use super::cache::StretchCache;
use super::database::{FILE_NAME, failed, signed};
use super::index::Index;
use super::log::{self, Content};
use super::lookup::Disk;
use super::options::EmbeddedOptions;
use super::pending::Pending;
use super::periods::{Counting, Uncounted};
use super::recovery::{Recovered, sensor_checksum};
use super::sealing::Sealer;
use super::slice::Slice;
use super::survey::Survey;
use crate::error::{StoreError, StoreErrorKind};
use crate::readings::{Batch, Outcome};
use crate::storage::data_directory::DataDirectory;
use crate::storage::sqlite::write_ahead_log::{self, Checkpointer};

/// How long sealing rests after a commit was refused.
const CHORES_REST: Duration = Duration::from_secs(1);

/// How many rows of the log a commit removes at the most.
const LOG_ROWS_REMOVED_MAX: u64 = 256;

/// The same when nobody waits for an acknowledgement.
const LOG_ROWS_REMOVED_MAX_CLOSING: u64 = 65_536;

/// How long the last fold of the write-ahead log waits for those who read.
const CLOSING_PATIENCE: Duration = Duration::from_millis(100);

pub(crate) struct Writer {
    options: EmbeddedOptions,
    directory: Arc<DataDirectory>,
    connection: Connection,
    checkpointer: Checkpointer,
    cache: StretchCache,
    pub(crate) sealer: Sealer,
    counting: Counting,
    last_sequence: u64,
    /// Rows of the log up to here are gone.
    log_removed: u64,
    /// How many of them a commit removes at the most.
    log_rows_removed_max: u64,
    /// After a commit was refused (the disk is full): until when only readings are tried, not sealing.
    chores_rest_until: Option<Instant>,
}

impl Writer {
    pub(crate) fn new(
        options: EmbeddedOptions,
        directory: Arc<DataDirectory>,
        connection: Connection,
        checkpointer: Checkpointer,
        recovered: &Recovered,
        last_data: i64,
    ) -> Self {
        let mut sealer = Sealer::new(recovered.ledger, last_data);
        sealer.logged(recovered.log_readings as usize);
        Self {
            options,
            directory,
            connection,
            checkpointer,
            cache: StretchCache::default(),
            sealer,
            counting: Counting::new(&recovered.ledger),
            last_sequence: recovered.last_sequence,
            log_removed: 0,
            log_rows_removed_max: LOG_ROWS_REMOVED_MAX,
            chores_rest_until: None,
        }
    }

    /// Lists what a batch has to look up in chunks.
    pub(crate) fn survey(&self, batch: &Batch, index: &Index) -> Survey {
        Survey::new(batch, index, |number| self.is_stuck(number, index))
    }

    /// Lists what a batch that has to wait may have to look up.
    pub(crate) fn widen(&self, survey: &mut Survey, batch: &Batch, index: &Index) {
        survey.widen(batch, index, |number| self.is_stuck(number, index));
    }

    /// Makes lookups for as long as there is time, one at least; returns whether all are made. All of those before
    /// [`Writer::end_lookups`] are one read transaction: beginning one takes as long as half a lookup.
    pub(crate) fn advance(
        &mut self,
        survey: &mut Survey,
        index: &Index,
        deadline: Instant,
    ) -> Result<bool, StoreError> {
        if !survey.is_empty() && self.connection.is_autocommit() {
            self.execute("BEGIN")?;
        }
        survey.advance(index, &mut self.cache, &self.connection, deadline)
    }

    /// Ends the lookups of a commit.
    pub(crate) fn end_lookups(&self) -> Result<(), StoreError> {
        if self.connection.is_autocommit() {
            return Ok(());
        }
        self.execute("COMMIT")
    }

    /// Whether so much waits to be sealed or counted that readings which are dear to seal and count have to wait; not while sealing
    /// rests.
    pub(crate) fn is_overcrowded(&self, index: &Index) -> bool {
        self.chores_rest_until.is_none()
            && (self.sealer.is_overcrowded(index, &self.options)
                || self.counting.is_crowded(index, &self.options))
    }

    fn is_stuck(&self, number: u32, index: &Index) -> bool {
        self.sealer.is_stuck(number, index, &self.options)
    }

    /// Takes a batch into `pending`, checked against what is stored.
    ///
    /// On an error the changes are half made: clear, and admit the other batches again.
    pub(crate) fn admit(
        &mut self,
        surveyed: &Surveyed,
        pending: &mut Pending,
        index: &Index,
    ) -> Result<Outcome, StoreError> {
        let mut disk = Disk {
            connection: &self.connection,
            cache: &mut self.cache,
            survey: &surveyed.survey,
        };
        let (sealer, options) = (&self.sealer, &self.options);
        let is_stuck = |number| sealer.is_stuck(number, index, options);
        let (batch, mode) = (&surveyed.submission.batch, surveyed.submission.mode);
        pending.admit(batch, mode, options.sensors_max, index, is_stuck, &mut disk)
    }

    /// Goes round sealing once without resting.
    pub(crate) fn hurry(&mut self) {
        self.sealer.hurry(self.last_sequence, &self.options);
    }

    /// Goes round sealing once more. From now on nobody waits for an acknowledgement.
    pub(crate) fn closing(&mut self) {
        self.log_rows_removed_max = LOG_ROWS_REMOVED_MAX_CLOSING;
        self.sealer.closing();
        self.hurry();
    }

    /// Whether there is something to do though nothing has arrived.
    pub(crate) fn has_chores(&mut self, index: &Index) -> bool {
        // Sealing takes room before it gives any back, and none of it is to go into files that are not in their place.
        if self.directory.ready().is_err() {
            return false;
        }
        if self
            .chores_rest_until
            .is_some_and(|until| Instant::now() < until)
        {
            return false;
        }
        self.chores_rest_until = None;
        self.has_rows_to_remove() || self.is_due(index)
    }

    fn is_due(&mut self, index: &Index) -> bool {
        self.sealer.is_due(self.last_sequence, index, &self.options) || self.folding_is_due(index)
    }

    fn folding_is_due(&self, index: &Index) -> bool {
        let Sealer { ledger, sealed, .. } = &self.sealer;
        self.counting.is_due(ledger, *sealed, index, &self.options)
    }

    /// Whether the changes in memory are to be frozen, before they go to disk.
    pub(crate) fn freezes(&self, index: &Index) -> bool {
        self.counting.begins() && self.folding_is_due(index)
    }

    pub(crate) fn freeze(&mut self, uncounted: &mut Uncounted) {
        uncounted.freeze();
        self.counting.begun(self.last_sequence);
    }

    fn has_rows_to_remove(&self) -> bool {
        self.log_removed < self.sealer.ledger.log_sealed
    }

    /// Writes what is pending, and a slice of sealing, in one transaction. `None` when there was nothing to seal.
    pub(crate) fn write(
        &mut self,
        pending: &mut Pending,
        index: &Index,
    ) -> Result<Option<Slice>, WriteError> {
        let due = self.chores_rest_until.is_none()
            && self.directory.ready().is_ok()
            && self.is_due(index);
        if pending.is_empty() && !self.has_rows_to_remove() && !due {
            return Ok(None);
        }
        self.execute("BEGIN IMMEDIATE").map_err(WriteError::known)?;
        let written = self.write_within(pending, index, due);
        match written {
            Ok(written) => {
                self.execute("COMMIT")
                    .map_err(|error| self.rolled_back(error))?;
                self.last_sequence = written.last_sequence;
                self.log_removed = written.log_removed;
                Ok(written.slice)
            }
            Err(error) => Err(self.rolled_back(error)),
        }
    }

    /// A slice is committed.
    pub(crate) fn committed(&mut self, slice: &Slice) {
        self.sealer.committed(slice);
        self.counting.committed(&slice.ledger);
    }

    /// Whether totals by periods are kept.
    pub(crate) fn counts(&self) -> bool {
        self.sealer.ledger.counted.is_some()
    }

    /// Whether what was committed is in the data directory.
    pub(crate) fn confirm(&self) -> Result<(), StoreError> {
        self.directory.confirm(FILE_NAME)
    }

    /// After a commit that was refused: sealing, which takes room before it gives any back, waits a little.
    pub(crate) fn rest(&mut self) {
        self.chores_rest_until = Some(Instant::now() + CHORES_REST);
    }

    /// Undoes the transaction. The outcome is known if that worked and the disk itself has not failed.
    fn rolled_back(&mut self, error: StoreError) -> WriteError {
        self.cache.clear();
        let undone = self.connection.is_autocommit() || self.execute("ROLLBACK").is_ok();
        let error = match undone {
            true => self.directory.explain(error),
            false => error,
        };
        let disk_failed = error.kind() == StoreErrorKind::Internal;
        WriteError {
            error,
            outcome_known: undone && !disk_failed,
        }
    }

    fn write_within(
        &mut self,
        pending: &mut Pending,
        index: &Index,
        due: bool,
    ) -> Result<Written, StoreError> {
        let mut last_sequence = self.last_sequence;
        let mut slice = if due { Some(self.slice(index)?) } else { None };
        if let Some(slice) = &mut slice {
            let time = self.sealer.slice_time(index, &self.options) / 2;
            let (ledger, options) = (&mut slice.ledger, &self.options);
            slice.folded_before =
                self.counting
                    .fold(&self.connection, ledger, index, options, time)?;
            slice.settle_log();
        }

        let dropped = |sensor| slice.as_ref().map_or(0, |slice| slice.dropped_of(sensor));
        pending.settle(index, dropped, &self.connection)?;

        for (offset, id) in pending.new_sensors.iter().enumerate() {
            let number = (index.len() + offset) as u32;
            self.connection
                .prepare_cached("INSERT INTO sensors VALUES (?, ?, ?)")
                .and_then(|mut statement| {
                    let checksum = signed(sensor_checksum(number, id.as_str()));
                    statement.execute(params![number, id.as_str(), checksum])
                })
                .map_err(|error| failed("write a sensor", error))?;
        }
        // What is carried is older than what is pending, and has to come before it.
        if let Some(slice) = slice.as_ref().filter(|slice| !slice.carried.is_empty()) {
            last_sequence += 1;
            self.append(
                last_sequence,
                &log::encode_row(last_sequence, Content::Carried, slice.carried.as_slice()),
            )?;
        }
        if !pending.is_empty() {
            last_sequence += 1;
            self.append(
                last_sequence,
                &log::encode_row(last_sequence, Content::New, pending),
            )?;
        }
        let log_removed = self.remove_sealed_rows()?;
        if let Some(slice) = &slice {
            slice
                .ledger
                .write(&self.connection)
                .map_err(|error| failed("write the ledger", error))?;
        }
        Ok(Written {
            slice,
            last_sequence,
            log_removed,
        })
    }

    /// Seals a little. A sensor that cannot be sealed is left out from then on, and does not hold up the others.
    fn slice(&mut self, index: &Index) -> Result<Slice, StoreError> {
        loop {
            self.execute("SAVEPOINT slice")?;
            match self.sealer.slice(
                &self.connection,
                index,
                self.last_sequence,
                &mut self.cache,
                &self.options,
            ) {
                Ok(slice) => {
                    self.execute("RELEASE slice")?;
                    return Ok(slice);
                }
                Err(failure) => {
                    self.execute("ROLLBACK TO slice")?;
                    self.execute("RELEASE slice")?;
                    self.cache.clear();
                    if !matches!(
                        failure.error.kind(),
                        StoreErrorKind::Damaged | StoreErrorKind::Unsupported
                    ) {
                        return Err(failure.error);
                    }
                    let sensor = index.id(failure.sensor);
                    error!(%sensor, error = %failure.error, "a sensor's readings stay in the log: they cannot be sealed");
                    self.sealer.give_up_on(failure.sensor);
                }
            }
        }
    }

    fn append(&self, sequence: u64, row: &[u8]) -> Result<(), StoreError> {
        self.connection
            .prepare_cached("INSERT INTO log VALUES (?, ?)")
            .and_then(|mut statement| statement.execute(params![signed(sequence), row]))
            .map(drop)
            .map_err(|error| failed("write to the log", error))
    }

    /// Removes some of the rows that sealing has dealt with; returns up to where they are gone then.
    fn remove_sealed_rows(&self) -> Result<u64, StoreError> {
        let sealed = self.sealer.ledger.log_sealed;
        if self.log_removed >= sealed {
            return Ok(self.log_removed);
        }
        let remove = || -> rusqlite::Result<u64> {
            let mut oldest = self
                .connection
                .prepare_cached("SELECT min(sequence) FROM log")?;
            let Some(oldest) = oldest.query_row([], |row| row.get::<_, Option<i64>>(0))? else {
                return Ok(sealed);
            };
            let through = sealed.min(oldest.cast_unsigned() + self.log_rows_removed_max);
            self.connection
                .prepare_cached("DELETE FROM log WHERE sequence <= ?")?
                .execute([signed(through)])?;
            Ok(through)
        };
        remove().map_err(|error| failed("remove sealed log rows", error))
    }

    /// Folds the write-ahead log into the file when it has grown, which nobody needs to wait for.
    pub(crate) fn fold_when_due(&self) -> Result<(), StoreError> {
        let folded = self
            .checkpointer
            .after_commit(&self.connection)
            .map_err(|error| failed("fold the write-ahead log into readings.db", error));
        self.directory.without_room(folded).map(drop)
    }

    /// After the disk has failed: leaves the files as they are, also when this is dropped.
    pub(crate) fn leave(&self) {
        write_ahead_log::forbid_checkpoint_on_close(&self.connection);
    }

    /// Gives free pages back to the disk, as far as there is time, and folds the write-ahead log into the file, as far as nobody
    /// reads it.
    pub(crate) fn tidy(&self, deadline: Instant) -> rusqlite::Result<()> {
        let mut vacuum = self.connection.prepare("PRAGMA incremental_vacuum")?;
        let mut pages = vacuum.query([])?;
        while Instant::now() < deadline && pages.next()?.is_some() {} // Each step frees one.
        drop(pages);
        self.connection.busy_timeout(CLOSING_PATIENCE)?;
        write_ahead_log::truncate(&self.connection).map(drop)
    }

    fn execute(&self, sql: &str) -> Result<(), StoreError> {
        self.connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.execute([]))
            .map(drop)
            .map_err(|error| failed("write to readings.db", error))
    }
}

struct Written {
    slice: Option<Slice>,
    last_sequence: u64,
    log_removed: u64,
}

/// A transaction that did not commit.
pub(crate) struct WriteError {
    pub(crate) error: StoreError,
    /// Whether it is certain that nothing of it is on disk.
    pub(crate) outcome_known: bool,
}

impl WriteError {
    fn known(error: StoreError) -> Self {
        Self {
            error,
            outcome_known: true,
        }
    }
}

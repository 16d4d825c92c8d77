//! The transaction of a commit: a log row, a slice of sealing, and the removal of old log rows.

use tracing::error;

use super::writer::Writer;
use crate::error::{StoreError, StoreErrorKind};
use crate::readings::embedded::format::file::failed;
use crate::readings::embedded::format::log_row::{self, Content};
use crate::readings::embedded::format::{log_table, sensor_rows};
use crate::readings::embedded::index::Index;
use crate::readings::embedded::seal::slice::Slice;

impl Writer {
    /// Writes the pending changes and a slice of sealing in a single transaction. Returns `None` if nothing was sealed.
    pub(crate) fn write(&mut self, index: &Index) -> Result<Option<Slice>, WriteError> {
        let due = self.maintenance_paused_until.is_none()
            && self.directory.ready().is_ok()
            && self.is_due(index);
        if self.pending.is_empty() && !self.has_rows_to_remove() && !due {
            return Ok(None);
        }
        self.execute("BEGIN IMMEDIATE").map_err(WriteError::known)?;
        let written = self.write_within(index, due);
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

    /// Rolls back the transaction. The outcome is known if the rollback worked and the disk itself has not failed.
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

    fn write_within(&mut self, index: &Index, due: bool) -> Result<Written, StoreError> {
        let mut last_sequence = self.last_sequence;
        let mut slice = if due { Some(self.slice(index)?) } else { None };
        if let Some(slice) = &mut slice {
            let time = self.sealer.slice_time(index, &self.options) / 2;
            let (ledger, options) = (&mut slice.ledger, &self.options);
            slice.folded_before = self.counting.fold(
                &self.connection,
                ledger,
                &index.uncounted,
                index.len(),
                options,
                time,
            )?;
            slice.release_log();
        }

        let dropped = |sensor| slice.as_ref().map_or(0, |slice| slice.dropped_of(sensor));
        self.pending
            .compute_stats(index, dropped, &self.connection)?;

        for (offset, id) in self.pending.new_sensors.iter().enumerate() {
            sensor_rows::insert(&self.connection, (index.len() + offset) as u32, id)?;
        }
        // Carried readings are older than pending readings, so their row comes first.
        if let Some(slice) = slice.as_ref().filter(|slice| !slice.carried.is_empty()) {
            last_sequence += 1;
            let row =
                log_row::encode_row(last_sequence, Content::Carried, slice.carried.as_slice());
            log_table::append(&self.connection, last_sequence, &row)?;
        }
        if !self.pending.is_empty() {
            last_sequence += 1;
            let row = log_row::encode_row(last_sequence, Content::New, &self.pending);
            log_table::append(&self.connection, last_sequence, &row)?;
        }
        let log_removed = if self.has_rows_to_remove() {
            let sealed = self.sealer.ledger.log_sealed;
            log_table::remove_oldest(&self.connection, sealed, self.log_rows_removed_max)?
        } else {
            self.log_removed
        };
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

    /// Makes a slice of sealing. A sensor that cannot be sealed is excluded from then on, so that the others go on.
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
                    // The number and not the id: ids may be personal, and appear in the log only at the level debug.
                    error!(sensor = failure.sensor, error = %failure.error, "a sensor's readings stay in the log: they cannot be sealed");
                    self.sealer.exclude(failure.sensor);
                }
            }
        }
    }
}

struct Written {
    slice: Option<Slice>,
    last_sequence: u64,
    log_removed: u64,
}

/// A transaction without a commit.
pub(crate) struct WriteError {
    pub(crate) error: StoreError,
    /// Whether certainly nothing of the transaction is on disk.
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

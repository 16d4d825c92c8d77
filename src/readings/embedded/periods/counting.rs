//! Counting: the part of the log already counted into `periods`, and the steps that count the next part.

use std::time::{Duration, Instant};

use rusqlite::Connection;
use tracing::{error, warn};

use super::changes::Uncounted;
use super::fold::Folder;
use super::{check, recount};
use crate::error::{StoreError, StoreErrorKind};
use crate::readings::embedded::format::file::failed;
use crate::readings::embedded::format::ledger::{Counted, Folding, Ledger};
use crate::readings::embedded::format::log_row::{Content, Row};
use crate::readings::embedded::options::EmbeddedOptions;
use crate::readings::embedded::progress::Progress;
use crate::readings::embedded::sensor::Sensor;

/// Up to this number of sensors, asking every sensor is fast, so periods may be coarse.
const SMALL_FLEET_SENSORS_MAX: usize = 16_384;

/// In a larger fleet, a period is divided at an average density lower by this factor.
const FLEET_FACTOR: usize = 8;

/// When uncounted changes exceed the limit by this factor, folding takes longer, and late readings wait.
const CROWDED_FACTOR: usize = 4;

/// The factor by which folding takes longer in this case.
const CROWDED_TIME_FACTOR: u32 = 8;

/// When uncounted changes exceed the limit by this factor, all of them are folded at once, however long this takes.
const OVERFULL_FACTOR: usize = 64;

/// At a start: collects the changes in the log that are not in `periods`.
pub(crate) struct Replay {
    counted: Option<Counted>,
    uncounted: Uncounted,
    /// Whether the rows read so far are being folded.
    folding: bool,
}

impl Replay {
    pub(crate) fn new(counted: Option<Counted>) -> Self {
        Self {
            counted,
            uncounted: Uncounted::default(),
            folding: counted.is_some_and(|counted| counted.folding.is_some()),
        }
    }

    /// Adds the next row.
    pub(crate) fn row(&mut self, sequence: u64, row: &Row) {
        let Some(counted) = self.counted else { return };
        if sequence <= counted.through || row.content == Content::Carried {
            return;
        }
        let folding = counted
            .folding
            .filter(|folding| sequence <= folding.log_end);
        if folding.is_none() && self.folding {
            self.folding = false;
            self.uncounted.freeze();
        }
        if !row.records_replaced {
            // These rows do not record replaced temperatures, so all readings must be recounted.
            self.counted = None;
            self.uncounted = Uncounted::default();
            return;
        }
        let from = folding.map_or(i64::MIN, |folding| folding.before);
        let mut replaced = row.replaced.iter().peekable();
        for (at, (_, point)) in row.readings.iter().enumerate() {
            let old = replaced.next_if(|(replacing, _)| *replacing == at);
            if point.timestamp.micros() < from {
                continue;
            }
            match old {
                Some((_, old)) => self.uncounted.fresh.replace(*point, *old),
                None => self.uncounted.fresh.add(*point),
            }
        }
    }

    pub(crate) fn finish(mut self) -> (Option<Counted>, Uncounted) {
        if self.folding {
            self.uncounted.freeze();
        }
        (self.counted, self.uncounted)
    }
}

/// Rebuilds `periods` if necessary: a database of an older version has no totals, and damaged totals are replaced.
pub(crate) fn ensure(
    connection: &Connection,
    options: &EmbeddedOptions,
    ledger: &mut Ledger,
    sensors: &[Sensor],
    uncounted: &mut Uncounted,
    last_sequence: u64,
    progress: &Progress,
) -> Result<(), StoreError> {
    if let Some(counted) = ledger.counted {
        match check::day_rows(connection) {
            Ok(days) if days == counted.days => return Ok(()),
            Ok(_) => warn!("totals of periods are missing; all readings are counted anew"),
            Err(error) if error.kind() == StoreErrorKind::Damaged => {
                warn!(%error, "totals of periods are damaged; all readings are counted anew");
            }
            Err(error) => return Err(error),
        }
    }
    *uncounted = Uncounted::default();
    ledger.counted = None;
    let transaction_error = |error| failed("count readings by periods", error);
    connection
        .execute_batch("BEGIN IMMEDIATE")
        .map_err(transaction_error)?;
    let mut rebuilt = *ledger;
    let counted = recount::rebuild(
        connection,
        sensors,
        readings_min(options, sensors.len()),
        progress,
    )
    .and_then(|days| {
        rebuilt.counted = Some(Counted {
            through: last_sequence,
            folding: None,
            days,
        });
        rebuilt
            .write(connection)
            .and_then(|()| connection.execute_batch("COMMIT"))
            .map_err(transaction_error)
    });
    match counted {
        Ok(()) => {
            *ledger = rebuilt;
            Ok(())
        }
        Err(error) => {
            if !connection.is_autocommit() {
                connection
                    .execute_batch("ROLLBACK")
                    .map_err(transaction_error)?;
            }
            if error.kind() != StoreErrorKind::Damaged {
                return Err(error);
            }
            // The table must not be used.
            ledger.write(connection).map_err(transaction_error)?;
            error!(%error, "readings cannot be counted by periods; windows over all sensors ask every sensor");
            Ok(())
        }
    }
}

fn readings_min(options: &EmbeddedOptions, sensors: usize) -> u64 {
    let few = sensors <= SMALL_FLEET_SENSORS_MAX;
    let factor = if few { 1 } else { FLEET_FACTOR };
    (options.period_readings_min / factor).max(1) as u64
}

/// The state of folding between commits.
#[derive(Debug)]
pub(crate) struct Counting {
    /// The last log row of the frozen changes.
    log_end: Option<u64>,
}

impl Counting {
    pub(crate) fn new(ledger: &Ledger) -> Self {
        let folding = ledger.counted.and_then(|counted| counted.folding);
        Self {
            log_end: folding.map(|folding| folding.log_end),
        }
    }

    /// Whether changes are to be folded now. Readings in log rows up to `sealed` are sealed.
    pub(crate) fn is_due(
        &self,
        ledger: &Ledger,
        sealed: u64,
        uncounted: &Uncounted,
        options: &EmbeddedOptions,
    ) -> bool {
        ledger.counted.is_some_and(|counted| {
            self.log_end.is_some()
                || counted.through < sealed
                || uncounted.len() >= options.uncounted_seconds_max
        })
    }

    /// Whether uncounted changes have exceeded the limit so far that late readings must wait. The cause: late readings from all
    /// over the past, because each of these readings changes a different second.
    pub(crate) fn is_crowded(&self, uncounted: &Uncounted, options: &EmbeddedOptions) -> bool {
        uncounted.len() >= CROWDED_FACTOR * options.uncounted_seconds_max
    }

    /// Whether the changes in memory are to be frozen before the next fold.
    pub(crate) fn begins(&self) -> bool {
        self.log_end.is_none()
    }

    /// Records the freezing of the changes in memory. All of these changes are in log rows up to this sequence.
    pub(crate) fn begun(&mut self, last_sequence: u64) {
        self.log_end = Some(last_sequence);
    }

    /// Folds for some time within the open transaction. Returns the timestamp before which the frozen changes can be dropped.
    pub(crate) fn fold(
        &self,
        connection: &Connection,
        ledger: &mut Ledger,
        uncounted: &Uncounted,
        sensors: usize,
        options: &EmbeddedOptions,
        time: Duration,
    ) -> Result<Option<i64>, StoreError> {
        let (Some(log_end), Some(counted)) = (self.log_end, &mut ledger.counted) else {
            return Ok(None);
        };
        let in_span = uncounted.len() / options.uncounted_seconds_max.max(1);
        let deadline = match in_span {
            crowded if crowded >= OVERFULL_FACTOR => None,
            crowded if crowded >= CROWDED_FACTOR => {
                Some(Instant::now() + time * CROWDED_TIME_FACTOR)
            }
            _ => Some(Instant::now() + time),
        };
        let mut folder = Folder {
            connection,
            readings_min: readings_min(options, sensors),
            days: counted.days,
        };
        let is_over = || deadline.is_some_and(|deadline| Instant::now() >= deadline);
        match folder.fold(&uncounted.folding, is_over) {
            Ok(before) => {
                counted.days = folder.days;
                counted.folding = before.map(|before| Folding { log_end, before });
                if before.is_none() {
                    counted.through = log_end;
                }
                Ok(Some(before.unwrap_or(i64::MAX)))
            }
            Err(error) if error.kind() == StoreErrorKind::Damaged => {
                error!(%error, "totals of periods are damaged; until the next start windows over all sensors ask every sensor");
                ledger.counted = None;
                Ok(Some(i64::MAX))
            }
            Err(error) => Err(error),
        }
    }

    /// Records the commit of the transaction.
    pub(crate) fn committed(&mut self, ledger: &Ledger) {
        let folding = ledger.counted.and_then(|counted| counted.folding);
        if folding.is_none() {
            self.log_end = None;
        }
    }
}

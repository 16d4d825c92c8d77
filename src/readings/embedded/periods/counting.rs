//! How far the log is counted into `periods`, and what takes it further.

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

/// Up to how many sensors asking them all is quick, so that periods may be coarse.
const SENSORS_FEW: usize = 16_384;

/// In a larger fleet a period is divided when its parts hold so many times fewer readings.
const FLEET_FACTOR: usize = 8;

/// How much more than what makes it fold may gather in memory before folding takes longer, and late readings wait for it.
const CROWDED_FACTOR: usize = 4;

/// How much longer.
const CROWDED_TIME_FACTOR: u32 = 8;

/// How much more may gather before all of it is folded at once, however long that takes.
const OVERFULL_FACTOR: usize = 64;

/// Counts what the log holds beyond what is in `periods`, at a start.
pub(crate) struct Replay {
    counted: Option<Counted>,
    uncounted: Uncounted,
    /// Whether rows come that are being folded.
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

    /// Takes the next row.
    pub(crate) fn row(&mut self, sequence: u64, row: &Row) {
        let Some(counted) = self.counted else { return };
        if sequence <= counted.through || row.content == Content::Carried {
            return;
        }
        let folding = counted.folding.filter(|folding| sequence <= folding.mark);
        if folding.is_none() && self.folding {
            self.folding = false;
            self.uncounted.freeze();
        }
        if !row.tells_replaced {
            // Nobody knows what these rows have changed: everything is counted anew.
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

/// Sees to it that `periods` can be used: a database of an older version has none, and damaged ones are made anew.
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
    let begin_failed = |error| failed("count readings by periods", error);
    connection
        .execute_batch("BEGIN IMMEDIATE")
        .map_err(begin_failed)?;
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
            .map_err(begin_failed)
    });
    match counted {
        Ok(()) => {
            *ledger = rebuilt;
            Ok(())
        }
        Err(error) => {
            if !connection.is_autocommit() {
                connection.execute_batch("ROLLBACK").map_err(begin_failed)?;
            }
            if error.kind() != StoreErrorKind::Damaged {
                return Err(error);
            }
            // Nobody is to use what is there.
            ledger.write(connection).map_err(begin_failed)?;
            error!(%error, "readings cannot be counted by periods; windows over all sensors ask every sensor");
            Ok(())
        }
    }
}

fn readings_min(options: &EmbeddedOptions, sensors: usize) -> u64 {
    let few = sensors <= SENSORS_FEW;
    let factor = if few { 1 } else { FLEET_FACTOR };
    (options.period_readings_min / factor).max(1) as u64
}

/// The state of folding between commits.
#[derive(Debug)]
pub(crate) struct Counting {
    /// The last log row of what is being folded.
    mark: Option<u64>,
}

impl Counting {
    pub(crate) fn new(ledger: &Ledger) -> Self {
        let folding = ledger.counted.and_then(|counted| counted.folding);
        Self {
            mark: folding.map(|folding| folding.mark),
        }
    }

    /// Whether something is to be folded now. `sealed` is the log row up to which readings are sealed.
    pub(crate) fn is_due(
        &self,
        ledger: &Ledger,
        sealed: u64,
        uncounted: &Uncounted,
        options: &EmbeddedOptions,
    ) -> bool {
        ledger.counted.is_some_and(|counted| {
            self.mark.is_some()
                || counted.through < sealed
                || uncounted.len() >= options.uncounted_seconds_max
        })
    }

    /// Whether so much has gathered in memory that what adds to it has to wait. Readings from all over the past do: each is in a
    /// second of its own.
    pub(crate) fn is_crowded(&self, uncounted: &Uncounted, options: &EmbeddedOptions) -> bool {
        uncounted.len() >= CROWDED_FACTOR * options.uncounted_seconds_max
    }

    /// Whether what is in memory is to be frozen, before it is folded.
    pub(crate) fn begins(&self) -> bool {
        self.mark.is_none()
    }

    /// What is in memory is frozen: all of it is in log rows up to this one.
    pub(crate) fn begun(&mut self, last_sequence: u64) {
        self.mark = Some(last_sequence);
    }

    /// Folds for some time within the transaction that is open. Returns before which moment what was frozen can be let go of.
    pub(crate) fn fold(
        &self,
        connection: &Connection,
        ledger: &mut Ledger,
        uncounted: &Uncounted,
        sensors: usize,
        options: &EmbeddedOptions,
        time: Duration,
    ) -> Result<Option<i64>, StoreError> {
        let (Some(mark), Some(counted)) = (self.mark, &mut ledger.counted) else {
            return Ok(None);
        };
        let gathered = uncounted.len() / options.uncounted_seconds_max.max(1);
        let deadline = match gathered {
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
                counted.folding = before.map(|before| Folding { mark, before });
                if before.is_none() {
                    counted.through = mark;
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

    /// The transaction is committed.
    pub(crate) fn committed(&mut self, ledger: &Ledger) {
        let folding = ledger.counted.and_then(|counted| counted.folding);
        if folding.is_none() {
            self.mark = None;
        }
    }
}

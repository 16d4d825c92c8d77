//! The one thread that writes. It takes whatever is waiting, checks it against memory, writes one log row, commits with one
//! flush, makes it visible, and then answers everyone who waited.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use rusqlite::{Connection, params};
use tokio::sync::{oneshot, watch};
use tracing::{error, info, warn};

use super::cache::ChunkCache;
use super::database::{failed, signed};
use super::index::{Index, Sensor};
use super::log;
use super::options::EmbeddedOptions;
use super::pending::{Disk, Pending};
use super::queue::{Closed, Queue, Submission, Taken};
use super::recovery::{Recovered, sensor_checksum};
use super::sealing::{Sealer, Slice};
use crate::error::{StoreError, StoreErrorKind};
use crate::readings::{Outcome, Stats};

/// How often the committer looks whether sealing is due when nothing arrives.
const IDLE_LOOK: Duration = Duration::from_millis(500);

/// How long sealing rests after a commit was refused.
const CHORES_REST: Duration = Duration::from_secs(1);

/// How many rows of the log a commit removes at the most.
const LOG_ROWS_REMOVED_MAX: u64 = 256;

/// What the committer and the readers share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) queue: Queue,
    pub(crate) index: RwLock<Index>,
    /// The totals of the index, where a reader never waits for a batch being taken into it.
    pub(crate) totals: Mutex<Stats>,
    /// Turns true when a write to disk has failed.
    pub(crate) failed: watch::Sender<bool>,
}

pub(crate) struct Committer {
    shared: Arc<Shared>,
    options: EmbeddedOptions,
    connection: Connection,
    sealer: Sealer,
    cache: ChunkCache,
    pending: Pending,
    last_sequence: u64,
    /// Rows of the log up to here are gone.
    log_removed: u64,
    waiting_for_seal: Vec<oneshot::Sender<()>>,
    /// After a commit was refused (the disk is full): until when only readings are tried, not sealing.
    chores_rest_until: Option<Instant>,
}

type Answer = (
    oneshot::Sender<Result<Outcome, StoreError>>,
    Result<Outcome, StoreError>,
);

impl Committer {
    pub(crate) fn new(
        shared: Arc<Shared>,
        options: EmbeddedOptions,
        connection: Connection,
        recovered: &Recovered,
        last_data: i64,
    ) -> Self {
        let mut sealer = Sealer::new(recovered.ledger, last_data);
        sealer.logged(recovered.log_readings as usize);
        Self {
            shared,
            options,
            connection,
            sealer,
            cache: ChunkCache::default(),
            pending: Pending::default(),
            last_sequence: recovered.last_sequence,
            log_removed: 0,
            waiting_for_seal: Vec::new(),
            chores_rest_until: None,
        }
    }

    /// Works until the queue is closed and empty, or a write to disk fails.
    pub(crate) fn run(mut self) {
        loop {
            let patience = if self.has_chores() {
                Duration::ZERO
            } else {
                IDLE_LOOK
            };
            let taken = self
                .shared
                .queue
                .take(self.options.commit_readings_max, patience);
            let Taken {
                submissions,
                seal,
                closed,
            } = taken;
            if !seal.is_empty() {
                self.hurry();
                self.waiting_for_seal.extend(seal);
            }
            let last = closed && submissions.is_empty();
            if (!submissions.is_empty() || self.has_chores())
                && let Err(error) = self.commit(submissions)
            {
                self.fail(&error);
                return;
            }
            if !self.has_chores() {
                for waiting in self.waiting_for_seal.drain(..) {
                    // Nobody may be waiting any more.
                    let _ = waiting.send(());
                }
            }
            if last {
                break;
            }
        }
        self.finish();
    }

    /// Seals what there is and folds the write-ahead log into the file, so that the next start has little to do. What
    /// fails here costs only that.
    fn finish(mut self) {
        self.sealer.closing();
        self.hurry();
        while self.has_chores() {
            if let Err(error) = self.commit(Vec::new()) {
                self.fail(&error);
                return;
            }
        }
        if let Err(error) = self.tidy() {
            warn!(%error, "could not fold the write-ahead log into readings.db; the next start will");
        }
        info!("readings are sealed and closed");
    }

    /// Gives free pages back to the disk, and folds the write-ahead log into the file.
    fn tidy(&self) -> rusqlite::Result<()> {
        let mut vacuum = self.connection.prepare("PRAGMA incremental_vacuum")?;
        let mut pages = vacuum.query([])?;
        while pages.next()?.is_some() {} // Each step frees one.
        self.connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
    }

    fn hurry(&mut self) {
        self.sealer.hurry(self.last_sequence, &self.options);
    }

    fn has_chores(&mut self) -> bool {
        if self
            .chores_rest_until
            .is_some_and(|until| Instant::now() < until)
        {
            return false;
        }
        self.chores_rest_until = None;
        self.log_removed < self.sealer.ledger.log_sealed
            || self
                .sealer
                .is_due(self.last_sequence, &self.shared.index.read(), &self.options)
    }

    /// After a failed write nothing is known of the disk: a second flush may say that all is well when it is not.
    fn fail(&self, error: &StoreError) {
        error!(error = %error, "a write to readings.db failed; no more readings are taken");
        self.shared.queue.close(Closed::Failed);
        while let Taken { submissions, .. } = self.shared.queue.take(usize::MAX, Duration::ZERO)
            && !submissions.is_empty()
        {
            for submission in submissions {
                let _ = submission.reply.send(Err(Closed::Failed.error()));
            }
        }
        self.shared.failed.send_replace(true);
    }

    /// One commit. An error is one after which nothing more may be acknowledged.
    fn commit(&mut self, submissions: Vec<Submission>) -> Result<(), StoreError> {
        let mut answers = self.admit(submissions);
        match self.write() {
            Ok(slice) => {
                self.publish(slice.as_ref());
                for (reply, answer) in answers {
                    // Whoever waited may have gone; the readings are stored all the same.
                    let _ = reply.send(answer);
                }
                Ok(())
            }
            Err(WriteError {
                error,
                outcome_known,
            }) => {
                self.cache.clear();
                for (reply, answer) in answers.drain(..) {
                    let answer = answer.and_then(|_| {
                        if outcome_known {
                            Err(again(&error))
                        } else {
                            Err(Closed::Failed.error())
                        }
                    });
                    let _ = reply.send(answer);
                }
                if outcome_known {
                    error!(error = %error, "a commit was refused");
                    self.chores_rest_until = Some(Instant::now() + CHORES_REST);
                    self.waiting_for_seal.clear();
                    Ok(())
                } else {
                    Err(error)
                }
            }
        }
    }

    /// Takes batches into `pending`. A batch that fails leaves nothing there: the others are admitted anew without it.
    fn admit(&mut self, submissions: Vec<Submission>) -> Vec<Answer> {
        let index = self.shared.index.read();
        let mut refused: Vec<Option<StoreError>> = submissions.iter().map(|_| None).collect();
        let outcomes = 'again: loop {
            self.pending.clear();
            let mut disk = Disk {
                connection: &self.connection,
                cache: &mut self.cache,
            };
            let mut outcomes = Vec::with_capacity(submissions.len());
            for (submission, refused) in submissions.iter().zip(&mut refused) {
                if refused.is_some() {
                    outcomes.push(Outcome::default());
                    continue;
                }
                let Submission { batch, mode, .. } = submission;
                match self
                    .pending
                    .admit(batch, *mode, self.options.sensors_max, &index, &mut disk)
                {
                    Ok(outcome) => outcomes.push(outcome),
                    Err(error) => {
                        *refused = Some(error);
                        continue 'again;
                    }
                }
            }
            break outcomes;
        };
        submissions
            .into_iter()
            .zip(refused.into_iter().zip(outcomes))
            .map(|(submission, (refused, outcome))| {
                (submission.reply, refused.map_or(Ok(outcome), Err))
            })
            .collect()
    }

    /// Writes what is pending, and a slice of sealing, in one transaction. `None` when there was nothing to seal.
    fn write(&mut self) -> Result<Option<Slice>, WriteError> {
        let removing = self.log_removed < self.sealer.ledger.log_sealed;
        let due = self.chores_rest_until.is_none()
            && self
                .sealer
                .is_due(self.last_sequence, &self.shared.index.read(), &self.options);
        if self.pending.is_empty() && !removing && !due {
            return Ok(None);
        }
        self.execute("BEGIN IMMEDIATE").map_err(WriteError::known)?;
        let written = self.write_within(due);
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

    /// Undoes the transaction. The outcome is known if that worked and the disk itself has not failed.
    fn rolled_back(&self, error: StoreError) -> WriteError {
        let undone = self.connection.is_autocommit() || self.execute("ROLLBACK").is_ok();
        let disk_failed = error.kind() == StoreErrorKind::Internal;
        WriteError {
            error,
            outcome_known: undone && !disk_failed,
        }
    }

    fn write_within(&mut self, due: bool) -> Result<Written, StoreError> {
        let shared = Arc::clone(&self.shared);
        let index = shared.index.read();
        let mut last_sequence = self.last_sequence;
        let slice = if due { self.slice(&index)? } else { None };

        let dropped = |sensor| slice.as_ref().map_or(0, |slice| slice.dropped_of(sensor));
        self.pending.settle(&index, dropped, &self.connection)?;

        for (offset, id) in self.pending.new_sensors.iter().enumerate() {
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
                &log::encode_row(last_sequence, slice.carried.as_slice()),
            )?;
        }
        if !self.pending.is_empty() {
            last_sequence += 1;
            self.append(
                last_sequence,
                &log::encode_row(last_sequence, &self.pending),
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
    fn slice(&mut self, index: &Index) -> Result<Option<Slice>, StoreError> {
        loop {
            self.execute("SAVEPOINT slice")?;
            match self
                .sealer
                .slice(&self.connection, index, &mut self.cache, &self.options)
            {
                Ok(slice) => {
                    self.execute("RELEASE slice")?;
                    return Ok(Some(slice));
                }
                Err(failure) => {
                    self.execute("ROLLBACK TO slice")?;
                    self.execute("RELEASE slice")?;
                    self.cache.clear();
                    if failure.error.kind() != StoreErrorKind::Damaged {
                        return Err(failure.error);
                    }
                    let sensor = index
                        .get(failure.sensor)
                        .map(|sensor| sensor.id.to_string());
                    error!(sensor, error = %failure.error, "a sensor's readings stay in the log: they cannot be sealed");
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
            let through = sealed.min(oldest.cast_unsigned() + LOG_ROWS_REMOVED_MAX);
            self.connection
                .prepare_cached("DELETE FROM log WHERE sequence <= ?")?
                .execute([signed(through)])?;
            Ok(through)
        };
        remove().map_err(|error| failed("remove sealed log rows", error))
    }

    /// Makes what is committed visible, all of it at one moment.
    fn publish(&mut self, slice: Option<&Slice>) {
        let mut index = self.shared.index.write();
        let mut extremes_known = true;
        if let Some(slice) = slice {
            index.generation = slice.ledger.generation;
            for (&number, &(count, sealed_last)) in &slice.dropped {
                if let Some(sensor) = index.get_mut(number) {
                    sensor.drop_sealed(count, sealed_last);
                    index.tail_points -= count;
                }
            }
            self.sealer.committed(slice);
        }
        let known = index.len();
        let new_sensors = self
            .pending
            .new_sensors
            .iter()
            .enumerate()
            .filter_map(|(offset, id)| {
                let number = (known + offset) as u32;
                let point = self.pending.slot_of(number)?.points.first()?;
                Some(Sensor::new(id.clone(), *point))
            });
        index.add(new_sensors);

        let mut readings = 0;
        let mut totals = index.totals;
        let mut tail_points = index.tail_points;
        for slot in self.pending.slots() {
            let Some(sensor) = index.get_mut(slot.sensor) else {
                continue;
            };
            let mut replaced = slot.replaced.iter().peekable();
            for point in &slot.points {
                match replaced.next_if(|(timestamp, _)| *timestamp == point.timestamp) {
                    Some((_, old)) => extremes_known &= totals.replace(*old, point.temperature),
                    None => totals.add(point.temperature),
                }
            }
            match slot.stats {
                Some(stats) => sensor.stats = stats,
                None => sensor
                    .stats
                    .extend(slot.points.iter().map(|point| point.temperature)),
            }
            readings += slot.points.len();
            tail_points -= sensor.tail.len();
            sensor.put(&slot.points);
            tail_points += sensor.tail.len();
            self.sealer
                .grown(slot.sensor, sensor.tail.len(), &self.options);
        }
        index.totals = totals;
        index.tail_points = tail_points;
        if !extremes_known {
            index.recount_extremes();
        }
        *self.shared.totals.lock() = index.totals;
        drop(index);
        self.sealer.logged(readings);
        self.pending.shrink(4 * self.options.commit_readings_max);
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
struct WriteError {
    error: StoreError,
    /// Whether it is certain that nothing of it is on disk.
    outcome_known: bool,
}

impl WriteError {
    fn known(error: StoreError) -> Self {
        Self {
            error,
            outcome_known: true,
        }
    }
}

/// The same error for another of those who waited for one commit.
fn again(error: &StoreError) -> StoreError {
    StoreError::new(error.kind(), error.message())
}

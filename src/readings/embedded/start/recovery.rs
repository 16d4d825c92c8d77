//! Recovery: builds the index from disk, at every start and for `verify`.
//!
//! Recovery reads everything except the data of chunks, and compares the contents with checksums and with the ledger. So a missing
//! row is detected, whatever page the row was on. Only the loss of the last log rows has no checksum; for this case, the structure
//! of the log table is checked.

use rusqlite::Connection;

use super::replay::{self, RecoveredSensor};
use crate::error::StoreError;
use crate::readings::Point;
use crate::readings::embedded::format::chunks::{self, Chunk};
use crate::readings::embedded::format::file::{damaged, failed, unsigned};
use crate::readings::embedded::format::ledger::Ledger;
use crate::readings::embedded::format::sensor_rows;
use crate::readings::embedded::index::Index;
use crate::readings::embedded::index::id_list::IdList;
use crate::readings::embedded::index::names::Names;
use crate::readings::embedded::options::EmbeddedOptions;
use crate::readings::embedded::periods;
use crate::readings::embedded::progress::Progress;
use crate::readings::embedded::sensor::Sensor;

/// The recovered state.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) index: Index,
    pub(crate) ledger: Ledger,
    /// The sequence of the last log row.
    pub(crate) last_sequence: u64,
    pub(crate) log_rows: u64,
    pub(crate) log_readings: u64,
}

impl Recovered {
    /// Rebuilds the totals by periods if necessary.
    pub(crate) fn count(
        &mut self,
        connection: &Connection,
        options: &EmbeddedOptions,
        progress: &Progress,
    ) -> Result<(), StoreError> {
        let mut uncounted = std::mem::take(&mut self.index.uncounted);
        let counted = periods::ensure(
            connection,
            options,
            &mut self.ledger,
            self.index.sensors(),
            &mut uncounted,
            self.last_sequence,
            progress,
        );
        self.index.uncounted = uncounted;
        counted
    }
}

/// Reads everything except the data of chunks, and checks the contents against checksums and the ledger.
pub(crate) fn recover(
    connection: &Connection,
    progress: &Progress,
) -> Result<Recovered, StoreError> {
    // A single snapshot for all statements: SQLite looks at the write-ahead log once, not for each statement.
    let transaction = connection
        .unchecked_transaction()
        .map_err(|error| failed("begin to read", error))?;
    check_log_structure(connection)?;
    let mut ledger = Ledger::read(connection)?;
    progress.expect(expected_rows(connection, &ledger)?);
    let mut list = IdList::default();
    sensor_rows::visit(connection, |id| {
        list.push(id);
        progress.advance()
    })?;
    list.shrink_to_fit();
    let count = list.len();
    let (names, folded) = std::thread::scope(|scope| {
        let names = scope.spawn(|| Names::of(list));
        let folded = fold_chunks(connection, &ledger, count, progress);
        let names = names
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        (names, folded)
    });
    let mut sealed = folded?;
    let mut log = replay::read(connection, &ledger, &sealed, progress)?;
    ledger.counted = log.counted;
    let uncounted = std::mem::take(&mut log.uncounted);
    let (last_sequence, log_rows, log_readings) = (log.last_sequence, log.rows, log.readings);
    replay::apply(connection, log, &mut sealed, progress)?;
    let mut sensors = Vec::with_capacity(count);
    for (number, sealed) in sealed.into_iter().enumerate() {
        sensors.push(
            sealed
                .sensor
                .ok_or_else(|| damaged(format!("sensor number {number} has lost its readings")))?,
        );
    }
    drop(transaction);
    let mut index = Index::of(names, sensors);
    index.generation = ledger.generation;
    index.uncounted = uncounted;
    Ok(Recovered {
        index,
        ledger,
        last_sequence,
        log_rows,
        log_readings,
    })
}

/// Checks the structure of the log table: detects a page without the last rows. The log is bounded, so this check is fast.
fn check_log_structure(connection: &Connection) -> Result<(), StoreError> {
    let report: String = connection
        .query_row("PRAGMA main.quick_check(log)", [], |row| row.get(0))
        .map_err(|error| failed("check the structure", error))?;
    if report == "ok" {
        Ok(())
    } else {
        Err(damaged(format!("the structure of table log: {report}")))
    }
}

/// About how many rows will be read.
fn expected_rows(connection: &Connection, ledger: &Ledger) -> Result<u64, StoreError> {
    let sql = "SELECT coalesce((SELECT max(number) + 1 FROM sensors), 0),
                      coalesce((SELECT max(sequence) FROM log), 0)";
    let (sensors, sequence) = connection
        .query_row(sql, [], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))
        })
        .map_err(|error| failed("count what there is", error))?;
    let log_rows = unsigned(sequence).saturating_sub(ledger.log_sealed);
    Ok(unsigned(sensors)
        .saturating_add(ledger.chunks)
        .saturating_add(log_rows))
}

/// Sums the chunks of each sensor.
fn fold_chunks(
    connection: &Connection,
    ledger: &Ledger,
    sensors: usize,
    progress: &Progress,
) -> Result<Vec<RecoveredSensor>, StoreError> {
    let mut all: Vec<RecoveredSensor> = Vec::new();
    all.resize_with(sensors, RecoveredSensor::default);
    let (mut count, mut checksums) = (0, 0u64);
    let mut before: Option<Chunk> = None;
    chunks::visit_all(connection, |chunk| {
        let chunk = chunk?;
        count += 1;
        checksums = checksums.wrapping_add(chunk.checksum());
        let Some(sealed) = all.get_mut(chunk.sensor as usize) else {
            return Err(damaged(format!(
                "chunks belong to sensor number {}, which does not exist",
                chunk.sensor
            )));
        };
        let place = |chunk: &Chunk| (chunk.sensor, chunk.first);
        let follows = |before: &Chunk| {
            place(before) < place(&chunk)
                && (before.sensor < chunk.sensor || before.last < chunk.first)
        };
        if !before.is_none_or(|before| follows(&before)) {
            return Err(damaged(format!(
                "chunks of sensor number {} overlap",
                chunk.sensor
            )));
        }
        sealed.add(&chunk);
        before = Some(chunk);
        progress.advance()
    })?;
    if count != ledger.chunks || checksums != ledger.chunk_checksums {
        return Err(damaged(format!(
            "the {count} chunks do not match the ledger, which counts {}",
            ledger.chunks
        )));
    }
    Ok(all)
}

impl RecoveredSensor {
    /// Adds the next chunk of the sensor.
    fn add(&mut self, chunk: &Chunk) {
        let last = Point {
            timestamp: chunk.last,
            temperature: chunk.latest,
        };
        let sensor = self.sensor.get_or_insert_with(|| {
            Sensor::new(Point {
                timestamp: chunk.first,
                temperature: chunk.latest,
            })
        });
        sensor.stats.merge(&chunk.stats);
        sensor.extend_span(chunk.first, last);
        sensor.note_chunk_end(chunk.last);
        self.newest_data = self.newest_data.max(chunk.data);
        if (chunk.sealed_through, chunk.data) > (self.through, self.through_data) {
            (self.through, self.through_data) = (chunk.sealed_through, chunk.data);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::StoreErrorKind;
    use crate::readings::embedded::schema::DATABASE;

    #[test]
    fn a_start_that_is_told_to_stop_does() {
        let directory = tempfile::tempdir().unwrap();
        let connection = DATABASE
            .open_writer(&directory.path().join("readings.db"))
            .unwrap();
        let checksum = sensor_rows::checksum(0, "boiler").cast_signed();
        connection
            .execute("INSERT INTO sensors VALUES (0, 'boiler', ?)", [checksum])
            .unwrap();
        let progress = Progress::default();
        progress.stop();
        let stopped = recover(&connection, &progress).unwrap_err();
        assert_eq!(stopped.kind(), StoreErrorKind::Unavailable);
        // The failed recovery has left no transaction open. The sensor has no reading.
        let damaged = recover(&connection, &Progress::default()).unwrap_err();
        assert_eq!(damaged.kind(), StoreErrorKind::Damaged);
        assert!(connection.is_autocommit());
    }
}

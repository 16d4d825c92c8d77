//! Building the index from what is on disk: at every start, and for `verify`.

use std::sync::Arc;

use rusqlite::{Connection, params};

use super::chunks;
use super::codec;
use super::database::{self, Ledger, damaged, failed, unreadable, unsigned};
use super::index::{Index, Sensor};
use super::log;
use super::window::{self, Flow, Piece};
use crate::error::StoreError;
use crate::readings::{Point, SensorId, Stats, Timestamp, Window};

/// What was found.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) index: Index,
    pub(crate) ledger: Ledger,
    /// The sequence of the last log row.
    pub(crate) last_sequence: u64,
    pub(crate) log_rows: u64,
    pub(crate) log_readings: u64,
}

/// Reads everything but the data of chunks, and checks it against its checksums and against the ledger.
pub(crate) fn recover(connection: &Connection) -> Result<Recovered, StoreError> {
    check_structure(connection)?;
    let ledger = Ledger::read(connection)?;
    let mut sensors = sensors(connection)?;
    fold_chunks(connection, &ledger, &mut sensors)?;
    let log = replay(connection, &ledger, &mut sensors)?;

    let mut index = Index::default();
    index.generation = ledger.generation;
    let mut known = Vec::with_capacity(sensors.len());
    for (number, recovering) in sensors.into_iter().enumerate() {
        let sensor = recovering.finish(connection, number as u32)?;
        index.totals.merge(&sensor.stats);
        index.tail_points += sensor.tail.len();
        known.push(sensor);
    }
    index.add(known);
    Ok(Recovered {
        index,
        ledger,
        last_sequence: log.last_sequence,
        log_rows: log.rows,
        log_readings: log.readings,
    })
}

/// The structure of the small tables: a page that has lost a row shows here.
fn check_structure(connection: &Connection) -> Result<(), StoreError> {
    for table in ["sensors", "log", "chunks", "ledger"] {
        let report: String = connection
            .query_row(&format!("PRAGMA quick_check({table})"), [], |row| {
                row.get(0)
            })
            .map_err(|error| failed("check the structure", error))?;
        if report != "ok" {
            return Err(damaged(format!("the structure of table {table}: {report}")));
        }
    }
    Ok(())
}

/// A sensor while it is put together.
struct Recovering {
    id: SensorId,
    /// The last chunk so far.
    sealed: Option<chunks::Chunk>,
    sealed_first: Option<Timestamp>,
    /// Over its chunks.
    stats: Stats,
    /// From the log, in the order of the log.
    logged: Vec<Point>,
}

/// The checksum that goes with a row of `sensors`.
pub(crate) fn sensor_checksum(number: u32, id: &str) -> u64 {
    codec::hash_text(u64::from(number), id)
}

fn sensors(connection: &Connection) -> Result<Vec<Recovering>, StoreError> {
    let read_failed = |error| failed("read sensors", error);
    let mut statement = connection
        .prepare("SELECT number, id, checksum FROM sensors ORDER BY number")
        .map_err(read_failed)?;
    let mut rows = statement.query([]).map_err(read_failed)?;
    let mut sensors = Vec::new();
    while let Some(row) = rows.next().map_err(read_failed)? {
        let number: i64 = row.get(0).map_err(read_failed)?;
        let id: String = row.get(1).map_err(read_failed)?;
        let checksum: i64 = row.get(2).map_err(read_failed)?;
        let expected = sensors.len() as u32;
        if number != i64::from(expected) {
            return Err(damaged(format!("sensor number {expected} is missing")));
        }
        let id = SensorId::new(&id)
            .ok()
            .filter(|id| sensor_checksum(expected, id.as_str()) == unsigned(checksum))
            .ok_or_else(|| {
                damaged(format!(
                    "the name of sensor number {number} does not match its checksum"
                ))
            })?;
        sensors.push(Recovering {
            id,
            sealed: None,
            sealed_first: None,
            stats: Stats::EMPTY,
            logged: Vec::new(),
        });
    }
    Ok(sensors)
}

fn fold_chunks(
    connection: &Connection,
    ledger: &Ledger,
    sensors: &mut [Recovering],
) -> Result<(), StoreError> {
    let (mut count, mut checksums) = (0, 0u64);
    chunks::visit_all(connection, |chunk| {
        let chunk = chunk?;
        count += 1;
        checksums = checksums.wrapping_add(chunk.checksum());
        let Some(sensor) = sensors.get_mut(chunk.sensor as usize) else {
            return Err(damaged(format!(
                "there are chunks of sensor number {}, and no such sensor",
                chunk.sensor
            )));
        };
        if sensor
            .sealed
            .is_some_and(|before| before.last >= chunk.first)
        {
            return Err(damaged(format!(
                "chunks of sensor \"{}\" overlap",
                sensor.id
            )));
        }
        sensor.sealed_first.get_or_insert(chunk.first);
        sensor.stats.merge(&chunk.stats);
        sensor.sealed = Some(chunk);
        Ok(())
    })?;
    if count != ledger.chunks || checksums != ledger.chunk_checksums {
        return Err(damaged(format!(
            "there are {count} chunks, and the ledger tells of {} or of others",
            ledger.chunks
        )));
    }
    Ok(())
}

struct Log {
    last_sequence: u64,
    rows: u64,
    readings: u64,
}

fn replay(
    connection: &Connection,
    ledger: &Ledger,
    sensors: &mut [Recovering],
) -> Result<Log, StoreError> {
    let read_failed = |error| failed("read the log", error);
    let mut statement = connection
        .prepare("SELECT sequence, data FROM log WHERE sequence > ? ORDER BY sequence")
        .map_err(read_failed)?;
    let mut rows = statement
        .query(params![database::signed(ledger.log_sealed)])
        .map_err(read_failed)?;
    let mut log = Log {
        last_sequence: ledger.log_sealed,
        rows: 0,
        readings: 0,
    };
    while let Some(row) = rows.next().map_err(read_failed)? {
        let sequence = unsigned(row.get(0).map_err(read_failed)?);
        if sequence != log.last_sequence + 1 {
            return Err(damaged(format!(
                "log row {} is missing",
                log.last_sequence + 1
            )));
        }
        let bytes = row
            .get_ref(1)
            .map_err(read_failed)?
            .as_blob()
            .map_err(|_| damaged(format!("log row {sequence} is not a blob")))?;
        let mut unknown = None;
        log.readings += log::decode_row(sequence, bytes, &mut |number, point| match sensors
            .get_mut(number as usize)
        {
            Some(sensor) => sensor.logged.push(point),
            None => unknown = Some(number),
        })
        .map_err(|error| unreadable(&format!("log row {sequence}"), error))?;
        if let Some(number) = unknown {
            return Err(damaged(format!(
                "log row {sequence} tells of sensor number {number}, and there is none"
            )));
        }
        log.last_sequence = sequence;
        log.rows += 1;
    }
    Ok(log)
}

impl Recovering {
    fn finish(self, connection: &Connection, number: u32) -> Result<Sensor, StoreError> {
        let mut tail = last_of_each_moment(self.logged);
        let sealed_last = self.sealed.map(|chunk| chunk.last);
        let mut stats = self.stats;
        if tail
            .first()
            .is_some_and(|point| Some(point.timestamp) <= sealed_last)
        {
            // Some of it may be in chunks already; only what differs stands in the tail.
            tail = not_sealed(connection, number, tail)?;
            stats = window::stats(connection, number, &tail, Window::ALL)?;
        } else {
            stats.extend(tail.iter().map(|point| point.temperature));
        }
        let sealed_latest = self.sealed.map(|chunk| Point {
            timestamp: chunk.last,
            temperature: chunk.latest,
        });
        // Of two at the same moment the later in this order is taken: the tail's.
        let latest = sealed_latest
            .into_iter()
            .chain(tail.last().copied())
            .max_by_key(|point| point.timestamp);
        let first = self
            .sealed_first
            .into_iter()
            .chain(tail.first().map(|p| p.timestamp))
            .min();
        let (Some(latest), Some(first)) = (latest, first) else {
            return Err(damaged(format!(
                "sensor \"{}\" has lost its readings",
                self.id
            )));
        };
        let mut sensor = Sensor::new(self.id, latest);
        sensor.first = first;
        sensor.stats = stats;
        sensor.sealed_last = sealed_last;
        sensor.tail = Arc::new(tail);
        Ok(sensor)
    }
}

/// In order of time; of several at the same moment, the one that was logged last.
fn last_of_each_moment(mut points: Vec<Point>) -> Vec<Point> {
    points.sort_by_key(|point| point.timestamp);
    points.reverse();
    points.dedup_by_key(|point| point.timestamp);
    points.reverse();
    points.shrink_to_fit();
    points
}

/// The points that no chunk holds as they are.
fn not_sealed(
    connection: &Connection,
    number: u32,
    tail: Vec<Point>,
) -> Result<Vec<Point>, StoreError> {
    let window = Window {
        from: tail.first().map(|point| point.timestamp),
        to: None,
    };
    let mut sealed = Vec::new();
    let reaches_tail = |first, last| {
        let start = window::position(&tail, first);
        tail.get(start).is_none_or(|point| point.timestamp > last)
    };
    window::visit(connection, number, &[], window, reaches_tail, |piece| {
        if let Piece::Points(points) = piece {
            sealed.extend_from_slice(points);
        }
        Ok(Flow::Continue)
    })?;
    let mut sealed = sealed.into_iter().peekable();
    Ok(tail
        .into_iter()
        .filter(|point| {
            while sealed
                .next_if(|sealed| sealed.timestamp < point.timestamp)
                .is_some()
            {}
            sealed.peek() != Some(point)
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::readings::Temperature;

    #[test]
    fn the_last_logged_value_of_a_moment_stands() {
        let point = |at, value| Point {
            timestamp: Timestamp::from_micros(at).unwrap(),
            temperature: Temperature::from_micro_degrees(value).unwrap(),
        };
        let logged = vec![
            point(2, 1),
            point(1, 5),
            point(2, 2),
            point(2, 3),
            point(0, 9),
        ];
        assert_eq!(
            last_of_each_moment(logged),
            vec![point(0, 9), point(1, 5), point(2, 3)]
        );
    }
}

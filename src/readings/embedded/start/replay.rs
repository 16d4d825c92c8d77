//! Replays the log at a start: readings that are not in chunks become the tails, and the statistics are updated.

use std::ops::ControlFlow;

use rusqlite::{Connection, params};

use crate::error::StoreError;
use crate::readings::embedded::format::file::{damaged, decode_error, failed, signed, unsigned};
use crate::readings::embedded::format::ledger::{Counted, Ledger};
use crate::readings::embedded::format::log_row::{self, Row};
use crate::readings::embedded::format::points;
use crate::readings::embedded::periods::{Replay, Uncounted};
use crate::readings::embedded::progress::Progress;
use crate::readings::embedded::sensor::Sensor;
use crate::readings::embedded::sensor::window::{self, Segment};
use crate::readings::{Point, Temperature, Window};

/// A sensor during recovery.
#[derive(Debug, Default)]
pub(crate) struct RecoveredSensor {
    /// The sensor according to the chunks; `None` without chunks.
    pub(crate) sensor: Option<Sensor>,
    /// Every reading in log rows up to this sequence is in chunks, or again in a later row.
    pub(crate) through: u64,
    /// The row of `chunk_data` of the newest chunk with this value.
    pub(crate) through_data: i64,
    /// The row of `chunk_data` of the newest chunk.
    pub(crate) newest_data: i64,
}

impl RecoveredSensor {
    /// Whether chunks may contain a part of the readings after `through`.
    fn is_sealed_in_part(&self) -> bool {
        self.through == 0 || self.newest_data != self.through_data
    }
}

/// The log rows that are not sealed.
#[derive(Debug, Default)]
pub(crate) struct ReplayedLog {
    pub(crate) last_sequence: u64,
    pub(crate) rows: u64,
    /// The number of readings. Includes readings in chunks and readings logged again.
    pub(crate) readings: u64,
    /// How far the log is counted into `periods`, and the uncounted changes.
    pub(crate) counted: Option<Counted>,
    pub(crate) uncounted: Uncounted,
    logged: Vec<LoggedReading>,
    /// The replaced temperatures.
    replaced: Vec<Temperature>,
    /// Rows up to this sequence do not record replaced temperatures.
    unrecorded_through: u64,
}

/// A logged reading. As far as known without a look into the chunks, the chunks do not contain the reading.
#[derive(Clone, Copy, Debug)]
struct LoggedReading {
    sensor: u32,
    /// 1 + the index of the replaced temperature; 0 without a replaced temperature.
    replaced: u32,
    point: Point,
}

/// Reads the log rows that are not sealed.
pub(crate) fn read(
    connection: &Connection,
    ledger: &Ledger,
    sealed: &[RecoveredSensor],
    progress: &Progress,
) -> Result<ReplayedLog, StoreError> {
    let read_error = |error| failed("read the log", error);
    let mut statement = connection
        .prepare("SELECT sequence, data FROM log WHERE sequence > ? ORDER BY sequence")
        .map_err(read_error)?;
    let mut rows = statement
        .query(params![signed(ledger.log_sealed)])
        .map_err(read_error)?;
    let mut log = ReplayedLog {
        last_sequence: ledger.log_sealed,
        // Rows with the carried readings of removed rows do not record replaced temperatures.
        unrecorded_through: ledger.log_sealed,
        ..ReplayedLog::default()
    };
    let mut counting = Replay::new(ledger.counted);
    let mut decoded = Row::default();
    while let Some(row) = rows.next().map_err(read_error)? {
        let sequence = unsigned(row.get(0).map_err(read_error)?);
        if sequence != log.last_sequence + 1 {
            return Err(damaged(format!(
                "log row {} is missing",
                log.last_sequence + 1
            )));
        }
        let bytes = row
            .get_ref(1)
            .map_err(read_error)?
            .as_blob()
            .map_err(|_| damaged(format!("log row {sequence} is not a blob")))?;
        log_row::decode_row(sequence, bytes, &mut decoded)
            .map_err(|error| decode_error(&format!("log row {sequence}"), error))?;
        log.take(sequence, &decoded, sealed)?;
        counting.row(sequence, &decoded);
        progress.advance()?;
    }
    (log.counted, log.uncounted) = counting.finish();
    let through = sealed.iter().map(|sealed| sealed.through).max();
    if through > Some(log.last_sequence) {
        return Err(damaged(format!(
            "log row {} is missing",
            log.last_sequence + 1
        )));
    }
    Ok(log)
}

impl ReplayedLog {
    fn take(
        &mut self,
        sequence: u64,
        row: &Row,
        sealed: &[RecoveredSensor],
    ) -> Result<(), StoreError> {
        let mut replaced = row.replaced.iter().peekable();
        for (at, &(number, point)) in row.readings.iter().enumerate() {
            let before = replaced.next_if(|(of, _)| *of == at);
            let Some(sealed) = sealed.get(number as usize) else {
                return Err(damaged(format!(
                    "log row {sequence} has readings of sensor number {number}, which does not exist"
                )));
            };
            if sequence <= sealed.through {
                continue;
            }
            if let Some((_, before)) = before {
                self.replaced.push(*before);
            }
            self.logged.push(LoggedReading {
                sensor: number,
                // The log holds far fewer than 2³² readings.
                replaced: before.map_or(0, |_| self.replaced.len() as u32),
                point,
            });
        }
        if !row.records_replaced {
            self.unrecorded_through = sequence;
        }
        self.readings += row.readings.len() as u64;
        self.last_sequence = sequence;
        self.rows += 1;
        Ok(())
    }
}

/// Adds the logged readings to the sensors.
pub(crate) fn apply(
    connection: &Connection,
    mut log: ReplayedLog,
    sensors: &mut [RecoveredSensor],
    progress: &Progress,
) -> Result<(), StoreError> {
    // A stable sort: readings with the same timestamp stay in the order of the log.
    log.logged
        .sort_by_key(|logged| (logged.sensor, logged.point.timestamp));
    let by_sensor = log.logged.chunk_by(|one, next| one.sensor == next.sensor);
    for logged in by_sensor {
        let number = logged[0].sensor;
        let Some(sealed) = sensors.get_mut(number as usize) else {
            continue;
        };
        let may_repeat_chunks =
            sealed.is_sealed_in_part() || sealed.through < log.unrecorded_through;
        let sensor = sealed
            .sensor
            .get_or_insert_with(|| Sensor::new(logged[0].point));
        let mut tail = last_of_each_timestamp(logged);
        let overlaps = sensor.sealed_last() >= tail.first().map(|point| point.timestamp);
        let mut are_extremes_known = true;
        if overlaps {
            progress.check()?;
        }
        if !overlaps {
            sensor
                .stats
                .extend(tail.iter().map(|point| point.temperature));
        } else if may_repeat_chunks {
            // Chunks may contain some of these readings. Only readings that differ from the chunks go into the tail.
            tail = not_sealed(connection, number, tail)?;
            sensor.stats = window::stats(connection, number, &tail, Window::ALL)?;
        } else {
            // For each timestamp, the first logged reading has replaced the reading in a chunk, if the chunk has such a reading.
            let by_timestamp =
                logged.chunk_by(|one, next| one.point.timestamp == next.point.timestamp);
            for (same_time, point) in by_timestamp.zip(&tail) {
                let before = log
                    .replaced
                    .get((same_time[0].replaced as usize).wrapping_sub(1));
                match before {
                    Some(&before) => {
                        are_extremes_known &= sensor.stats.replace(before, point.temperature);
                    }
                    None => sensor.stats.add(point.temperature),
                }
            }
        }
        if !are_extremes_known {
            let recount = window::stats(connection, number, &tail, Window::ALL)?;
            sensor.stats.set_extremes(&recount);
        }
        sensor.put(&tail);
    }
    Ok(())
}

/// For each timestamp, the last logged point.
fn last_of_each_timestamp(logged: &[LoggedReading]) -> Vec<Point> {
    let by_timestamp = logged.chunk_by(|one, next| one.point.timestamp == next.point.timestamp);
    by_timestamp
        .filter_map(|same_time| same_time.last())
        .map(|logged| logged.point)
        .collect()
}

/// The points that differ from the chunks.
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
        let start = points::position(&tail, first);
        tail.get(start).is_none_or(|point| point.timestamp > last)
    };
    window::visit(connection, number, &[], window, reaches_tail, |piece| {
        if let Segment::Points(points) = piece {
            sealed.extend_from_slice(points);
        }
        Ok(ControlFlow::Continue(()))
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

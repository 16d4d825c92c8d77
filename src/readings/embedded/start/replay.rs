//! The log at a start: what of it is not in chunks becomes the tails, and the statistics follow.

use rusqlite::{Connection, params};

use crate::error::StoreError;
use crate::readings::embedded::format::file::{damaged, failed, signed, unreadable, unsigned};
use crate::readings::embedded::format::ledger::{Counted, Ledger};
use crate::readings::embedded::format::log_row::{self, Row};
use crate::readings::embedded::format::points;
use crate::readings::embedded::periods::{Replay, Uncounted};
use crate::readings::embedded::progress::Progress;
use crate::readings::embedded::sensor::Sensor;
use crate::readings::embedded::sensor::window::{self, Flow, Piece};
use crate::readings::{Point, Temperature, Window};

/// A sensor while it is put together.
#[derive(Debug, Default)]
pub(crate) struct Sealed {
    /// As its chunks tell; `None` without any.
    pub(crate) sensor: Option<Sensor>,
    /// Every reading in log rows up to here is in its chunks, or again in a later row.
    pub(crate) through: u64,
    /// The data of the newest chunk that says so.
    pub(crate) through_data: i64,
    /// The data of the newest chunk.
    pub(crate) newest_data: i64,
}

impl Sealed {
    /// Whether a part of what came after `through` is in chunks, as far as they tell.
    fn is_sealed_in_part(&self) -> bool {
        self.through == 0 || self.newest_data != self.through_data
    }
}

/// What the log holds beyond the chunks.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) last_sequence: u64,
    pub(crate) rows: u64,
    /// Those in chunks too, and those that were logged again.
    pub(crate) readings: u64,
    /// What of it is in `periods`, and what is not.
    pub(crate) counted: Option<Counted>,
    pub(crate) uncounted: Uncounted,
    logged: Vec<Logged>,
    /// The temperatures that some of them replaced.
    replaced: Vec<Temperature>,
    /// Of the rows up to here it is not known what their readings replaced.
    untold_through: u64,
}

/// A reading in the log that is not in chunks, for all that is known without a look at them.
#[derive(Clone, Copy, Debug)]
struct Logged {
    sensor: u32,
    /// 1 and more: the number of the temperature that it replaced.
    replaced: u32,
    point: Point,
}

/// Reads the rows that are not sealed.
pub(crate) fn read(
    connection: &Connection,
    ledger: &Ledger,
    sealed: &[Sealed],
    progress: &Progress,
) -> Result<Log, StoreError> {
    let read_failed = |error| failed("read the log", error);
    let mut statement = connection
        .prepare("SELECT sequence, data FROM log WHERE sequence > ? ORDER BY sequence")
        .map_err(read_failed)?;
    let mut rows = statement
        .query(params![signed(ledger.log_sealed)])
        .map_err(read_failed)?;
    let mut log = Log {
        last_sequence: ledger.log_sealed,
        // What was carried out of the rows that are gone is in later ones without what it replaced.
        untold_through: ledger.log_sealed,
        ..Log::default()
    };
    let mut counting = Replay::new(ledger.counted);
    let mut decoded = Row::default();
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
        log_row::decode_row(sequence, bytes, &mut decoded)
            .map_err(|error| unreadable(&format!("log row {sequence}"), error))?;
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

impl Log {
    fn take(&mut self, sequence: u64, row: &Row, sealed: &[Sealed]) -> Result<(), StoreError> {
        let mut replaced = row.replaced.iter().peekable();
        for (at, &(number, point)) in row.readings.iter().enumerate() {
            let before = replaced.next_if(|(of, _)| *of == at);
            let Some(sealed) = sealed.get(number as usize) else {
                return Err(damaged(format!(
                    "log row {sequence} tells of sensor number {number}, and there is none"
                )));
            };
            if sequence <= sealed.through {
                continue;
            }
            if let Some((_, before)) = before {
                self.replaced.push(*before);
            }
            self.logged.push(Logged {
                sensor: number,
                // Readings in the log are bounded far below 2³².
                replaced: before.map_or(0, |_| self.replaced.len() as u32),
                point,
            });
        }
        if !row.tells_replaced {
            self.untold_through = sequence;
        }
        self.readings += row.readings.len() as u64;
        self.last_sequence = sequence;
        self.rows += 1;
        Ok(())
    }
}

/// Takes what the log holds into the sensors.
pub(crate) fn apply(
    connection: &Connection,
    mut log: Log,
    sensors: &mut [Sealed],
    progress: &Progress,
) -> Result<(), StoreError> {
    // Those of one moment stay in the order of the log.
    log.logged
        .sort_by_key(|logged| (logged.sensor, logged.point.timestamp));
    let by_sensor = log.logged.chunk_by(|one, next| one.sensor == next.sensor);
    for logged in by_sensor {
        let number = logged[0].sensor;
        let Some(sealed) = sensors.get_mut(number as usize) else {
            continue;
        };
        let in_part = sealed.is_sealed_in_part() || sealed.through < log.untold_through;
        let sensor = sealed
            .sensor
            .get_or_insert_with(|| Sensor::new(logged[0].point));
        let mut tail = last_of_each_moment(logged);
        let overlaps = sensor.sealed_last() >= tail.first().map(|point| point.timestamp);
        let mut are_extremes_known = true;
        if overlaps {
            progress.check()?;
        }
        if !overlaps {
            sensor
                .stats
                .extend(tail.iter().map(|point| point.temperature));
        } else if in_part {
            // Some of it may be in chunks already; only what differs stands in the tail.
            tail = not_sealed(connection, number, tail)?;
            sensor.stats = window::stats(connection, number, &tail, Window::ALL)?;
        } else {
            // Of each moment, the first in the log has replaced what is in a chunk, if anything is.
            let moments = logged.chunk_by(|one, next| one.point.timestamp == next.point.timestamp);
            for (moment, point) in moments.zip(&tail) {
                let before = log
                    .replaced
                    .get((moment[0].replaced as usize).wrapping_sub(1));
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

/// Of several at the same moment, the one that was logged last.
fn last_of_each_moment(logged: &[Logged]) -> Vec<Point> {
    let moments = logged.chunk_by(|one, next| one.point.timestamp == next.point.timestamp);
    moments
        .filter_map(|moment| moment.last())
        .map(|logged| logged.point)
        .collect()
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
        let start = points::position(&tail, first);
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

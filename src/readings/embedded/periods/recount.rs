//! Recounts all readings: builds the totals of a database without totals, and provides the counts to check totals against.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tracing::info;

use super::changes::{Changes, Sorted};
use super::fold::Folder;
use super::level::{Level, Span};
use super::rows;
use crate::error::StoreError;
use crate::readings::embedded::format::ledger::DayRows;
use crate::readings::embedded::progress::Progress;
use crate::readings::embedded::sensor::Sensor;
use crate::readings::embedded::sensor::window::{self, Segment};
use crate::readings::{Timestamp, Window};

/// About how many seconds with readings are held in memory: 64 bytes each, and as much in the map for the search.
const SECONDS_MAX: u64 = 200_000;

/// How often the progress is logged.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);

/// Replaces the rows of `periods` by totals of all readings, within the open transaction.
pub(crate) fn rebuild(
    connection: &Connection,
    sensors: &[Sensor],
    readings_min: u64,
    progress: &Progress,
) -> Result<DayRows, StoreError> {
    let all = Span::of(Window::ALL);
    rows::remove(connection, Level::Day, all)?;
    let mut folder = Folder {
        connection,
        readings_min,
        days: DayRows::default(),
    };
    let mut reported_at = Instant::now();
    by_seconds(connection, sensors, progress, &mut |part, parts, sorted| {
        folder.fold(&sorted, || false)?;
        if reported_at.elapsed() >= PROGRESS_INTERVAL {
            reported_at = Instant::now();
            info!(
                part,
                parts, "counting the readings of all sensors by periods"
            );
        }
        Ok(())
    })?;
    Ok(folder.days)
}

/// Calls `visit` with all readings by second, in order of time, some days per call: the number of the part, the number of parts,
/// and the part. All readings of a day are in the same part.
pub(crate) fn by_seconds(
    connection: &Connection,
    sensors: &[Sensor],
    progress: &Progress,
    visit: &mut dyn FnMut(usize, usize, Sorted) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let spans = parts(&days(connection, sensors)?);
    for (part, &span) in spans.iter().enumerate() {
        let mut changes = Changes::default();
        for (number, sensor) in sensors.iter().enumerate() {
            let readings = Span {
                from: sensor.first.micros(),
                to: sensor.last.micros() + 1,
            };
            if span.overlap(readings).is_empty() {
                continue;
            }
            progress.check()?;
            // The number of sensors is limited far below 2³².
            window::visit(
                connection,
                number as u32,
                &sensor.tail,
                span.window(),
                |_, _| false,
                |piece| {
                    if let Segment::Points(points) = piece {
                        points.iter().for_each(|point| changes.add(*point));
                    }
                    Ok(ControlFlow::Continue(()))
                },
            )?;
        }
        visit(part + 1, spans.len(), changes.take())?;
    }
    Ok(())
}

/// The number of readings of each day.
fn days(connection: &Connection, sensors: &[Sensor]) -> Result<BTreeMap<i64, u64>, StoreError> {
    let day = |timestamp: Timestamp| Level::Day.period_start(timestamp.micros());
    let mut days = BTreeMap::new();
    for (number, sensor) in sensors.iter().enumerate() {
        window::visit(
            connection,
            number as u32,
            &sensor.tail,
            Window::ALL,
            |first, last| day(first) == day(last),
            |piece| {
                match piece {
                    Segment::Rollup { first, stats } => {
                        *days.entry(day(first)).or_default() += stats.count();
                    }
                    Segment::Points(points) => {
                        for points in points.chunk_by(|a, b| day(a.timestamp) == day(b.timestamp)) {
                            *days.entry(day(points[0].timestamp)).or_default() +=
                                points.len() as u64;
                        }
                    }
                }
                Ok(ControlFlow::Continue(()))
            },
        )?;
    }
    Ok(days)
}

/// Groups days into spans whose seconds with readings fit into memory.
fn parts(days: &BTreeMap<i64, u64>) -> Vec<Span> {
    let seconds_of_day = (Level::Day.micros() / Level::Second.micros()) as u64;
    let mut parts: Vec<Span> = Vec::new();
    let mut seconds = 0;
    for (&from, &readings) in days {
        let of_day = readings.min(seconds_of_day);
        let to = from + Level::Day.micros();
        match parts.last_mut() {
            Some(part) if seconds + of_day <= SECONDS_MAX => {
                part.to = to;
                seconds += of_day;
            }
            _ => {
                parts.push(Span { from, to });
                seconds = of_day;
            }
        }
    }
    parts
}

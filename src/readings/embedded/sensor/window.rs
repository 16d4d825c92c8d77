//! Reading one sensor: its sealed chunks and its tail as one ordered sequence, the tail standing where both have a reading.

use rusqlite::Connection;

use crate::error::StoreError;
use crate::readings::embedded::format::chunks;
use crate::readings::embedded::format::points::{merge, position, within};
use crate::readings::{Point, Stats, Timestamp, Window};

/// A part of a sensor's readings.
pub(crate) enum Piece<'a> {
    /// A whole chunk, without its points.
    Rollup { first: Timestamp, stats: &'a Stats },
    /// Points in order of time.
    Points(&'a [Point]),
}

/// What to do after a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    Continue,
    Stop,
}

/// Visits a sensor's readings in a window, in order of time. A chunk whose span `as_rollup` accepts is given as its
/// statistics, where that is exact: it lies inside the window, and no reading of the tail falls between its ends.
pub(crate) fn visit(
    connection: &Connection,
    sensor: u32,
    tail: &[Point],
    window: Window,
    as_rollup: impl Fn(Timestamp, Timestamp) -> bool,
    mut visitor: impl FnMut(Piece<'_>) -> Result<Flow, StoreError>,
) -> Result<(), StoreError> {
    let mut tail = within(tail, window);
    let mut stopped = false;
    chunks::visit(connection, sensor, window.from, window.to, |chunk| {
        let (before, rest) = tail.split_at(position(tail, chunk.first));
        if !before.is_empty() && visitor(Piece::Points(before))? == Flow::Stop {
            stopped = true;
            return Ok(false);
        }
        let (inside, after) =
            rest.split_at(rest.partition_point(|point| point.timestamp <= chunk.last));
        tail = after;
        let whole = window.contains(chunk.first) && window.contains(chunk.last);
        let flow = if whole && inside.is_empty() && as_rollup(chunk.first, chunk.last) {
            visitor(Piece::Rollup {
                first: chunk.first,
                stats: &chunk.stats,
            })?
        } else {
            let mut points = chunks::points_within(connection, &chunk, window)?;
            if !inside.is_empty() {
                points = merge(&points, inside);
            }
            visitor(Piece::Points(&points))?
        };
        stopped = flow == Flow::Stop;
        Ok(!stopped)
    })?;
    if !stopped && !tail.is_empty() {
        visitor(Piece::Points(tail))?;
    }
    Ok(())
}

/// Statistics of a sensor's readings in a window.
pub(crate) fn stats(
    connection: &Connection,
    sensor: u32,
    tail: &[Point],
    window: Window,
) -> Result<Stats, StoreError> {
    let mut total = Stats::EMPTY;
    visit(
        connection,
        sensor,
        tail,
        window,
        |_, _| true,
        |piece| {
            match piece {
                Piece::Rollup { stats, .. } => total.merge(stats),
                Piece::Points(points) => total.extend(points.iter().map(|point| point.temperature)),
            }
            Ok(Flow::Continue)
        },
    )?;
    Ok(total)
}

/// The extremes of all of a sensor's readings, as statistics of which the rest means nothing. Of the chunks that the tail
/// reaches into, only those are decoded that could have one.
pub(crate) fn extremes(
    connection: &Connection,
    sensor: u32,
    tail: &[Point],
) -> Result<Stats, StoreError> {
    let mut extremes: Stats = tail.iter().map(|point| point.temperature).collect();
    let mut doubtful = Vec::new();
    chunks::visit(connection, sensor, None, None, |chunk| {
        let next = tail.get(position(tail, chunk.first));
        if next.is_some_and(|point| point.timestamp <= chunk.last) {
            doubtful.push(chunk);
        } else {
            extremes.merge(&chunk.stats);
        }
        Ok(true)
    })?;
    for chunk in doubtful {
        let mut with = extremes;
        with.merge(&chunk.stats);
        if (with.minimum(), with.maximum()) != (extremes.minimum(), extremes.maximum()) {
            let points = merge(&chunks::points(connection, &chunk)?, tail);
            extremes.extend(points.iter().map(|point| point.temperature));
        }
    }
    Ok(extremes)
}

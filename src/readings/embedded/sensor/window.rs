//! Reads the chunks and the tail of a sensor as a single ordered sequence. Where both have a point at a timestamp, the point of
//! the tail counts.

use std::ops::ControlFlow;

use rusqlite::Connection;

use crate::error::StoreError;
use crate::readings::embedded::format::chunks;
use crate::readings::embedded::format::points::{merge, position, within};
use crate::readings::{Point, Stats, Timestamp, Window};

/// Consecutive readings of a sensor.
pub(crate) enum Segment<'a> {
    /// The statistics of a whole chunk.
    Rollup { first: Timestamp, stats: &'a Stats },
    /// Points in order of time.
    Points(&'a [Point]),
}

/// Visits a sensor's readings in a window, in order of time. A chunk is passed as statistics if `as_rollup` accepts the chunk's
/// first and last timestamp, the chunk lies inside the window, and no point of the tail lies within the chunk.
pub(crate) fn visit(
    connection: &Connection,
    sensor: u32,
    tail: &[Point],
    window: Window,
    as_rollup: impl Fn(Timestamp, Timestamp) -> bool,
    mut visitor: impl FnMut(Segment<'_>) -> Result<ControlFlow<()>, StoreError>,
) -> Result<(), StoreError> {
    let mut tail = within(tail, window);
    let mut stopped = false;
    chunks::visit(connection, sensor, window.from, window.to, |chunk| {
        let (before, rest) = tail.split_at(position(tail, chunk.first));
        if !before.is_empty() && visitor(Segment::Points(before))?.is_break() {
            stopped = true;
            return Ok(false);
        }
        let (inside, after) =
            rest.split_at(rest.partition_point(|point| point.timestamp <= chunk.last));
        tail = after;
        let whole = window.contains(chunk.first) && window.contains(chunk.last);
        let flow = if whole && inside.is_empty() && as_rollup(chunk.first, chunk.last) {
            visitor(Segment::Rollup {
                first: chunk.first,
                stats: &chunk.stats,
            })?
        } else {
            let mut points = chunks::points_within(connection, &chunk, window)?;
            if !inside.is_empty() {
                points = merge(&points, inside);
            }
            visitor(Segment::Points(&points))?
        };
        stopped = flow.is_break();
        Ok(!stopped)
    })?;
    if !stopped && !tail.is_empty() {
        // The last segment: the visitor cannot stop earlier.
        let _ = visitor(Segment::Points(tail))?;
    }
    Ok(())
}

/// The statistics of a sensor's readings in a window.
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
                Segment::Rollup { stats, .. } => total.merge(stats),
                Segment::Points(points) => {
                    total.extend(points.iter().map(|point| point.temperature));
                }
            }
            Ok(ControlFlow::Continue(()))
        },
    )?;
    Ok(total)
}

/// The extremes of all readings of a sensor. The other values of the result mean nothing. A chunk that contains points of the
/// tail is decoded only if the chunk may hold an extreme.
pub(crate) fn extremes(
    connection: &Connection,
    sensor: u32,
    tail: &[Point],
) -> Result<Stats, StoreError> {
    let mut extremes: Stats = tail.iter().map(|point| point.temperature).collect();
    let mut uncertain_spans = Vec::new();
    chunks::visit(connection, sensor, None, None, |chunk| {
        let next = tail.get(position(tail, chunk.first));
        if next.is_some_and(|point| point.timestamp <= chunk.last) {
            uncertain_spans.push(chunk);
        } else {
            extremes.merge(&chunk.stats);
        }
        Ok(true)
    })?;
    for chunk in uncertain_spans {
        let mut with = extremes;
        with.merge(&chunk.stats);
        if (with.minimum(), with.maximum()) != (extremes.minimum(), extremes.maximum()) {
            let points = merge(&chunks::points(connection, &chunk)?, tail);
            extremes.extend(points.iter().map(|point| point.temperature));
        }
    }
    Ok(extremes)
}

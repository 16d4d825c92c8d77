//! What is asked of a snapshot: statistics of a window, a series, pages, an export.

use std::sync::Arc;

use rusqlite::Connection;

use super::committer::Shared;
use super::snapshot::{ReaderPool, Snapshot};
use super::window::{self, Flow, Piece};
use crate::error::{StoreError, StoreErrorKind};
use crate::readings::{
    Bucket, ExportBlock, Point, Selection, SensorId, SensorSummary, Series, Stats, Timestamp,
    Window,
};

/// Runs what reads from disk on a thread that may block.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| {
            Err(
                StoreError::new(StoreErrorKind::Internal, "a read did not finish")
                    .with_source(error),
            )
        })
}

/// One sensor's part in a read of several.
#[derive(Debug)]
struct View {
    number: u32,
    sensor: SensorId,
    tail: Arc<Vec<Point>>,
}

/// The sensors that have readings in a window, in order of ids. Those that lie inside it as a whole are given to `whole`
/// instead, if it takes them.
fn views(
    index: &super::index::Index,
    selection: &Selection,
    mut whole: impl FnMut(&Stats) -> bool,
) -> Vec<View> {
    let window = selection.window;
    let mut views = Vec::new();
    let mut consider = |number, sensor: &super::index::Sensor| {
        let misses = window.from.is_some_and(|from| sensor.last < from)
            || window.to.is_some_and(|to| sensor.first >= to);
        let inside = window.contains(sensor.first) && window.contains(sensor.last);
        if misses || (inside && whole(&sensor.stats)) {
            return;
        }
        let (sensor, tail) = (sensor.id.clone(), Arc::clone(&sensor.tail));
        views.push(View {
            number,
            sensor,
            tail,
        });
    };
    match &selection.sensor {
        Some(id) => {
            if let Some(number) = index.number(id.as_str())
                && let Some(sensor) = index.get(number)
            {
                consider(number, sensor);
            }
        }
        None => index
            .ordered_after(None)
            .for_each(|(number, sensor)| consider(number, sensor)),
    }
    views
}

/// Statistics of a selection.
pub(super) fn stats(
    readers: &Arc<ReaderPool>,
    shared: &Shared,
    selection: &Selection,
) -> Result<Stats, StoreError> {
    let snapshot = Snapshot::take(readers, shared, |index| {
        let mut inside = Stats::EMPTY;
        let views = views(index, selection, |stats| {
            inside.merge(stats);
            true
        });
        (inside, views)
    })?;
    let (mut total, views) = (snapshot.seen.0, &snapshot.seen.1);
    for view in views {
        let connection = snapshot.connection()?;
        total.merge(&window::stats(
            connection,
            view.number,
            &view.tail,
            selection.window,
        )?);
    }
    Ok(total)
}

/// Visits a sensor's readings in a window, in order of time, until `visit` says `false`.
pub(super) fn visit_points(
    connection: &Connection,
    number: u32,
    tail: &[Point],
    window: Window,
    visit: &mut dyn FnMut(&[Point]) -> bool,
) -> Result<(), StoreError> {
    window::visit(
        connection,
        number,
        tail,
        window,
        |_, _| false,
        |piece| {
            Ok(match piece {
                Piece::Points(points) if !visit(points) => Flow::Stop,
                Piece::Points(_) | Piece::Rollup { .. } => Flow::Continue,
            })
        },
    )
}

/// A sensor's readings in equal buckets.
pub(super) fn series_of(
    connection: &Connection,
    number: u32,
    tail: &[Point],
    summary: &SensorSummary,
    window: Window,
    points: usize,
) -> Result<Series, StoreError> {
    let from = window.from.unwrap_or(summary.first);
    let after_last = Timestamp::from_micros(summary.last.micros() + 1).unwrap_or(Timestamp::MAX);
    let to = window.to.unwrap_or(after_last).max(from);
    let span = to.micros() - from.micros();
    // A timestamp is below 2⁵⁸ in size, so none of this overflows.
    let width = span.unsigned_abs().div_ceil(points.max(1) as u64).max(1);
    let count = span.unsigned_abs().div_ceil(width);
    let at =
        |moment: Timestamp| ((moment.micros() - from.micros()).unsigned_abs() / width) as usize;
    let mut buckets: Vec<Bucket> = (0..count)
        .filter_map(|bucket| {
            let start = Timestamp::from_micros(from.micros() + (bucket * width).cast_signed())?;
            Some(Bucket {
                start,
                stats: Stats::EMPTY,
            })
        })
        .collect();
    let window = Window {
        from: Some(from),
        to: window.to,
    };
    window::visit(
        connection,
        number,
        tail,
        window,
        |first, last| at(first) == at(last),
        |piece| {
            let mut add = |moment: Timestamp, stats: &Stats| {
                let last = buckets.len().saturating_sub(1);
                if let Some(bucket) = buckets.get_mut(at(moment).min(last)) {
                    bucket.stats.merge(stats);
                }
            };
            match piece {
                Piece::Rollup { first, stats } => add(first, stats),
                Piece::Points(points) => {
                    for point in points {
                        add(point.timestamp, &Stats::from_iter([point.temperature]));
                    }
                }
            }
            Ok(Flow::Continue)
        },
    )?;
    Ok(Series { from, to, buckets })
}

/// How many readings a block of an export holds at the most, about.
const BLOCK_POINTS: usize = 8_192;

/// An export under way: a snapshot, and where in it we are.
#[derive(Debug)]
pub(super) struct ExportCursor {
    snapshot: Snapshot<Vec<View>>,
    window: Window,
    /// The sensor whose turn it is.
    view: usize,
    /// Where in that sensor to go on.
    from: Option<Timestamp>,
}

impl ExportCursor {
    pub(super) fn open(
        readers: &Arc<ReaderPool>,
        shared: &Shared,
        selection: &Selection,
    ) -> Result<Self, StoreError> {
        let snapshot = Snapshot::take(readers, shared, |index| views(index, selection, |_| false))?;
        Ok(Self {
            snapshot,
            window: selection.window,
            view: 0,
            from: selection.window.from,
        })
    }

    /// The next block, `None` after the last. One sensor a block: a chunk and what the tail has beside it.
    pub(super) fn next(&mut self) -> Result<Option<ExportBlock>, StoreError> {
        while let Some(view) = self.snapshot.seen.get(self.view) {
            let at = self.view;
            let window = Window {
                from: self.from,
                to: self.window.to,
            };
            let mut points: Vec<Point> = Vec::new();
            let connection = self.snapshot.connection()?;
            visit_points(connection, view.number, &view.tail, window, &mut |piece| {
                points.extend_from_slice(&piece[..piece.len().min(BLOCK_POINTS)]);
                points.is_empty()
            })?;
            let last = points.last().map(|point| point.timestamp.micros());
            match last.and_then(|last| Timestamp::from_micros(last + 1)) {
                Some(next) => self.from = Some(next),
                None => {
                    self.view += 1;
                    self.from = self.window.from;
                }
            }
            if !points.is_empty() {
                let sensor = self.snapshot.seen[at].sensor.clone();
                return Ok(Some(ExportBlock { sensor, points }));
            }
        }
        Ok(None)
    }
}

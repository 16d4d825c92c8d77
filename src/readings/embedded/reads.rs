//! What is asked of a snapshot: statistics of a window, a series, pages, an export.

use rusqlite::Connection;
use tokio_util::sync::CancellationToken;

use super::committer::Shared;
use super::periods;
use super::snapshot::Snapshot;
use super::tail::Tail;
use super::window::{self, Flow, Piece};
use crate::error::StoreError;
use crate::readings::{
    ExportBlock, Grid, Point, Selection, SensorId, SensorSummary, Series, Stats, Timestamp, Window,
};
use crate::storage::sqlite::Reader;

/// One sensor's part in a read of several.
#[derive(Debug)]
struct View {
    number: u32,
    sensor: SensorId,
    tail: Tail,
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
        views.push(View {
            number,
            sensor: index.id(number),
            tail: sensor.tail.clone(),
        });
    };
    match &selection.sensor {
        Some(id) => {
            if let Some((number, sensor)) = index.find(id) {
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
    reader: Reader,
    shared: &Shared,
    selection: &Selection,
) -> Result<Stats, StoreError> {
    if selection.sensor.is_none() {
        return periods::stats(reader, shared, selection.window);
    }
    let snapshot = Snapshot::take(reader, shared, |index| {
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
    let mut grid = Grid::new(window, summary.first, summary.last, points);
    let spans = grid.spans();
    window::visit(
        connection,
        number,
        tail,
        grid.window(),
        |first, last| spans.of(first) == spans.of(last),
        |piece| {
            match piece {
                Piece::Rollup { first, stats } => grid.add(first, stats),
                Piece::Points(points) => {
                    for point in points {
                        grid.add(point.timestamp, &Stats::from_iter([point.temperature]));
                    }
                }
            }
            Ok(Flow::Continue)
        },
    )?;
    Ok(grid.series())
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
        reader: Reader,
        shared: &Shared,
        selection: &Selection,
    ) -> Result<Self, StoreError> {
        let snapshot = Snapshot::take(reader, shared, |index| views(index, selection, |_| false))?;
        Ok(Self {
            snapshot,
            window: selection.window,
            view: 0,
            from: selection.window.from,
        })
    }

    /// What stops the export.
    pub(super) fn stop(&self) -> &CancellationToken {
        self.snapshot.reader().stop()
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

//! A sensor's readings in equal buckets.

use rusqlite::Connection;

use crate::error::StoreError;
use crate::readings::embedded::sensor::view::SensorView;
use crate::readings::embedded::sensor::window::{Flow, Piece};
use crate::readings::{Grid, Series, Stats, Timestamp, Window};

/// A sensor's readings in equal buckets.
pub(crate) fn series_of(
    connection: &Connection,
    view: &SensorView,
    (first, last): (Timestamp, Timestamp),
    window: Window,
    points: usize,
) -> Result<Series, StoreError> {
    let mut grid = Grid::new(window, first, last, points);
    let spans = grid.spans();
    view.visit(
        connection,
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

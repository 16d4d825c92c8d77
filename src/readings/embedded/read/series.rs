//! A series: a sensor's readings in equal buckets.

use std::ops::ControlFlow;

use rusqlite::Connection;

use crate::error::StoreError;
use crate::readings::embedded::sensor::view::SensorView;
use crate::readings::embedded::sensor::window::Segment;
use crate::readings::{Grid, Series, Stats, Timestamp, Window};

/// A series: a sensor's readings in equal buckets.
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
                Segment::Rollup { first, stats } => grid.add(first, stats),
                Segment::Points(points) => {
                    for point in points {
                        grid.add(point.timestamp, &Stats::from_iter([point.temperature]));
                    }
                }
            }
            Ok(ControlFlow::Continue(()))
        },
    )?;
    Ok(grid.series())
}

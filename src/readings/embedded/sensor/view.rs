//! A snapshot's view of a sensor: the sensor's number and tail.

use std::ops::ControlFlow;

use rusqlite::Connection;

use super::Sensor;
use super::tail::Tail;
use super::window::{self, Segment};
use crate::error::StoreError;
use crate::readings::embedded::format::points::within;
use crate::readings::{Point, Stats, Timestamp, Window};

/// The state of a sensor in a snapshot. The read transaction of the same snapshot sees the matching chunks.
#[derive(Clone, Debug)]
pub(crate) struct SensorView {
    number: u32,
    tail: Tail,
    /// Whether a chunk may contain readings of the requested windows.
    has_chunks: bool,
}

impl SensorView {
    /// A view of a sensor for windows that start at `from` or later.
    pub(crate) fn new(number: u32, sensor: &Sensor, from: Option<Timestamp>) -> Self {
        Self {
            number,
            tail: sensor.tail.clone(),
            has_chunks: sensor
                .sealed_last()
                .is_some_and(|last| from.is_none_or(|from| from <= last)),
        }
    }

    /// Visits the readings in a window, as [`window::visit`] does.
    pub(crate) fn visit(
        &self,
        connection: &Connection,
        window: Window,
        as_rollup: impl Fn(Timestamp, Timestamp) -> bool,
        mut visitor: impl FnMut(Segment<'_>) -> Result<ControlFlow<()>, StoreError>,
    ) -> Result<(), StoreError> {
        if self.has_chunks {
            return window::visit(
                connection,
                self.number,
                &self.tail,
                window,
                as_rollup,
                visitor,
            );
        }
        let points = within(&self.tail, window);
        if !points.is_empty() {
            // The last segment: the visitor cannot stop earlier.
            let _ = visitor(Segment::Points(points))?;
        }
        Ok(())
    }

    /// Visits the readings in a window, in order of time, until `visit` returns `false`.
    pub(crate) fn visit_points(
        &self,
        connection: &Connection,
        window: Window,
        visit: &mut dyn FnMut(&[Point]) -> bool,
    ) -> Result<(), StoreError> {
        self.visit(
            connection,
            window,
            |_, _| false,
            |piece| {
                Ok(match piece {
                    Segment::Points(points) if !visit(points) => ControlFlow::Break(()),
                    Segment::Points(_) | Segment::Rollup { .. } => ControlFlow::Continue(()),
                })
            },
        )
    }

    /// The statistics of the readings in a window.
    pub(crate) fn stats(
        &self,
        connection: &Connection,
        window: Window,
    ) -> Result<Stats, StoreError> {
        if self.has_chunks {
            return window::stats(connection, self.number, &self.tail, window);
        }
        let points = within(&self.tail, window);
        Ok(points.iter().map(|point| point.temperature).collect())
    }
}

//! An export: the readings of a selection, block by block, all from the same snapshot.

use tokio_util::sync::CancellationToken;

use super::selection::views;
use super::snapshot::Snapshot;
use crate::error::StoreError;
use crate::readings::embedded::sensor::view::SensorView;
use crate::readings::embedded::shared::Shared;
use crate::readings::{ExportBlock, Point, Selection, SensorId, Timestamp, Window};
use crate::storage::sqlite::Reader;

/// About the largest number of readings in a block.
const BLOCK_POINTS: usize = 8_192;

/// A running export: the snapshot, and the position in the snapshot.
#[derive(Debug)]
pub(crate) struct ExportCursor {
    snapshot: Snapshot<Vec<(SensorId, SensorView)>>,
    window: Window,
    /// The index of the current sensor.
    view: usize,
    /// The timestamp from which the current sensor continues.
    from: Option<Timestamp>,
}

impl ExportCursor {
    pub(crate) fn open(
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

    /// The token to cancel the export.
    pub(crate) fn stop(&self) -> &CancellationToken {
        self.snapshot.reader().stop()
    }

    /// The next block; `None` at the end. A block holds readings of a single sensor: a chunk and the tail points around the chunk.
    pub(crate) fn next(&mut self) -> Result<Option<ExportBlock>, StoreError> {
        while let Some((id, view)) = self.snapshot.data.get(self.view) {
            let window = Window {
                from: self.from,
                to: self.window.to,
            };
            let mut points: Vec<Point> = Vec::new();
            let connection = self.snapshot.connection()?;
            view.visit_points(connection, window, &mut |piece| {
                points.extend_from_slice(&piece[..piece.len().min(BLOCK_POINTS)]);
                points.is_empty()
            })?;
            let sensor = id.clone();
            let last = points.last().map(|point| point.timestamp.micros());
            match last.and_then(|last| Timestamp::from_micros(last + 1)) {
                Some(next) => self.from = Some(next),
                None => {
                    self.view += 1;
                    self.from = self.window.from;
                }
            }
            if !points.is_empty() {
                return Ok(Some(ExportBlock { sensor, points }));
            }
        }
        Ok(None)
    }
}

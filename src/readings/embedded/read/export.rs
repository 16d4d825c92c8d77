//! An export: the readings of a selection, a block at a time, all from one snapshot.

use tokio_util::sync::CancellationToken;

use super::selection::views;
use super::snapshot::Snapshot;
use crate::error::StoreError;
use crate::readings::embedded::sensor::view::SensorView;
use crate::readings::embedded::shared::Shared;
use crate::readings::{ExportBlock, Point, Selection, SensorId, Timestamp, Window};
use crate::storage::sqlite::Reader;

/// How many readings a block of an export holds at the most, about.
const BLOCK_POINTS: usize = 8_192;

/// An export under way: a snapshot, and where in it we are.
#[derive(Debug)]
pub(crate) struct ExportCursor {
    snapshot: Snapshot<Vec<(SensorId, SensorView)>>,
    window: Window,
    /// The sensor whose turn it is.
    view: usize,
    /// Where in that sensor to go on.
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

    /// What stops the export.
    pub(crate) fn stop(&self) -> &CancellationToken {
        self.snapshot.reader().stop()
    }

    /// The next block, `None` after the last. One sensor a block: a chunk and what the tail has beside it.
    pub(crate) fn next(&mut self) -> Result<Option<ExportBlock>, StoreError> {
        while let Some((id, view)) = self.snapshot.seen.get(self.view) {
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

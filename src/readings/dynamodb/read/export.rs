//! An export: all readings of a selection as of a snapshot, page by page.

use std::sync::Arc;

use super::super::table::client::Tables;
use super::points::PointCursor;
use super::sensors::{AGGREGATES_PAGE_MAX, SensorCursor};
use super::totals::{self, WriteShards};
use crate::error::StoreError;
use crate::readings::{ExportBlock, Selection, SensorId, Window};

/// An export in progress: the current sensor and the position in the sensor's readings.
pub(crate) struct ExportCursor {
    tables: Tables,
    shards: Arc<WriteShards>,
    window: Window,
    sensors: Sensors,
    current: Option<(SensorId, PointCursor)>,
}

enum Sensors {
    One(Option<SensorId>),
    All(SensorCursor),
}

impl ExportCursor {
    pub(crate) async fn open(tables: &Tables, selection: &Selection) -> Result<Self, StoreError> {
        let shards = Arc::new(totals::write_shards(tables).await?);
        let sensors = match &selection.sensor {
            Some(sensor) => Sensors::One(Some(sensor.clone())),
            None => Sensors::All(SensorCursor::open(tables, None, AGGREGATES_PAGE_MAX)),
        };
        Ok(Self {
            tables: tables.clone(),
            shards,
            window: selection.window,
            sensors,
            current: None,
        })
    }

    /// The next block, which is a page of a single sensor's readings; `None` after the last block.
    pub(crate) async fn next(&mut self) -> Result<Option<ExportBlock>, StoreError> {
        /// A page of a mebibyte has about 10,000 readings. Blocks are smaller, so the client soon receives the first bytes.
        const BLOCK_POINTS: usize = 4_096;
        loop {
            if let Some((sensor, cursor)) = &mut self.current {
                match cursor.next().await? {
                    Some(points) if points.is_empty() => continue,
                    Some(points) => {
                        let sensor = sensor.clone();
                        return Ok(Some(ExportBlock { sensor, points }));
                    }
                    None => {}
                }
            }
            let next = match &mut self.sensors {
                Sensors::One(sensor) => sensor.take(),
                Sensors::All(cursor) => cursor.next().await?.map(|view| view.sensor),
            };
            let Some(sensor) = next else {
                return Ok(None);
            };
            let cursor = PointCursor::open(
                &self.tables,
                Arc::clone(&self.shards),
                &sensor,
                self.window,
                Some(BLOCK_POINTS),
            );
            self.current = Some((sensor, cursor));
        }
    }
}

//! An export: all readings of a selection as of one moment, a page at a time.

use std::sync::Arc;

use super::super::table::client::Tables;
use super::points::PointCursor;
use super::sensors::{CELLS_PAGE_MAX, SensorCursor};
use super::totals::{self, Lanes};
use crate::error::StoreError;
use crate::readings::{ExportBlock, Selection, SensorId, Window};

/// An export under way: the sensor whose turn it is, and where in it we are.
pub(crate) struct ExportCursor {
    tables: Tables,
    lanes: Arc<Lanes>,
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
        let lanes = Arc::new(totals::lanes(tables).await?);
        let sensors = match &selection.sensor {
            Some(sensor) => Sensors::One(Some(sensor.clone())),
            None => Sensors::All(SensorCursor::open(tables, None, CELLS_PAGE_MAX)),
        };
        Ok(Self {
            tables: tables.clone(),
            lanes,
            window: selection.window,
            sensors,
            current: None,
        })
    }

    /// The next block, none after the last: a page of one sensor's readings.
    pub(crate) async fn next(&mut self) -> Result<Option<ExportBlock>, StoreError> {
        /// About a mebibyte of items is 10,000 readings; blocks are smaller, so that they are soon on their way.
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
                Arc::clone(&self.lanes),
                &sensor,
                self.window,
                Some(BLOCK_POINTS),
            );
            self.current = Some((sensor, cursor));
        }
    }
}

//! The readings of one sensor, as of one moment.
//!
//! A read begins with all lanes (see `totals`), and sees what they had written by then: a reading carries the transaction that
//! wrote it, and what stood there before. So a batch that shares a transaction is seen whole or not at all, however long the read
//! takes.

use std::sync::Arc;

use super::super::table::client::{Range, Tables, key_of};
use super::super::table::items::{Item, StoredReading, Written, damaged, get_text};
use super::super::table::keys;
use super::totals::Lanes;
use crate::error::StoreError;
use crate::readings::{Point, SensorId, Temperature, Timestamp, Window};

/// The readings of a sensor from a moment to another, both inside.
pub(crate) fn readings_range(
    tables: &Tables,
    sensor: &SensorId,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
) -> Range {
    Range {
        table: tables.names.readings.clone(),
        hash: ("sensor_id", sensor.as_str().to_owned()),
        range: "timestamp",
        // Every moment begins with a digit; a colon sorts after all of them.
        from: from.map_or_else(|| "0".to_owned(), keys::moment),
        to: to.map_or_else(|| ":".to_owned(), keys::moment),
        backwards: false,
    }
}

/// The readings of a sensor in a window, as the lanes had written them, a page of the table at a time.
pub(crate) struct PointCursor {
    tables: Tables,
    lanes: Arc<Lanes>,
    window: Window,
    range: Range,
    start: Option<Item>,
    done: bool,
    /// How many items are read at a time; as many as fit an answer when there is none.
    page_size: Option<usize>,
}

impl PointCursor {
    pub(crate) fn open(
        tables: &Tables,
        lanes: Arc<Lanes>,
        sensor: &SensorId,
        window: Window,
        page_size: Option<usize>,
    ) -> Self {
        let before = |to: Timestamp| Timestamp::from_micros(to.micros() - 1);
        let is_empty = window
            .to
            .is_some_and(|to| before(to).is_none() || window.from.is_some_and(|from| from >= to));
        Self {
            range: readings_range(tables, sensor, window.from, window.to.and_then(before)),
            tables: tables.clone(),
            lanes,
            window,
            start: None,
            done: is_empty,
            page_size,
        }
    }

    /// The next readings; none after the last, but there may be empty pages before.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<Point>>, StoreError> {
        if self.done {
            return Ok(None);
        }
        let page = self
            .tables
            .page(&self.range, self.start.take(), self.page_size)
            .await?;
        self.done = page.next.is_none();
        self.start = page
            .next
            .map(|item| key_of(&item, ["sensor_id", "timestamp"]));
        let mut points = Vec::with_capacity(page.items.len());
        for item in &page.items {
            let timestamp = get_text(item, "timestamp").and_then(|text| text.parse().ok());
            let (Some(timestamp), Some(stored)) = (timestamp, StoredReading::from_item(item))
            else {
                return Err(damaged("a stored reading"));
            };
            if let Some(temperature) = seen(&stored, &self.lanes)
                && self.window.contains(timestamp)
            {
                points.push(Point {
                    timestamp,
                    temperature,
                });
            }
        }
        Ok(Some(points))
    }
}

/// The temperature of a reading as the lanes had written it; none when it is newer.
pub(crate) fn seen(stored: &StoredReading, lanes: &Lanes) -> Option<Temperature> {
    let included = |written: &Option<Written>| {
        written
            .as_ref()
            .is_none_or(|written| lanes.include(written))
    };
    if included(&stored.written) {
        return Some(stored.temperature);
    }
    // One temperature back is remembered; of more replacements during one read the oldest remembered stands.
    stored.before.as_ref().map(|(temperature, _)| *temperature)
}

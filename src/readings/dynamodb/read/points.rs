//! The readings of a sensor, as of a snapshot.
//!
//! A read first takes the sequence of every write shard (see `totals`). Then the read sees only the readings up to these
//! sequences. Each reading names the transaction that wrote the reading, and keeps the temperature before the replacement. So a
//! batch in a single transaction is seen completely or not at all, however long the read takes.

use std::sync::Arc;

use super::super::table::client::{Range, Tables, key_of};
use super::super::table::items::{Item, StoredReading, Written, damaged, get_text};
use super::super::table::keys;
use super::totals::WriteShards;
use crate::error::StoreError;
use crate::readings::{Point, SensorId, Temperature, Timestamp, Window};

/// The range of a sensor's readings between two timestamps, both inclusive.
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
        // Every timestamp begins with a digit, and a colon sorts after all digits.
        from: from.map_or_else(|| "0".to_owned(), keys::timestamp),
        to: to.map_or_else(|| ":".to_owned(), keys::timestamp),
        backwards: false,
    }
}

/// The readings of a sensor in a window, as of a read of the write shards, page by page.
pub(crate) struct PointCursor {
    tables: Tables,
    shards: Arc<WriteShards>,
    window: Window,
    range: Range,
    start: Option<Item>,
    done: bool,
    /// How many items are read at a time; as many as an answer holds when there is none.
    page_size: Option<usize>,
}

impl PointCursor {
    pub(crate) fn open(
        tables: &Tables,
        shards: Arc<WriteShards>,
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
            shards,
            window,
            start: None,
            done: is_empty,
            page_size,
        }
    }

    /// The next readings (possibly an empty list); `None` after the last page.
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
            if let Some(temperature) = visible_temperature(&stored, &self.shards)
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

/// The temperature of a reading as of a read of the write shards; `None` when the reading is newer.
pub(crate) fn visible_temperature(
    stored: &StoredReading,
    shards: &WriteShards,
) -> Option<Temperature> {
    let included = |written: &Option<Written>| {
        written
            .as_ref()
            .is_none_or(|written| shards.includes(written))
    };
    if included(&stored.written) {
        return Some(stored.temperature);
    }
    // A reading keeps only the previous temperature. If more than one replacement happened during the read, the read sees the
    // oldest temperature that is kept.
    stored.before.as_ref().map(|(temperature, _)| *temperature)
}

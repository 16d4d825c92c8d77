//! All readings of the table, counted sensor by sensor.

use aws_sdk_dynamodb::types::{AttributeValue, Delete, Put, TransactWriteItem};

use super::client::{Tables, internal, read_error};
use super::items::{Cell, Item, LANES, Part, StoredReading, get_text, text};
use super::keys;
use crate::error::{StoreError, StoreErrorKind};
use crate::readings::{SensorId, Timestamp};

/// One sensor as its readings tell.
pub(super) struct Counted {
    pub(super) sensor: SensorId,
    pub(super) part: Part,
    first: Timestamp,
    last: (Timestamp, StoredReading),
}

impl Counted {
    /// Its only cell.
    pub(super) fn cell(&self) -> Cell {
        Cell {
            version: 1,
            part: self.part,
            first: self.first,
            last: self.last.0,
            latest: self.last.1.temperature,
            latest_version: self.last.1.version,
            lanes: [0; LANES],
        }
    }
}

/// Goes through all readings; a scan gives a sensor's readings together, in order of time.
pub(super) async fn scan(
    tables: &Tables,
    rewrite: bool,
    progress: &(dyn Fn(u64) + Send + Sync),
    mut visit: impl AsyncFnMut(Counted) -> Result<(), StoreError>,
) -> Result<u64, StoreError> {
    let mut current: Option<Counted> = None;
    let mut start: Option<Item> = None;
    let (mut seen, mut rewritten) = (0u64, 0u64);
    loop {
        let page = tables
            .reader
            .scan()
            .table_name(&tables.readings)
            .consistent_read(true)
            .set_exclusive_start_key(start.take())
            .send()
            .await
            .map_err(read_error)?;
        for item in page.items.unwrap_or_default() {
            let name = get_text(&item, "sensor_id").unwrap_or_default().to_owned();
            let when = get_text(&item, "timestamp").unwrap_or_default().to_owned();
            let wrong = |why: &str| {
                StoreError::new(
                    StoreErrorKind::Damaged,
                    format!(
                        "the reading of `{name}` at `{when}` {why}; correct or delete it, and run this again"
                    ),
                )
            };
            let sensor = SensorId::new(&name)
                .map_err(|error| wrong(&format!("has a sensor_id that {error}")))?;
            if sensor.as_str() != name {
                return Err(wrong("has a sensor_id with white space around it"));
            }
            let timestamp: Timestamp = when
                .parse()
                .map_err(|error| wrong(&format!("has a timestamp that {error}")))?;
            let stored = StoredReading::from_item(&item)
                .ok_or_else(|| wrong("has no temperature between -273.15 and 1000000"))?;
            if rewrite && keys::moment(timestamp) != when {
                if !rewritten_as(tables, &sensor, timestamp, &when, &stored).await? {
                    return Err(wrong(
                        "is there a second time, under the same moment written in another way",
                    ));
                }
                rewritten += 1;
            }
            seen += 1;
            match &mut current {
                Some(counted) if counted.sensor == sensor => {
                    counted.part.count += 1;
                    counted.part.sum += i128::from(stored.temperature.micro_degrees());
                    counted.part.widen(stored.temperature.micro_degrees());
                    counted.first = counted.first.min(timestamp);
                    if timestamp >= counted.last.0 {
                        counted.last = (timestamp, stored);
                    }
                }
                _ => {
                    let mut part = Part {
                        count: 1,
                        sum: i128::from(stored.temperature.micro_degrees()),
                        ..Part::EMPTY
                    };
                    part.widen(stored.temperature.micro_degrees());
                    let next = Counted {
                        sensor,
                        part,
                        first: timestamp,
                        last: (timestamp, stored),
                    };
                    if let Some(whole) = current.replace(next) {
                        visit(whole).await?;
                    }
                }
            }
        }
        progress(seen);
        start = page.last_evaluated_key.filter(|key| !key.is_empty());
        if start.is_none() {
            break;
        }
    }
    if let Some(whole) = current {
        visit(whole).await?;
    }
    Ok(rewritten)
}

/// Moves a reading to the key its moment should have. `false` when there is another one already.
async fn rewritten_as(
    tables: &Tables,
    sensor: &SensorId,
    timestamp: Timestamp,
    before: &str,
    stored: &StoredReading,
) -> Result<bool, StoreError> {
    let put = Put::builder()
        .table_name(&tables.readings)
        .set_item(Some(stored.to_item(sensor, timestamp)))
        .condition_expression("attribute_not_exists(sensor_id)")
        .build()
        .map_err(|error| internal("a reading").with_source(error))?;
    let delete = Delete::builder()
        .table_name(&tables.readings)
        .key("sensor_id", text(sensor.as_str()))
        .key("timestamp", AttributeValue::S(before.to_owned()))
        .build()
        .map_err(|error| internal("a reading").with_source(error))?;
    let moved = tables
        .writer
        .transact_write_items()
        .transact_items(TransactWriteItem::builder().put(put).build())
        .transact_items(TransactWriteItem::builder().delete(delete).build())
        .send()
        .await;
    match moved {
        Ok(_) => Ok(true),
        Err(error)
            if error
                .as_service_error()
                .is_some_and(|error| error.is_transaction_canceled_exception()) =>
        {
            Ok(false)
        }
        Err(error) => Err(read_error(error)),
    }
}

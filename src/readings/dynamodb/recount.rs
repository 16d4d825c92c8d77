//! Deriving all aggregates from the readings: for tables that have readings already, and for repair.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::{
    AttributeValue, Delete, DeleteRequest, Put, PutRequest, TransactWriteItem, WriteRequest,
};

use super::client::{Tables, internal, key_of, read_error};
use super::items::{Cell, Item, LANES, Part, StoredReading, aggregate_key, get_text, number, text};
use super::keys;
use super::location::{Credentials, Location};
use super::reads::SensorCursor;
use super::slots::{hand_over, read_lanes, unique_name};
use super::tables::{self, State};
use super::totals;
use crate::error::{StoreError, StoreErrorKind};
use crate::readings::{SensorId, Stats, Timestamp};

/// The slot of what a recount has counted. No replica's: theirs begin with an `r` and a digit.
const SLOT: &str = "recounted";
/// What `BatchWriteItem` takes.
const WRITES_MAX: usize = 25;

/// What a recount has found.
#[derive(Clone, Debug, Default)]
pub struct RecountReport {
    /// Statistics of the readings that there are.
    pub stats: Stats,
    /// How many sensors they are of.
    pub sensors: u64,
    /// Readings whose moment was written in another way, and is now as it should be.
    pub rewritten: u64,
    /// The first differences between the aggregates and the readings; a check only.
    pub differences: Vec<String>,
    /// How many differences there are.
    pub difference_count: u64,
}

/// Counts all readings. With `check` it only compares, which is exact while nobody writes; otherwise the aggregates are made
/// anew, and until that is done nobody can write or read statistics.
///
/// # Errors
/// When DynamoDB cannot be reached or refuses, or a reading cannot be read. The aggregates stay closed then: run it again.
pub async fn recount(
    location: &Location,
    credentials: Option<&Credentials>,
    check: bool,
    progress: &(dyn Fn(u64) + Send + Sync),
) -> Result<RecountReport, StoreError> {
    let tables = Tables::connect(location, credentials).await;
    tables::check(&tables, location).await?;
    if check {
        return compare(&tables, progress).await;
    }
    tables::set_state(&tables, State::Recounting).await?;
    fence(&tables).await?;
    clear(&tables).await?;
    let report = derive(&tables, progress).await?;
    tables::set_state(&tables, State::Ready).await?;
    Ok(report)
}

/// Takes every lane from its owner, so that no transaction begun before commits any more.
async fn fence(tables: &Tables) -> Result<(), StoreError> {
    let mut slots = Vec::new();
    for item in tables.all(&tables.cells(keys::SLOTS, "r", "s")).await? {
        slots.extend(get_text(&item, "cell").map(str::to_owned));
    }
    for slot in slots {
        // A transaction may commit between the look and the step; then there is another one.
        for attempt in 0.. {
            let owner = unique_name()?;
            let mut items = Vec::new();
            for (index, lane) in read_lanes(tables, &slot).await?.iter().enumerate() {
                if lane.is_some() {
                    items.push(hand_over(tables, &keys::lane(&slot, index), lane, &owner)?);
                }
            }
            let fenced = tables
                .writer
                .transact_write_items()
                .set_transact_items(Some(items))
                .send()
                .await;
            match fenced {
                Ok(_) => break,
                Err(error) if attempt >= 50 => return Err(read_error(error)),
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
            }
        }
    }
    Ok(())
}

/// Empties the partitions of the sensors and of the extremes, and sets every lane to nothing. The lanes keep their numbers.
async fn clear(tables: &Tables) -> Result<(), StoreError> {
    let shards = (0..keys::SHARDS).map(keys::shard);
    let periods = [keys::MINIMUM.to_owned(), keys::MAXIMUM.to_owned()];
    for period in shards.chain(periods) {
        let range = tables.cells(period, " ", "\u{10FFFF}");
        loop {
            let page = tables.page(&range, None, Some(1_000)).await?;
            if page.items.is_empty() {
                break;
            }
            let deletes = page.items.iter().map(|item| {
                let key = key_of(item, ["aggregation_period", "cell"]);
                let delete = DeleteRequest::builder().set_key(Some(key)).build();
                delete
                    .map(|delete| WriteRequest::builder().delete_request(delete).build())
                    .map_err(|error| internal("a deletion").with_source(error))
            });
            write(tables, deletes.collect::<Result<_, _>>()?).await?;
        }
    }
    for item in tables.all(&tables.cells(keys::TOTAL, "r", "s")).await? {
        let key = key_of(&item, ["aggregation_period", "cell"]);
        tables
            .reader
            .update_item()
            .table_name(&tables.aggregation)
            .set_key(Some(key))
            .update_expression("SET readings = :zero, micro_degrees = :zero, sensors = :zero")
            .expression_attribute_values(":zero", number(0))
            .send()
            .await
            .map_err(read_error)?;
    }
    Ok(())
}

/// Writes in pieces, again and again what found no capacity.
async fn write(tables: &Tables, writes: Vec<WriteRequest>) -> Result<(), StoreError> {
    let mut waiting = writes;
    let mut pause = std::time::Duration::from_millis(10);
    while !waiting.is_empty() {
        let rest = waiting.split_off(waiting.len().min(WRITES_MAX));
        let answer = tables
            .reader
            .batch_write_item()
            .request_items(&tables.aggregation, waiting)
            .send()
            .await
            .map_err(read_error)?;
        let unprocessed = answer
            .unprocessed_items
            .unwrap_or_default()
            .remove(&tables.aggregation)
            .unwrap_or_default();
        waiting = rest;
        if !unprocessed.is_empty() {
            waiting.extend(unprocessed);
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(std::time::Duration::from_secs(1));
        }
    }
    Ok(())
}

/// One sensor as its readings tell.
struct Counted {
    sensor: SensorId,
    part: Part,
    first: Timestamp,
    last: (Timestamp, StoredReading),
}

impl Counted {
    fn cell(&self) -> Cell {
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
async fn scan(
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

async fn derive(
    tables: &Tables,
    progress: &(dyn Fn(u64) + Send + Sync),
) -> Result<RecountReport, StoreError> {
    let mut total = Part::EMPTY;
    let mut sensors = 0u64;
    let rewritten = scan(tables, true, progress, async |counted| {
        total.merge(&counted.part);
        sensors += 1;
        let name = counted.sensor.as_str();
        let mut guard = aggregate_key(keys::shard_of(name), keys::guard(name));
        guard.insert("g".to_owned(), number(0));
        let items = [
            guard,
            counted.cell().to_item(name, SLOT),
            aggregate_key(
                keys::MINIMUM,
                keys::extreme(counted.part.minimum, name, SLOT),
            ),
            aggregate_key(
                keys::MAXIMUM,
                keys::extreme(counted.part.maximum, name, SLOT),
            ),
        ];
        let puts = items.into_iter().map(|item| {
            let put = PutRequest::builder().set_item(Some(item)).build();
            put.map(|put| WriteRequest::builder().put_request(put).build())
                .map_err(|error| internal("a cell").with_source(error))
        });
        write(tables, puts.collect::<Result<_, _>>()?).await
    })
    .await?;
    let mut lane = aggregate_key(keys::TOTAL, keys::lane(SLOT, 0));
    for (name, value) in [
        ("owner", text(SLOT)),
        ("sequence", number(0)),
        ("readings", number(total.count)),
        ("micro_degrees", number(total.sum)),
        ("sensors", number(sensors)),
        ("extremes", number(0)),
    ] {
        lane.insert(name.to_owned(), value);
    }
    tables
        .reader
        .put_item()
        .table_name(&tables.aggregation)
        .set_item(Some(lane))
        .send()
        .await
        .map_err(read_error)?;
    Ok(RecountReport {
        stats: total.stats()?,
        sensors,
        rewritten,
        ..RecountReport::default()
    })
}

/// Compares the aggregates with the readings.
async fn compare(
    tables: &Tables,
    progress: &(dyn Fn(u64) + Send + Sync),
) -> Result<RecountReport, StoreError> {
    const NAMED_MAX: usize = 20;
    let stated = totals::stats(tables).await?;
    let stated_sensors = totals::lanes(tables).await?.sensors();
    let mut cells = BTreeMap::new();
    let mut cursor = SensorCursor::open(tables, None, 1_000);
    while let Some(view) = cursor.next().await? {
        cells.insert(view.sensor.clone(), view.summary()?);
    }
    let mut report = RecountReport::default();
    let mut differences = Vec::new();
    let mut total = Part::EMPTY;
    scan(tables, false, progress, async |counted| {
        report.sensors += 1;
        total.merge(&counted.part);
        let found = cells.remove(&counted.sensor);
        let same = found.as_ref().is_some_and(|found| {
            let cell = counted.cell();
            Ok(found.stats) == counted.part.stats().map_err(drop)
                && (found.first, found.last, found.latest) == (cell.first, cell.last, cell.latest)
        });
        if !same {
            differences.push(format!(
                "sensor `{}` has {:?}, its cells say {found:?}",
                counted.sensor, counted.part
            ));
        }
        Ok(())
    })
    .await?;
    differences.extend(
        cells
            .keys()
            .map(|sensor| format!("sensor `{sensor}` has no readings, but cells")),
    );
    report.stats = total.stats()?;
    if report.stats != stated {
        differences.push(format!(
            "all readings make {:?}, the aggregates say {stated:?}",
            report.stats
        ));
    }
    if report.sensors != stated_sensors {
        differences.push(format!(
            "there are {} sensors, the aggregates say {stated_sensors}",
            report.sensors
        ));
    }
    report.difference_count = differences.len() as u64;
    differences.truncate(NAMED_MAX);
    report.differences = differences;
    Ok(report)
}

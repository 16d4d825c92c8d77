//! Deriving all aggregates from the readings: for tables that have readings already, and for repair.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::{DeleteRequest, PutRequest, WriteRequest};

use super::client::{Tables, internal, key_of, read_error};
use super::items::{Part, aggregate_key, get_text, number, text};
use super::keys;
use super::location::{Credentials, Location};
use super::scan::scan;
use super::sensors::SensorCursor;
use super::slots::{hand_over, read_lanes, unique_name};
use super::tables::{self, State};
use super::totals;
use crate::error::StoreError;
use crate::readings::Stats;

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
            .update_expression(
                "SET readings = :zero, micro_degrees = :zero, sensors = :zero REMOVE lowest, highest",
            )
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
        ("lowest", number(total.minimum)),
        ("highest", number(total.maximum)),
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

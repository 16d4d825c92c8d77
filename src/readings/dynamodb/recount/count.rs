//! The last pass: counts all readings, and writes the aggregates.

use futures_util::future::try_join_all;

use super::counted::{SensorCount, Totals};
use super::entry::{Entry, OF_A_READING};
use super::progress::Meter;
use super::writes::{put, write};
use crate::error::{StoreError, StoreErrorKind};
use crate::readings::dynamodb::table::client::{Tables, request_error};
use crate::readings::dynamodb::table::items::{aggregate_key, number, text};
use crate::readings::dynamodb::table::keys;
use crate::readings::dynamodb::table::scan::{SEGMENTS, Segment, with_retries};

/// The lease of the counted aggregates. No replica has this name: the names of leases are `r` and a number.
const LEASE: &str = "recounted";
/// How many items a segment collects before a write.
const WRITES_MIN: usize = 100;

/// Counts all readings, and writes the aggregates of each sensor and of all sensors.
pub(super) async fn count(tables: &Tables, meter: &Meter<'_>) -> Result<Totals, StoreError> {
    let segments = (0..SEGMENTS).map(|number| count_segment(tables, number, meter));
    let mut whole = Totals::default();
    for partial in try_join_all(segments).await? {
        whole.merge(&partial);
    }
    let mut shard = aggregate_key(keys::TOTAL, keys::write_shard(LEASE, 0));
    for (name, value) in [
        ("owner", text(LEASE)),
        ("sequence", number(0)),
        ("readings", number(whole.partial.count)),
        ("micro_degrees", number(whole.partial.sum)),
        ("sensors", number(whole.sensors)),
        ("extremes", number(0)),
        ("lowest", number(whole.partial.minimum)),
        ("highest", number(whole.partial.maximum)),
    ] {
        shard.insert(name.to_owned(), value);
    }
    with_retries(async || {
        let put = tables
            .reader
            .put_item()
            .table_name(&tables.names.aggregation);
        let put = put.set_item(Some(shard.clone())).send().await;
        put.map(drop).map_err(request_error)
    })
    .await?;
    Ok(whole)
}

async fn count_segment(
    tables: &Tables,
    number: u32,
    meter: &Meter<'_>,
) -> Result<Totals, StoreError> {
    let mut whole = Totals::default();
    let mut pages = Segment::open(tables, &tables.names.readings, number, OF_A_READING);
    let mut current: Option<SensorCount> = None;
    let mut writes = Vec::new();
    while let Some(items) = pages.next().await? {
        for item in &items {
            let entry = Entry::read(item).map_err(|fault| changed(&fault.to_string()))?;
            if !entry.is_canonical() {
                return Err(changed(
                    &entry.fault("was written since".into()).to_string(),
                ));
            }
            whole.add(&entry);
            match &mut current {
                Some(counted) if counted.sensor == entry.sensor => counted.add(entry),
                _ => {
                    if let Some(counted) = current.replace(SensorCount::begin(entry)) {
                        whole.sensors += 1;
                        writes.extend(aggregates(&counted)?);
                    }
                }
            }
        }
        if writes.len() >= WRITES_MIN {
            write(tables, std::mem::take(&mut writes)).await?;
        }
        meter.add(items.len());
    }
    if let Some(counted) = current {
        whole.sensors += 1;
        writes.extend(aggregates(&counted)?);
    }
    write(tables, writes).await?;
    Ok(whole)
}

/// The items derived from the readings of a sensor.
fn aggregates(
    counted: &SensorCount,
) -> Result<Vec<aws_sdk_dynamodb::types::WriteRequest>, StoreError> {
    let name = counted.sensor.as_str();
    let mut replacement_version =
        aggregate_key(keys::partition_of(name), keys::replacement_version(name));
    replacement_version.insert("g".to_owned(), number(0));
    let items = [
        replacement_version,
        counted.aggregate().to_item(name, LEASE),
        aggregate_key(
            keys::MINIMUM,
            keys::extreme(counted.partial.minimum, name, LEASE),
        ),
        aggregate_key(
            keys::MAXIMUM,
            keys::extreme(counted.partial.maximum, name, LEASE),
        ),
    ];
    items.into_iter().map(put).collect()
}

/// The error when something wrote to the table during the recount.
pub(super) fn changed(what: &str) -> StoreError {
    StoreError::new(
        StoreErrorKind::Damaged,
        format!(
            "another program wrote to the table during the recount: {what}. The statistics stay closed: stop the other \
             program, and run `fieldstation dynamodb recount` again"
        ),
    )
}

//! The last pass: everything is counted, and what is derived is written.

use futures_util::future::try_join_all;

use super::counted::{Counted, Whole};
use super::entry::{Entry, OF_A_READING};
use super::progress::Meter;
use super::writes::{put, write};
use crate::error::{StoreError, StoreErrorKind};
use crate::readings::dynamodb::table::client::{Tables, read_error};
use crate::readings::dynamodb::table::items::{aggregate_key, number, text};
use crate::readings::dynamodb::table::keys;
use crate::readings::dynamodb::table::scan::{SEGMENTS, Segment, patiently};

/// The slot of what a recount has counted. No replica's: theirs begin with an `r` and a digit.
const SLOT: &str = "recounted";
/// How many cells a segment gathers until it writes them.
const WRITES_MIN: usize = 100;

/// Counts everything, and writes a cell of each sensor and the whole.
pub(super) async fn count(tables: &Tables, meter: &Meter<'_>) -> Result<Whole, StoreError> {
    let segments = (0..SEGMENTS).map(|number| count_segment(tables, number, meter));
    let mut whole = Whole::default();
    for part in try_join_all(segments).await? {
        whole.merge(&part);
    }
    let mut lane = aggregate_key(keys::TOTAL, keys::lane(SLOT, 0));
    for (name, value) in [
        ("owner", text(SLOT)),
        ("sequence", number(0)),
        ("readings", number(whole.part.count)),
        ("micro_degrees", number(whole.part.sum)),
        ("sensors", number(whole.sensors)),
        ("extremes", number(0)),
        ("lowest", number(whole.part.minimum)),
        ("highest", number(whole.part.maximum)),
    ] {
        lane.insert(name.to_owned(), value);
    }
    patiently(async || {
        let put = tables
            .reader
            .put_item()
            .table_name(&tables.names.aggregation);
        let put = put.set_item(Some(lane.clone())).send().await;
        put.map(drop).map_err(read_error)
    })
    .await?;
    Ok(whole)
}

async fn count_segment(
    tables: &Tables,
    number: u32,
    meter: &Meter<'_>,
) -> Result<Whole, StoreError> {
    let mut whole = Whole::default();
    let mut pages = Segment::open(tables, &tables.names.readings, number, OF_A_READING);
    let mut current: Option<Counted> = None;
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
                    if let Some(counted) = current.replace(Counted::begin(entry)) {
                        whole.sensors += 1;
                        writes.extend(cells(&counted)?);
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
        writes.extend(cells(&counted)?);
    }
    write(tables, writes).await?;
    Ok(whole)
}

/// All that is derived from one sensor's readings.
fn cells(counted: &Counted) -> Result<Vec<aws_sdk_dynamodb::types::WriteRequest>, StoreError> {
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
    items.into_iter().map(put).collect()
}

/// Something has written to the table since it was read.
pub(super) fn changed(what: &str) -> StoreError {
    StoreError::new(
        StoreErrorKind::Damaged,
        format!(
            "the table was written to by another program during the recount: {what}; the statistics stay closed: stop the other \
             program, and run `fieldstation dynamodb recount` again"
        ),
    )
}

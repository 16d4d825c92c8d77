//! Clears the aggregates.

use futures_util::future::try_join_all;

use super::writes::{delete, write};
use crate::error::StoreError;
use crate::readings::dynamodb::table::client::{Tables, key_of, request_error};
use crate::readings::dynamodb::table::items::number;
use crate::readings::dynamodb::table::keys;
use crate::readings::dynamodb::table::scan::with_retries;

/// How many items of a partition are deleted at a time.
const PAGE: usize = 250;

/// Deletes the aggregates of the sensors and the order of extremes, and sets the sums of every write shard to zero. The write
/// shards keep their sequences.
pub(super) async fn clear(tables: &Tables) -> Result<(), StoreError> {
    let partitions = (0..keys::SENSOR_PARTITIONS).map(keys::partition);
    let periods = [keys::MINIMUM.to_owned(), keys::MAXIMUM.to_owned()];
    try_join_all(
        partitions
            .chain(periods)
            .map(|period| clear_period(tables, period)),
    )
    .await?;
    let range = tables.aggregate_range(keys::TOTAL, "r", "s");
    for item in with_retries(async || tables.all(&range).await).await? {
        let key = key_of(&item, ["aggregation_period", "cell"]);
        with_retries(async || {
            tables
                .reader
                .update_item()
                .table_name(&tables.names.aggregation)
                .set_key(Some(key.clone()))
                .update_expression(
                    "SET readings = :zero, micro_degrees = :zero, sensors = :zero REMOVE lowest, highest",
                )
                .expression_attribute_values(":zero", number(0))
                .send()
                .await
                .map_err(request_error)
        })
        .await?;
    }
    Ok(())
}

async fn clear_period(tables: &Tables, period: String) -> Result<(), StoreError> {
    let range = tables.aggregate_range(period, " ", "\u{10FFFF}");
    loop {
        let page = with_retries(async || tables.page(&range, None, Some(PAGE)).await).await?;
        if page.items.is_empty() {
            return Ok(());
        }
        let keys = page.items.iter();
        let deletes = keys.map(|item| delete(key_of(item, ["aggregation_period", "cell"])));
        write(tables, deletes.collect::<Result<_, _>>()?).await?;
    }
}

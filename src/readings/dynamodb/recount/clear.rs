//! Emptying what is derived.

use futures_util::future::try_join_all;

use super::writes::{delete, write};
use crate::error::StoreError;
use crate::readings::dynamodb::table::client::{Tables, key_of, read_error};
use crate::readings::dynamodb::table::items::number;
use crate::readings::dynamodb::table::keys;
use crate::readings::dynamodb::table::scan::patiently;

/// How many cells are deleted at a time, of each partition.
const PAGE: usize = 250;

/// Empties the partitions of the sensors and of the extremes, and sets every lane to nothing. The lanes keep their numbers.
pub(super) async fn clear(tables: &Tables) -> Result<(), StoreError> {
    let shards = (0..keys::SHARDS).map(keys::shard);
    let periods = [keys::MINIMUM.to_owned(), keys::MAXIMUM.to_owned()];
    try_join_all(
        shards
            .chain(periods)
            .map(|period| clear_period(tables, period)),
    )
    .await?;
    let range = tables.cells(keys::TOTAL, "r", "s");
    for item in patiently(async || tables.all(&range).await).await? {
        let key = key_of(&item, ["aggregation_period", "cell"]);
        patiently(async || {
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
                .map_err(read_error)
        })
        .await?;
    }
    Ok(())
}

async fn clear_period(tables: &Tables, period: String) -> Result<(), StoreError> {
    let range = tables.cells(period, " ", "\u{10FFFF}");
    loop {
        let page = patiently(async || tables.page(&range, None, Some(PAGE)).await).await?;
        if page.items.is_empty() {
            return Ok(());
        }
        let keys = page.items.iter();
        let deletes = keys.map(|item| delete(key_of(item, ["aggregation_period", "cell"])));
        write(tables, deletes.collect::<Result<_, _>>()?).await?;
    }
}

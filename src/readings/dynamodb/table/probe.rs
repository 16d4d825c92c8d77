//! Whether DynamoDB would take all that the server sends, found out without changing anything: a transaction of every kind of item
//! whose conditions never hold, and a request of each kind that reads.

use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    CancellationReason, ConditionCheck, Delete, Put, TransactWriteItem, Update,
};

use super::client::{Range, Tables, internal, not_allowed, read_error, unanswered};
use super::denial::{WRITES, denied};
use super::items::{Item, aggregate_key, number, text};
use super::keys;
use crate::error::StoreError;

/// The partition that is asked for, in both tables. No sensor has such an id.
const NOBODY: &str = "\t";

/// Asks for everything that is read.
///
/// # Errors
/// What the first request that fails has failed of.
pub(crate) async fn reads(tables: &Tables) -> Result<(), StoreError> {
    let nobody = aggregate_key(NOBODY, NOBODY);
    let state = aggregate_key(keys::TOTAL, keys::STATE);
    let cells = tables.cells(NOBODY, " ", "~");
    let readings = Range {
        table: tables.names.readings.clone(),
        hash: ("sensor_id", NOBODY.to_owned()),
        range: "timestamp",
        from: "0".to_owned(),
        to: ":".to_owned(),
        backwards: false,
    };
    tables.all(&cells).await?;
    tokio::try_join!(
        tables.all(&readings),
        tables.get(&tables.names.aggregation, state),
        tables.get_many(&tables.names.aggregation, vec![nobody]),
        tables.get_many(&tables.names.readings, vec![reading_key("put")]),
    )?;
    Ok(())
}

fn reading_key(time: &str) -> Item {
    Item::from([
        ("sensor_id".to_owned(), text(NOBODY)),
        ("timestamp".to_owned(), text(time)),
    ])
}

/// Asks for everything that is written, in a transaction that is never committed. AWS looks at rights first, so that it is
/// cancelled only where all of it is allowed.
///
/// # Errors
/// When it is not.
pub(crate) async fn writes(tables: &Tables) -> Result<(), StoreError> {
    const NEVER: &str = "attribute_exists(cell)";
    let failed = |error| internal("a question").with_source(error);
    let key = |cell: &str| aggregate_key(NOBODY, cell);
    let reading = Put::builder()
        .table_name(&tables.names.readings)
        .set_item(Some(reading_key("put")))
        .condition_expression("attribute_exists(sensor_id)")
        .build()
        .map_err(failed)?;
    let put = Put::builder()
        .table_name(&tables.names.aggregation)
        .set_item(Some(key("put")))
        .condition_expression(NEVER)
        .build()
        .map_err(failed)?;
    let update = Update::builder()
        .table_name(&tables.names.aggregation)
        .set_key(Some(key("update")))
        .update_expression("SET g = :zero")
        .expression_attribute_values(":zero", number(0))
        .condition_expression(NEVER)
        .build()
        .map_err(failed)?;
    let delete = Delete::builder()
        .table_name(&tables.names.aggregation)
        .set_key(Some(key("delete")))
        .condition_expression(NEVER)
        .build()
        .map_err(failed)?;
    let check = ConditionCheck::builder()
        .table_name(&tables.names.aggregation)
        .set_key(Some(key("check")))
        .condition_expression(NEVER)
        .build()
        .map_err(failed)?;
    let sent = tables
        .writer
        .transact_write_items()
        .transact_items(TransactWriteItem::builder().put(reading).build())
        .transact_items(TransactWriteItem::builder().put(put).build())
        .transact_items(TransactWriteItem::builder().update(update).build())
        .transact_items(TransactWriteItem::builder().delete(delete).build())
        .transact_items(TransactWriteItem::builder().condition_check(check).build())
        .send()
        .await;
    let Err(error) = sent else {
        return Ok(());
    };
    match error.as_service_error() {
        Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => {
            judge(cancelled.cancellation_reasons())
        }
        _ => Err(read_error(error)),
    }
}

/// Whether it was the conditions that cancelled it.
fn judge(reasons: &[CancellationReason]) -> Result<(), StoreError> {
    let is_condition = |code: &str| code == "ConditionalCheckFailed";
    let mut codes = reasons.iter().filter_map(CancellationReason::code);
    for reason in reasons {
        let message = reason.message().unwrap_or_default();
        if let Some(denied) = reason.code().and_then(|code| denied(code, message, WRITES)) {
            return Err(not_allowed(denied));
        }
    }
    match codes.all(|code| is_condition(code) || code == "None") {
        true => Ok(()),
        false => Err(unanswered(
            "DynamoDB does not take transactions for the moment",
        )),
    }
}

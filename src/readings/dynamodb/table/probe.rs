//! Checks whether DynamoDB accepts every kind of request from the server. The probe changes nothing. The probe sends a transaction
//! with every kind of item, on conditions that never hold, and a request of each kind that reads.

use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    CancellationReason, ConditionCheck, Delete, Put, TransactWriteItem, Update,
};

use super::client::{Range, Tables, build_error, denied_error, request_error, unavailable_error};
use super::denial::{WRITES, denied};
use super::items::{Item, aggregate_key, number, text};
use super::keys;
use crate::error::StoreError;

/// The partition of the probe, in both tables. No sensor has such an id.
const PROBE_PARTITION: &str = "\t";

/// Sends each kind of request that reads.
///
/// # Errors
/// The error of the first request that fails.
pub(crate) async fn reads(tables: &Tables) -> Result<(), StoreError> {
    let missing = aggregate_key(PROBE_PARTITION, PROBE_PARTITION);
    let state = aggregate_key(keys::TOTAL, keys::STATE);
    let aggregates = tables.aggregate_range(PROBE_PARTITION, " ", "~");
    let readings = Range {
        table: tables.names.readings.clone(),
        hash: ("sensor_id", PROBE_PARTITION.to_owned()),
        range: "timestamp",
        from: "0".to_owned(),
        to: ":".to_owned(),
        backwards: false,
    };
    tables.all(&aggregates).await?;
    tokio::try_join!(
        tables.all(&readings),
        tables.get(&tables.names.aggregation, state),
        tables.get_many(&tables.names.aggregation, vec![missing]),
        tables.get_many(&tables.names.readings, vec![reading_key("put")]),
    )?;
    Ok(())
}

fn reading_key(time: &str) -> Item {
    Item::from([
        ("sensor_id".to_owned(), text(PROBE_PARTITION)),
        ("timestamp".to_owned(), text(time)),
    ])
}

/// Sends a transaction with every kind of item; the transaction never commits. AWS checks rights before conditions, so the
/// conditions cancel the transaction only when everything is allowed.
///
/// # Errors
/// When DynamoDB does not allow or accept the transaction.
pub(crate) async fn writes(tables: &Tables) -> Result<(), StoreError> {
    const NEVER: &str = "attribute_exists(cell)";
    let not_built = |error| build_error("a probe").with_source(error);
    let key = |aggregate: &str| aggregate_key(PROBE_PARTITION, aggregate);
    let reading = Put::builder()
        .table_name(&tables.names.readings)
        .set_item(Some(reading_key("put")))
        .condition_expression("attribute_exists(sensor_id)")
        .build()
        .map_err(not_built)?;
    let put = Put::builder()
        .table_name(&tables.names.aggregation)
        .set_item(Some(key("put")))
        .condition_expression(NEVER)
        .build()
        .map_err(not_built)?;
    let update = Update::builder()
        .table_name(&tables.names.aggregation)
        .set_key(Some(key("update")))
        .update_expression("SET g = :zero")
        .expression_attribute_values(":zero", number(0))
        .condition_expression(NEVER)
        .build()
        .map_err(not_built)?;
    let delete = Delete::builder()
        .table_name(&tables.names.aggregation)
        .set_key(Some(key("delete")))
        .condition_expression(NEVER)
        .build()
        .map_err(not_built)?;
    let check = ConditionCheck::builder()
        .table_name(&tables.names.aggregation)
        .set_key(Some(key("check")))
        .condition_expression(NEVER)
        .build()
        .map_err(not_built)?;
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
            check_reasons(cancelled.cancellation_reasons())
        }
        _ => Err(request_error(error)),
    }
}

/// Whether the conditions cancelled the transaction, and nothing else.
fn check_reasons(reasons: &[CancellationReason]) -> Result<(), StoreError> {
    let is_condition = |code: &str| code == "ConditionalCheckFailed";
    let mut codes = reasons.iter().filter_map(CancellationReason::code);
    for reason in reasons {
        let message = reason.message().unwrap_or_default();
        if let Some(denied) = reason.code().and_then(|code| denied(code, message, WRITES)) {
            return Err(denied_error(denied));
        }
    }
    match codes.all(|code| is_condition(code) || code == "None") {
        true => Ok(()),
        false => Err(unavailable_error(
            "DynamoDB does not take transactions for the moment",
        )),
    }
}

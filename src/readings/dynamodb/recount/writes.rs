//! Writes to the aggregation table, in several requests at the same time.

use std::time::Duration;

use aws_sdk_dynamodb::types::{DeleteRequest, PutRequest, WriteRequest};
use futures_util::stream::{FuturesUnordered, TryStreamExt as _};

use crate::error::{StoreError, StoreErrorKind};
use crate::readings::dynamodb::table::client::{Tables, build_error, request_error};
use crate::readings::dynamodb::table::items::Item;
use crate::readings::dynamodb::table::scan::with_retries;

/// The most items of a `BatchWriteItem`.
const WRITES_MAX: usize = 25;
/// How many attempts in a row may write nothing for lack of capacity.
const ATTEMPTS_MAX: u32 = 120;

pub(super) fn put(item: Item) -> Result<WriteRequest, StoreError> {
    let put = PutRequest::builder().set_item(Some(item)).build();
    put.map(|put| WriteRequest::builder().put_request(put).build())
        .map_err(|error| build_error("an aggregate").with_source(error))
}

pub(super) fn delete(key: Item) -> Result<WriteRequest, StoreError> {
    let delete = DeleteRequest::builder().set_key(Some(key)).build();
    delete
        .map(|delete| WriteRequest::builder().delete_request(delete).build())
        .map_err(|error| build_error("a deletion").with_source(error))
}

/// Writes items, with all requests at the same time.
pub(super) async fn write(
    tables: &Tables,
    mut writes: Vec<WriteRequest>,
) -> Result<(), StoreError> {
    let requests = FuturesUnordered::new();
    while !writes.is_empty() {
        let rest = writes.split_off(writes.len().min(WRITES_MAX));
        requests.push(write_some(tables, std::mem::replace(&mut writes, rest)));
    }
    requests.try_collect().await
}

/// Writes the items of a request, and retries the items without capacity.
async fn write_some(tables: &Tables, writes: Vec<WriteRequest>) -> Result<(), StoreError> {
    let mut waiting = writes;
    let mut pause = Duration::from_millis(10);
    let mut attempts = 0;
    while !waiting.is_empty() {
        let answer = with_retries(async || {
            tables
                .reader
                .batch_write_item()
                .request_items(&tables.names.aggregation, waiting.clone())
                .send()
                .await
                .map_err(request_error)
        })
        .await?;
        let unprocessed = answer
            .unprocessed_items
            .unwrap_or_default()
            .remove(&tables.names.aggregation)
            .unwrap_or_default();
        if !unprocessed.is_empty() {
            attempts = if unprocessed.len() < waiting.len() {
                0
            } else {
                attempts + 1
            };
            if attempts > ATTEMPTS_MAX {
                return Err(StoreError::new(
                    StoreErrorKind::Overloaded,
                    format!(
                        "the DynamoDB table {} takes no writes",
                        tables.names.aggregation
                    ),
                ));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(1));
        }
        waiting = unprocessed;
    }
    Ok(())
}

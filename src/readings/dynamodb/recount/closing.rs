//! Closes the aggregates for a recount, and opens them afterwards.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::error::{StoreError, StoreErrorKind};
use crate::random;
use crate::readings::dynamodb::replica::lease::{hand_over, read_shards};
use crate::readings::dynamodb::table::client::{Tables, request_error};
use crate::readings::dynamodb::table::items::{WriteShard, aggregate_key, get_text, text};
use crate::readings::dynamodb::table::keys;
use crate::readings::dynamodb::table::scan::with_retries;
use crate::readings::dynamodb::table::setup::{State, state_item};

/// How often a write shard is fenced again after a commit in between.
const ATTEMPTS_MAX: u32 = 50;

/// Aggregates closed by this recount.
pub(super) struct ClosedAggregates {
    /// The id of this recount. A later recount has another id, and only the last recount opens the aggregates.
    run: String,
    was_ready: bool,
}

/// The sequences of all write shards. Two equal reads mean: no server wrote in between.
pub(super) async fn sequences(tables: &Tables) -> Result<BTreeMap<String, u64>, StoreError> {
    let range = tables.aggregate_range(keys::TOTAL, "r", "s");
    let mut sequences = BTreeMap::new();
    for item in with_retries(async || tables.all(&range).await).await? {
        let key = get_text(&item, "cell").unwrap_or_default();
        let sequence = WriteShard::from_item(&item).map_or(0, |shard| shard.sequence);
        // A write shard has no sequence before the owner's first write.
        if sequence > 0 {
            sequences.insert(key.to_owned(), sequence);
        }
    }
    Ok(sequences)
}

/// Closes the aggregates, and takes every write shard from the owner, so that no transaction in flight can commit.
pub(super) async fn close(tables: &Tables) -> Result<ClosedAggregates, StoreError> {
    let key = aggregate_key(keys::TOTAL, keys::STATE);
    let before =
        with_retries(async || tables.get(&tables.names.aggregation, key.clone()).await).await?;
    let closed = ClosedAggregates {
        run: random::hex_id()?,
        was_ready: before.is_some_and(|item| State::from_item(&item) == State::Ready),
    };
    let mut item = state_item(State::Recounting);
    item.insert("run".to_owned(), text(&closed.run));
    with_retries(async || {
        let put = tables
            .reader
            .put_item()
            .table_name(&tables.names.aggregation);
        let put = put.set_item(Some(item.clone())).send().await;
        put.map(drop).map_err(request_error)
    })
    .await?;
    fence(tables).await?;
    Ok(closed)
}

impl ClosedAggregates {
    /// Opens the aggregates, unless another recount has begun.
    pub(super) async fn open(&self, tables: &Tables) -> Result<(), StoreError> {
        let mut item = state_item(State::Ready);
        // The id stays, so that the request can be retried.
        item.insert("run".to_owned(), text(&self.run));
        with_retries(async || {
            let opened = tables
                .reader
                .put_item()
                .table_name(&tables.names.aggregation)
                .set_item(Some(item.clone()))
                .condition_expression("#r = :run")
                .expression_attribute_names("#r", "run")
                .expression_attribute_values(":run", text(&self.run))
                .send()
                .await;
            match opened {
                Ok(_) => Ok(()),
                Err(error)
                    if error
                        .as_service_error()
                        .is_some_and(|error| error.is_conditional_check_failed_exception()) =>
                {
                    Err(StoreError::new(
                        StoreErrorKind::Damaged,
                        "another recount has begun meanwhile; the statistics stay closed until it ends",
                    ))
                }
                Err(error) => Err(request_error(error)),
            }
        })
        .await
    }

    /// Opens the aggregates again when nothing has been changed yet.
    pub(super) async fn undo(&self, tables: &Tables) -> Result<(), StoreError> {
        if self.was_ready {
            self.open(tables).await?;
        }
        Ok(())
    }
}

async fn fence(tables: &Tables) -> Result<(), StoreError> {
    let range = tables.aggregate_range(keys::LEASES, "r", "s");
    let mut leases = Vec::new();
    for item in with_retries(async || tables.all(&range).await).await? {
        leases.extend(get_text(&item, "cell").map(str::to_owned));
    }
    for lease in leases {
        // If a transaction commits between the read and the fence, the fence fails and is tried again.
        for attempt in 0.. {
            let owner = random::hex_id()?;
            let shards = with_retries(async || read_shards(tables, &lease).await).await?;
            let mut items = Vec::new();
            for (index, shard) in shards.iter().enumerate() {
                if shard.is_some() {
                    items.push(hand_over(
                        tables,
                        &keys::write_shard(&lease, index),
                        shard,
                        &owner,
                    )?);
                }
            }
            if items.is_empty() {
                break;
            }
            let fenced = tables
                .writer
                .transact_write_items()
                .set_transact_items(Some(items))
                .send()
                .await;
            match fenced {
                Ok(_) => break,
                Err(error) if attempt >= ATTEMPTS_MAX => return Err(request_error(error)),
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }
    Ok(())
}

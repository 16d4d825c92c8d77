//! Leases: each replica owns a lease, with a partial aggregate of every sum, so that two replicas never write to the same item.
//! The operator's documentation and the log call a lease a slot.
//!
//! An owner renews the lease to show that the owner is alive. Another replica may take the lease after the replica has watched
//! the lease for a while without a renewal ([`super::liveness`]). The former owner cannot write afterwards: every write shard has
//! the owner's name, and every transaction has a condition on this name.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_sdk_dynamodb::types::{
    ConditionCheck, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update,
};
use tokio::time::Instant;

use super::super::table::client::{Tables, build_error, request_error};
use super::super::table::items::{
    Item, WRITE_SHARDS, WriteShard, aggregate_key, get_text, number, text,
};
use super::super::table::keys;
use super::super::table::setup::State;
use super::liveness::{Heartbeat, LEASES_UNTIL_DEAD, LeaseWatch};
use crate::error::{StoreError, StoreErrorKind};

/// How many replicas there may be at a time.
const LEASES_MAX: u32 = 999;
/// With this many owned leases, a new lease is only made after all of them were watched.
const OWNED_MAX: u32 = 64;

/// The lease of this replica.
#[derive(Clone, Debug)]
pub(crate) struct Lease {
    pub(crate) name: String,
    pub(crate) owner: String,
    pub(crate) shards: [WriteShard; WRITE_SHARDS],
}

/// Seconds since 1970. This version only writes the number; versions before leases were watched compare the number with their
/// clocks.
fn now_seconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |now| now.as_secs())
}

/// All leases.
pub(crate) async fn read_all(tables: &Tables) -> Result<Vec<Item>, StoreError> {
    tables
        .all(&tables.aggregate_range(keys::LEASES, "r", "s"))
        .await
}

/// Takes the first free lease. A lease is free if the owner released the lease, or has shown no sign of life for long enough, or is
/// in `former`, the earlier names of this replica. If no lease is free, makes a new lease.
pub(crate) async fn claim(
    tables: &Tables,
    owner: &str,
    former: &[String],
    lease_duration: Duration,
    watch: &mut LeaseWatch,
) -> Result<Lease, StoreError> {
    let leases = read_all(tables).await?;
    watch.observe(&leases, lease_duration, Instant::now());
    let mut owned = 0;
    for index in 0..LEASES_MAX {
        let name = keys::lease(index);
        let known = leases
            .iter()
            .find(|item| get_text(item, "cell") == Some(name.as_str()));
        let heartbeat = known.and_then(Heartbeat::from_item);
        if let Some(heartbeat) = &heartbeat {
            let is_ours = heartbeat.owner == owner || former.contains(&heartbeat.owner);
            if !heartbeat.is_released()
                && !is_ours
                && !watch.is_dead(&name, lease_duration, Instant::now())
            {
                owned += 1;
                continue;
            }
        } else if owned >= OWNED_MAX && !watch.knows_all(lease_duration, Instant::now()) {
            // Otherwise each server of a series of crashing servers would leave a lease.
            return Err(StoreError::new(
                StoreErrorKind::Overloaded,
                format!(
                    "{owned} slots have owners; which of the owners are alive is known in {} s at most",
                    lease_duration.mul_f64(LEASES_UNTIL_DEAD).as_secs() + 1
                ),
            ));
        }
        if let Some(lease) = take(tables, &name, owner, heartbeat.as_ref(), lease_duration).await? {
            return Ok(lease);
        }
        // Another replica took the lease first, or a recount has begun.
        let state = tables
            .get(
                &tables.names.aggregation,
                aggregate_key(keys::TOTAL, keys::STATE),
            )
            .await?;
        state
            .map_or(State::Recounting, |item| State::from_item(&item))
            .check()?;
    }
    Err(StoreError::new(
        StoreErrorKind::Overloaded,
        "all slots for replicas are taken",
    ))
}

/// Takes a lease if the lease is unchanged since `known` was read; `None` if the lease has changed.
async fn take(
    tables: &Tables,
    name: &str,
    owner: &str,
    known: Option<&Heartbeat>,
    lease_duration: Duration,
) -> Result<Option<Lease>, StoreError> {
    let shards = read_shards(tables, name).await?;
    let mut lease = aggregate_key(keys::LEASES, name);
    lease.insert("owner".to_owned(), text(owner));
    lease.insert(
        "lease_until".to_owned(),
        number(now_seconds() + lease_duration.as_secs()),
    );
    lease.insert("renewals".to_owned(), number(0));
    let mut put = Put::builder()
        .table_name(&tables.names.aggregation)
        .set_item(Some(lease));
    put = match known {
        None => put.condition_expression("attribute_not_exists(cell)"),
        Some(heartbeat) => put
            .condition_expression(heartbeat.condition())
            .set_expression_attribute_names(Some(heartbeat.names()))
            .set_expression_attribute_values(Some(heartbeat.values())),
    };
    let put = put
        .build()
        .map_err(|error| build_error("a lease").with_source(error))?;
    let ready = ConditionCheck::builder()
        .table_name(&tables.names.aggregation)
        .set_key(Some(aggregate_key(keys::TOTAL, keys::STATE)))
        .condition_expression("#s = :ready")
        .expression_attribute_names("#s", "state")
        .expression_attribute_values(":ready", text(State::Ready.name()))
        .build()
        .map_err(|error| build_error("a lease").with_source(error))?;
    let mut items = vec![
        TransactWriteItem::builder().put(put).build(),
        TransactWriteItem::builder().condition_check(ready).build(),
    ];
    for (index, shard) in shards.iter().enumerate() {
        items.push(hand_over(
            tables,
            &keys::write_shard(name, index),
            shard,
            owner,
        )?);
    }
    let claimed = tables
        .writer
        .transact_write_items()
        .set_transact_items(Some(items))
        .send()
        .await;
    if let Err(error) = claimed {
        let cancelled = error
            .as_service_error()
            .is_some_and(|error| error.is_transaction_canceled_exception());
        if cancelled {
            return Ok(None);
        }
        return Err(request_error(error));
    }
    let shards = shards.map(|shard| {
        let mut shard = shard.unwrap_or_default();
        shard.owner = owner.to_owned();
        shard
    });
    Ok(Some(Lease {
        name: name.to_owned(),
        owner: owner.to_owned(),
        shards,
    }))
}

/// Gives a write shard to another owner, if the write shard is unchanged since `found` was read. Sequence and sums stay.
pub(crate) fn hand_over(
    tables: &Tables,
    shard_name: &str,
    found: &Option<WriteShard>,
    owner: &str,
) -> Result<TransactWriteItem, StoreError> {
    let update = Update::builder()
        .table_name(&tables.names.aggregation)
        .set_key(Some(aggregate_key(keys::TOTAL, shard_name)))
        .expression_attribute_names("#o", "owner")
        .expression_attribute_names("#q", "sequence")
        .expression_attribute_values(":owner", text(owner))
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
    let update = match found {
        None => update
            .update_expression(
                "SET #o = :owner, #q = :zero, readings = :zero, micro_degrees = :zero, sensors = :zero, extremes = :zero",
            )
            .condition_expression("attribute_not_exists(cell)")
            .expression_attribute_values(":zero", number(0)),
        Some(shard) => update
            .update_expression(
                "SET #o = :owner, owner_before = :before, sequence_before = :sequence, mark_before = :mark",
            )
            .condition_expression("#o = :before AND #q = :sequence")
            .expression_attribute_values(":before", text(&shard.owner))
            .expression_attribute_values(":mark", text(&shard.attempt_id))
            .expression_attribute_values(":sequence", number(shard.sequence)),
    };
    let update = update
        .build()
        .map_err(|error| build_error("a write shard").with_source(error))?;
    Ok(TransactWriteItem::builder().update(update).build())
}

/// The write shards of a lease, as they are now.
pub(crate) async fn read_shards(
    tables: &Tables,
    name: &str,
) -> Result<[Option<WriteShard>; WRITE_SHARDS], StoreError> {
    let range = tables.aggregate_range(
        keys::TOTAL,
        keys::write_shard(name, 0),
        keys::write_shard(name, WRITE_SHARDS - 1),
    );
    let mut shards = [const { None }; WRITE_SHARDS];
    for item in tables.all(&range).await? {
        let index = get_text(&item, "cell")
            .and_then(|aggregate| aggregate.rsplit_once('.'))
            .and_then(|(_, index)| index.parse::<usize>().ok());
        if let Some(place) = index.and_then(|index| shards.get_mut(index)) {
            *place = WriteShard::from_item(&item);
        }
    }
    Ok(shards)
}

/// Shows that the owner of a lease is alive; `renewals` counts the renewals. Returns `false` when the lease has another owner.
pub(crate) async fn renew(
    tables: &Tables,
    lease: &str,
    owner: &str,
    lease_duration: Duration,
    renewals: u64,
) -> Result<bool, StoreError> {
    let until = now_seconds() + lease_duration.as_secs();
    set_lease(tables, lease, &Heartbeat::ours(owner), until, renewals).await
}

/// Releases a lease, so that the next replica may take the lease at once.
pub(crate) async fn release(tables: &Tables, lease: &str, owner: &str) -> Result<(), StoreError> {
    set_lease(tables, lease, &Heartbeat::ours(owner), 0, 0)
        .await
        .map(drop)
}

/// Releases another replica's lease, if the lease is unchanged since `seen` was read. Returns `false` if the lease has changed.
pub(crate) async fn release_dead(
    tables: &Tables,
    lease: &str,
    seen: &Heartbeat,
) -> Result<bool, StoreError> {
    set_lease(tables, lease, seen, 0, 0).await
}

async fn set_lease(
    tables: &Tables,
    lease: &str,
    found: &Heartbeat,
    until: u64,
    renewals: u64,
) -> Result<bool, StoreError> {
    let updated = tables
        .reader
        .update_item()
        .table_name(&tables.names.aggregation)
        .set_key(Some(aggregate_key(keys::LEASES, lease)))
        .update_expression("SET lease_until = :new_until, renewals = :new_renewals")
        .condition_expression(found.condition())
        .set_expression_attribute_names(Some(found.names()))
        .set_expression_attribute_values(Some(found.values()))
        .expression_attribute_values(":new_until", number(until))
        .expression_attribute_values(":new_renewals", number(renewals))
        .send()
        .await;
    match updated {
        Ok(_) => Ok(true),
        Err(error)
            if error
                .as_service_error()
                .is_some_and(|error| error.is_conditional_check_failed_exception()) =>
        {
            Ok(false)
        }
        Err(error) => Err(request_error(error)),
    }
}

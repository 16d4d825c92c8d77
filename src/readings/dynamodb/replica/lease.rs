//! Slots: each replica owns one, and with it a cell of every sum, so that replicas never write to the same item.
//!
//! An owner shows that it is alive by renewing its slot. Others may take the slot over when they have watched it for a while and
//! nothing came ([`super::liveness`]); that the former owner writes nothing afterwards is ensured by the owner's name in each lane,
//! which every transaction asks for.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_sdk_dynamodb::types::{
    ConditionCheck, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update,
};
use tokio::time::Instant;

use super::super::table::client::{Tables, internal, read_error};
use super::super::table::items::{Item, LANES, Lane, aggregate_key, get_text, number, text};
use super::super::table::keys;
use super::super::table::setup::State;
use super::liveness::{Beat, LEASES_UNTIL_DEAD, Watch};
use crate::error::{StoreError, StoreErrorKind};
use crate::random;

/// How many replicas there may be at a time.
const SLOTS_MAX: u32 = 999;
/// From how many slots with owners on a new one is only made when all of these were watched.
const OWNED_MAX: u32 = 64;

/// A slot that is ours.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub(crate) name: String,
    pub(crate) owner: String,
    pub(crate) lanes: [Lane; LANES],
}

/// Seconds since 1970. No decision rests on it: versions of this program before leases were watched compare it with their clocks.
fn now_seconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |now| now.as_secs())
}

/// A name for an owner or an attempt that nobody else has.
pub(crate) fn unique_name() -> Result<String, StoreError> {
    random::hex_id()
}

/// All slots that there are.
pub(crate) async fn read_all(tables: &Tables) -> Result<Vec<Item>, StoreError> {
    tables.all(&tables.cells(keys::SLOTS, "r", "s")).await
}

/// Takes the first slot that is free: one that nobody owns, one whose owner has shown no sign of life for so long that it is taken
/// for dead, or one that `former` says was ours; else a new one.
pub(crate) async fn claim(
    tables: &Tables,
    owner: &str,
    former: &[String],
    lease: Duration,
    watch: &mut Watch,
) -> Result<Slot, StoreError> {
    let slots = read_all(tables).await?;
    watch.note(&slots, lease, Instant::now());
    let mut owned = 0;
    for index in 0..SLOTS_MAX {
        let name = keys::slot(index);
        let known = slots
            .iter()
            .find(|item| get_text(item, "cell") == Some(name.as_str()));
        let beat = known.and_then(Beat::from_item);
        if let Some(beat) = &beat {
            let is_ours = beat.owner == owner || former.contains(&beat.owner);
            if !beat.is_released() && !is_ours && !watch.is_dead(&name, lease, Instant::now()) {
                owned += 1;
                continue;
            }
        } else if owned >= OWNED_MAX && !watch.knows_all(lease, Instant::now()) {
            // Servers that die again and again would leave a slot each time.
            return Err(StoreError::new(
                StoreErrorKind::Overloaded,
                format!(
                    "{owned} slots have owners, and which of them are alive is known in {} s at most",
                    lease.mul_f64(LEASES_UNTIL_DEAD).as_secs() + 1
                ),
            ));
        }
        if let Some(slot) = take(tables, &name, owner, beat.as_ref(), lease).await? {
            return Ok(slot);
        }
        // Somebody was faster, or a recount has begun.
        let state = tables
            .get(&tables.aggregation, aggregate_key(keys::TOTAL, keys::STATE))
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

/// Takes a slot as it was found; none when it has changed since.
async fn take(
    tables: &Tables,
    name: &str,
    owner: &str,
    known: Option<&Beat>,
    lease: Duration,
) -> Result<Option<Slot>, StoreError> {
    let lanes = read_lanes(tables, name).await?;
    let mut slot = aggregate_key(keys::SLOTS, name);
    slot.insert("owner".to_owned(), text(owner));
    slot.insert(
        "lease_until".to_owned(),
        number(now_seconds() + lease.as_secs()),
    );
    slot.insert("renewals".to_owned(), number(0));
    let mut put = Put::builder()
        .table_name(&tables.aggregation)
        .set_item(Some(slot));
    put = match known {
        None => put.condition_expression("attribute_not_exists(cell)"),
        Some(beat) => put
            .condition_expression(beat.condition())
            .set_expression_attribute_names(Some(beat.names()))
            .set_expression_attribute_values(Some(beat.values())),
    };
    let put = put
        .build()
        .map_err(|error| internal("a slot").with_source(error))?;
    let ready = ConditionCheck::builder()
        .table_name(&tables.aggregation)
        .set_key(Some(aggregate_key(keys::TOTAL, keys::STATE)))
        .condition_expression("#s = :ready")
        .expression_attribute_names("#s", "state")
        .expression_attribute_values(":ready", text(State::Ready.name()))
        .build()
        .map_err(|error| internal("a slot").with_source(error))?;
    let mut items = vec![
        TransactWriteItem::builder().put(put).build(),
        TransactWriteItem::builder().condition_check(ready).build(),
    ];
    for (index, lane) in lanes.iter().enumerate() {
        items.push(hand_over(tables, &keys::lane(name, index), lane, owner)?);
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
        return Err(read_error(error));
    }
    let lanes = lanes.map(|lane| {
        let mut lane = lane.unwrap_or_default();
        lane.owner = owner.to_owned();
        lane
    });
    Ok(Some(Slot {
        name: name.to_owned(),
        owner: owner.to_owned(),
        lanes,
    }))
}

/// Makes a lane another owner's, if it is still as it was found. Its number and its sums stay.
pub(crate) fn hand_over(
    tables: &Tables,
    lane_name: &str,
    found: &Option<Lane>,
    owner: &str,
) -> Result<TransactWriteItem, StoreError> {
    let update = Update::builder()
        .table_name(&tables.aggregation)
        .set_key(Some(aggregate_key(keys::TOTAL, lane_name)))
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
        Some(lane) => update
            .update_expression(
                "SET #o = :owner, owner_before = :before, sequence_before = :sequence, mark_before = :mark",
            )
            .condition_expression("#o = :before AND #q = :sequence")
            .expression_attribute_values(":before", text(&lane.owner))
            .expression_attribute_values(":mark", text(&lane.mark))
            .expression_attribute_values(":sequence", number(lane.sequence)),
    };
    let update = update
        .build()
        .map_err(|error| internal("a lane").with_source(error))?;
    Ok(TransactWriteItem::builder().update(update).build())
}

/// The lanes of a slot as they are.
pub(crate) async fn read_lanes(
    tables: &Tables,
    name: &str,
) -> Result<[Option<Lane>; LANES], StoreError> {
    let range = tables.cells(
        keys::TOTAL,
        keys::lane(name, 0),
        keys::lane(name, LANES - 1),
    );
    let mut lanes = [const { None }; LANES];
    for item in tables.all(&range).await? {
        let index = get_text(&item, "cell")
            .and_then(|cell| cell.rsplit_once('.'))
            .and_then(|(_, index)| index.parse::<usize>().ok());
        if let Some(place) = index.and_then(|index| lanes.get_mut(index)) {
            *place = Lane::from_item(&item);
        }
    }
    Ok(lanes)
}

/// Shows that the owner of a slot is alive; `renewals` counts how often it has. `false` when the slot is no longer ours.
pub(crate) async fn renew(
    tables: &Tables,
    slot: &str,
    owner: &str,
    lease: Duration,
    renewals: u64,
) -> Result<bool, StoreError> {
    let until = now_seconds() + lease.as_secs();
    set_lease(tables, slot, &Beat::ours(owner), until, renewals).await
}

/// Lets go of a slot: the next replica may take it at once.
pub(crate) async fn release(tables: &Tables, slot: &str, owner: &str) -> Result<(), StoreError> {
    set_lease(tables, slot, &Beat::ours(owner), 0, 0)
        .await
        .map(drop)
}

/// Lets go of another one's slot, if it has shown no sign of life since it was seen so. `false` when it has.
pub(crate) async fn release_dead(
    tables: &Tables,
    slot: &str,
    seen: &Beat,
) -> Result<bool, StoreError> {
    set_lease(tables, slot, seen, 0, 0).await
}

async fn set_lease(
    tables: &Tables,
    slot: &str,
    found: &Beat,
    until: u64,
    renewals: u64,
) -> Result<bool, StoreError> {
    let updated = tables
        .reader
        .update_item()
        .table_name(&tables.aggregation)
        .set_key(Some(aggregate_key(keys::SLOTS, slot)))
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
        Err(error) => Err(read_error(error)),
    }
}

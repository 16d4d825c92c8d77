//! Moves readings from one key to another, several in a transaction, until each result is known.

use std::collections::HashSet;
use std::time::Duration;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata as _, SdkError};
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    AttributeValue, CancellationReason, ConditionCheck, Delete, Put, TransactWriteItem,
};
use tokio::time::Instant;

use super::count::changed;
use super::duplicates::{join, key, look_up, twice};
use super::entry::Fault;
use crate::error::{StoreError, StoreErrorKind};
use crate::readings::dynamodb::table::backoff::Backoff;
use crate::readings::dynamodb::table::client::{Tables, build_error, request_error};
use crate::readings::dynamodb::table::items::{Item, text};
use crate::readings::dynamodb::table::scan::is_transient;

/// How long a transaction is retried after conflicts, or without an answer.
const TIMEOUT: Duration = Duration::from_secs(120);
/// How often a reading is read again if the reading changes during the move.
const LOOKS_MAX: u32 = 20;

/// The results of some moves.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Moved {
    /// The reading has another key.
    pub(super) rewritten: u64,
    /// The reading existed under the other key too, and was joined.
    pub(super) joined: u64,
}

impl Moved {
    pub(super) fn merge(&mut self, other: &Self) {
        self.rewritten += other.rewritten;
        self.joined += other.joined;
    }
}

/// The move of a reading to another key.
#[derive(Debug)]
pub(super) struct Move {
    sensor: String,
    from: String,
    to: String,
    item: Item,
    bytes: usize,
}

impl Move {
    pub(super) fn new(sensor: String, from: String, to: String, item: Item) -> Self {
        // The new item and the old item.
        let bytes = 2 * item
            .iter()
            .map(|(name, it)| name.len() + size(it))
            .sum::<usize>();
        Self {
            sensor,
            from,
            to,
            item,
            bytes,
        }
    }

    /// An estimate of the bytes as DynamoDB counts them, rather too high.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn target(&self) -> (String, String) {
        (self.sensor.clone(), self.to.clone())
    }

    /// Puts the item under the new key if the new key is free, and deletes the old item if the old item is unchanged.
    fn steps(&self, tables: &Tables) -> Result<[TransactWriteItem; 2], StoreError> {
        let mut item = self.item.clone();
        item.insert("timestamp".to_owned(), text(&self.to));
        let put = Put::builder()
            .table_name(&tables.names.readings)
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(sensor_id)")
            .build()
            .map_err(|error| build_error("a reading").with_source(error))?;
        let put = TransactWriteItem::builder().put(put).build();
        Ok([put, self.removal(tables)?])
    }

    fn removal(&self, tables: &Tables) -> Result<TransactWriteItem, StoreError> {
        let delete = Delete::builder()
            .table_name(&tables.names.readings)
            .set_key(Some(key(&self.sensor, &self.from)))
            .condition_expression("temperature = :t")
            .expression_attribute_values(":t", temperature(&self.item))
            .build()
            .map_err(|error| build_error("a reading").with_source(error))?;
        Ok(TransactWriteItem::builder().delete(delete).build())
    }
}

/// Every reading has a temperature.
fn temperature(item: &Item) -> AttributeValue {
    item.get("temperature")
        .cloned()
        .unwrap_or(AttributeValue::Null(true))
}

/// An estimate of the bytes of a value as DynamoDB counts them, rather too high.
fn size(value: &AttributeValue) -> usize {
    const EACH: usize = 4;
    EACH + match value {
        AttributeValue::S(text) | AttributeValue::N(text) => text.len(),
        AttributeValue::B(blob) => blob.as_ref().len(),
        AttributeValue::Ss(texts) | AttributeValue::Ns(texts) => {
            texts.iter().map(|text| text.len() + EACH).sum()
        }
        AttributeValue::Bs(blobs) => blobs.iter().map(|blob| blob.as_ref().len() + EACH).sum(),
        AttributeValue::L(values) => values.iter().map(size).sum(),
        AttributeValue::M(values) => values
            .iter()
            .map(|(name, it)| name.len() + size(it))
            .sum::<usize>(),
        _ => 0,
    }
}

/// The result of an attempt.
enum AttemptResult {
    Committed,
    /// The conditions of the items at these positions failed.
    Failed(Vec<usize>, StoreError),
    /// DynamoDB does not accept an item, or all of them together.
    Refused(StoreError),
    /// A retry may succeed.
    Again(StoreError),
}

async fn attempt(
    tables: &Tables,
    items: Vec<TransactWriteItem>,
) -> Result<AttemptResult, StoreError> {
    let sent = tables
        .writer
        .transact_write_items()
        .set_transact_items(Some(items))
        .send()
        .await;
    let error = match sent {
        Ok(_) => return Ok(AttemptResult::Committed),
        Err(error) => error,
    };
    if let SdkError::ServiceError(service) = &error {
        match service.err() {
            TransactWriteItemsError::TransactionCanceledException(cancelled) => {
                let reasons = cancelled.cancellation_reasons();
                let has = |reason: &CancellationReason, code| reason.code() == Some(code);
                if reasons.iter().any(|reason| has(reason, "ValidationError")) {
                    return Ok(AttemptResult::Refused(request_error(error)));
                }
                let failed = reasons.iter().enumerate();
                let failed: Vec<_> = failed
                    .filter(|(_, reason)| has(reason, "ConditionalCheckFailed"))
                    .map(|(at, _)| at)
                    .collect();
                return Ok(match failed.is_empty() {
                    true => AttemptResult::Again(request_error(error)),
                    false => AttemptResult::Failed(failed, request_error(error)),
                });
            }
            other if other.code() == Some("ValidationException") => {
                return Ok(AttemptResult::Refused(request_error(error)));
            }
            TransactWriteItemsError::TransactionInProgressException(_) => {
                return Ok(AttemptResult::Again(request_error(error)));
            }
            _ => {}
        }
    }
    let error = request_error(error);
    match is_transient(&error) {
        true => Ok(AttemptResult::Again(error)),
        false => Err(error),
    }
}

/// Moves readings together. A reading that cannot be moved with the others is moved alone.
pub(super) async fn move_all(tables: &Tables, moves: Vec<Move>) -> Result<Moved, StoreError> {
    let deadline = Instant::now() + TIMEOUT;
    let mut backoff = Backoff::new();
    let mut moves = moves;
    let mut moved = Moved::default();
    let mut alone = Vec::new();
    while !moves.is_empty() {
        let mut items = Vec::with_capacity(2 * moves.len());
        for step in &moves {
            items.extend(step.steps(tables)?);
        }
        match attempt(tables, items).await? {
            AttemptResult::Committed => {
                moved.rewritten += moves.len() as u64;
                break;
            }
            AttemptResult::Refused(_) => alone.append(&mut moves),
            AttemptResult::Failed(places, _) => {
                // Each move has two items.
                let failed: HashSet<_> = places.iter().map(|place| place / 2).collect();
                let mut rest = Vec::with_capacity(moves.len());
                for (at, step) in moves.into_iter().enumerate() {
                    match failed.contains(&at) {
                        true => alone.push(step),
                        false => rest.push(step),
                    }
                }
                moves = rest;
            }
            AttemptResult::Again(error) => {
                if !backoff.pause(deadline).await {
                    return Err(error);
                }
            }
        }
    }
    for step in alone {
        moved.merge(&move_alone(tables, step).await?);
    }
    Ok(moved)
}

/// Moves a single reading in its current state, even if an earlier attempt was committed or another item has the new key.
async fn move_alone(tables: &Tables, mut step: Move) -> Result<Moved, StoreError> {
    let deadline = Instant::now() + TIMEOUT;
    let mut backoff = Backoff::new();
    for _ in 0..LOOKS_MAX {
        let Some(item) = look_up(tables, &step.sensor, &step.from).await? else {
            // An earlier attempt without an answer has moved the reading. If another program had deleted the reading, the count
            // would differ.
            return Ok(Moved {
                rewritten: 1,
                joined: 0,
            });
        };
        step.item = item;
        let there = look_up(tables, &step.sensor, &step.to).await?;
        let (items, done) = match there {
            None => {
                let moved = Moved {
                    rewritten: 1,
                    joined: 0,
                };
                (step.steps(tables)?.into(), moved)
            }
            Some(there) => {
                let moved = Moved {
                    rewritten: 0,
                    joined: 1,
                };
                (joining(tables, &step, &there)?, moved)
            }
        };
        match attempt(tables, items).await? {
            AttemptResult::Committed => return Ok(done),
            AttemptResult::Refused(error) => return Err(refused(&step, error)),
            AttemptResult::Failed(_, error) | AttemptResult::Again(error) => {
                if !backoff.pause(deadline).await {
                    return Err(error);
                }
            }
        }
    }
    Err(changed(
        &Fault::new(&step.sensor, &step.from, "changes all the time".into()).to_string(),
    ))
}

/// Joins two items.
fn joining(
    tables: &Tables,
    step: &Move,
    there: &Item,
) -> Result<Vec<TransactWriteItem>, StoreError> {
    let joined = join(there, &step.item).map_err(|differing| {
        let why = twice(&step.to, &differing);
        changed(&Fault::new(&step.sensor, &step.from, why).to_string())
    })?;
    let kept = if joined == *there {
        let check = ConditionCheck::builder()
            .table_name(&tables.names.readings)
            .set_key(Some(key(&step.sensor, &step.to)))
            .condition_expression("temperature = :t")
            .expression_attribute_values(":t", temperature(there))
            .build()
            .map_err(|error| build_error("a reading").with_source(error))?;
        TransactWriteItem::builder().condition_check(check).build()
    } else {
        let put = Put::builder()
            .table_name(&tables.names.readings)
            .set_item(Some(joined))
            .condition_expression("temperature = :t")
            .expression_attribute_values(":t", temperature(there))
            .build()
            .map_err(|error| build_error("a reading").with_source(error))?;
        TransactWriteItem::builder().put(put).build()
    };
    Ok(vec![kept, step.removal(tables)?])
}

/// The error for a new key that DynamoDB does not accept: the item already has the maximum size, and the new key is longer than
/// the old key.
fn refused(step: &Move, error: StoreError) -> StoreError {
    let Move {
        sensor, from, to, ..
    } = step;
    StoreError::new(
        StoreErrorKind::Damaged,
        format!(
            "DynamoDB does not take the reading of `{sensor}` at `{from}` under the timestamp `{to}`; an item has 400 KB at the most: \
             shorten it, and run this again"
        ),
    )
    .with_source(error)
}

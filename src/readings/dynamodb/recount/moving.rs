//! Moving readings from one key to another, some in a transaction, until it is known what became of each.

use std::collections::HashSet;
use std::time::Duration;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata as _, SdkError};
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    AttributeValue, CancellationReason, ConditionCheck, Delete, Put, TransactWriteItem,
};
use tokio::time::Instant;

use super::count::changed;
use super::doubles::{join, key, look_up, twice};
use super::entry::Fault;
use crate::error::{StoreError, StoreErrorKind};
use crate::readings::dynamodb::table::backoff::Backoff;
use crate::readings::dynamodb::table::client::{Tables, internal, read_error};
use crate::readings::dynamodb::table::items::{Item, text};
use crate::readings::dynamodb::table::scan::is_passing;

/// For how long a transaction is sent again that conflicts, or is not answered.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often a reading that changes while it is looked at is looked at again.
const LOOKS_MAX: u32 = 20;

/// What has become of readings.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Moved {
    /// They have another key.
    pub(super) rewritten: u64,
    /// They were there already under that key, and have become one.
    pub(super) joined: u64,
}

impl Moved {
    pub(super) fn merge(&mut self, other: &Self) {
        self.rewritten += other.rewritten;
        self.joined += other.joined;
    }
}

/// A reading that gets another key.
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
        // Once where it goes, once where it was.
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

    /// About what DynamoDB counts for it, rather more.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn target(&self) -> (String, String) {
        (self.sensor.clone(), self.to.clone())
    }

    /// The same item under its new key, if nothing is there, and away with the one before, if it is still what was read.
    fn steps(&self, tables: &Tables) -> Result<[TransactWriteItem; 2], StoreError> {
        let mut item = self.item.clone();
        item.insert("timestamp".to_owned(), text(&self.to));
        let put = Put::builder()
            .table_name(&tables.names.readings)
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(sensor_id)")
            .build()
            .map_err(|error| internal("a reading").with_source(error))?;
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
            .map_err(|error| internal("a reading").with_source(error))?;
        Ok(TransactWriteItem::builder().delete(delete).build())
    }
}

/// A reading has one, or it would not be moved.
fn temperature(item: &Item) -> AttributeValue {
    item.get("temperature")
        .cloned()
        .unwrap_or(AttributeValue::Null(true))
}

/// About how many bytes DynamoDB counts for a value, rather more.
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

/// What became of one attempt.
enum Attempt {
    Committed,
    /// The conditions of these items failed, by their places.
    Failed(Vec<usize>, StoreError),
    /// An item, or all of them together, is nothing that DynamoDB takes.
    Refused(StoreError),
    /// The same may succeed a little later.
    Again(StoreError),
}

async fn attempt(tables: &Tables, items: Vec<TransactWriteItem>) -> Result<Attempt, StoreError> {
    let sent = tables
        .writer
        .transact_write_items()
        .set_transact_items(Some(items))
        .send()
        .await;
    let error = match sent {
        Ok(_) => return Ok(Attempt::Committed),
        Err(error) => error,
    };
    if let SdkError::ServiceError(service) = &error {
        match service.err() {
            TransactWriteItemsError::TransactionCanceledException(cancelled) => {
                let reasons = cancelled.cancellation_reasons();
                let has = |reason: &CancellationReason, code| reason.code() == Some(code);
                if reasons.iter().any(|reason| has(reason, "ValidationError")) {
                    return Ok(Attempt::Refused(read_error(error)));
                }
                let failed = reasons.iter().enumerate();
                let failed: Vec<_> = failed
                    .filter(|(_, reason)| has(reason, "ConditionalCheckFailed"))
                    .map(|(at, _)| at)
                    .collect();
                return Ok(match failed.is_empty() {
                    true => Attempt::Again(read_error(error)),
                    false => Attempt::Failed(failed, read_error(error)),
                });
            }
            other if other.code() == Some("ValidationException") => {
                return Ok(Attempt::Refused(read_error(error)));
            }
            TransactWriteItemsError::TransactionInProgressException(_) => {
                return Ok(Attempt::Again(read_error(error)));
            }
            _ => {}
        }
    }
    let error = read_error(error);
    match is_passing(&error) {
        true => Ok(Attempt::Again(error)),
        false => Err(error),
    }
}

/// Moves readings together; those that cannot be moved so, one by one.
pub(super) async fn move_all(tables: &Tables, moves: Vec<Move>) -> Result<Moved, StoreError> {
    let deadline = Instant::now() + PATIENCE;
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
            Attempt::Committed => {
                moved.rewritten += moves.len() as u64;
                break;
            }
            Attempt::Refused(_) => alone.append(&mut moves),
            Attempt::Failed(places, _) => {
                // Two items each, in order.
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
            Attempt::Again(error) => {
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

/// Moves one reading as it is now, whatever an attempt before has done or another item is in its way.
async fn move_alone(tables: &Tables, mut step: Move) -> Result<Moved, StoreError> {
    let deadline = Instant::now() + PATIENCE;
    let mut backoff = Backoff::new();
    for _ in 0..LOOKS_MAX {
        let Some(item) = look_up(tables, &step.sensor, &step.from).await? else {
            // An attempt whose answer was lost has moved it; had somebody else removed it, the count would tell.
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
            Attempt::Committed => return Ok(done),
            Attempt::Refused(error) => return Err(refused(&step, error)),
            Attempt::Failed(_, error) | Attempt::Again(error) => {
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

/// Makes one item of two.
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
            .map_err(|error| internal("a reading").with_source(error))?;
        TransactWriteItem::builder().condition_check(check).build()
    } else {
        let put = Put::builder()
            .table_name(&tables.names.readings)
            .set_item(Some(joined))
            .condition_expression("temperature = :t")
            .expression_attribute_values(":t", temperature(there))
            .build()
            .map_err(|error| internal("a reading").with_source(error))?;
        TransactWriteItem::builder().put(put).build()
    };
    Ok(vec![kept, step.removal(tables)?])
}

/// An item that DynamoDB does not take under its new key: it was as large as an item may be, and the key is longer.
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

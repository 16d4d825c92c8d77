//! Sending a transaction until it is known what became of it.
//!
//! A transaction commits at most once, however often it is sent: each asks that its lane has just seen the one before. When
//! no answer comes, it is sent again; if the first attempt did go through, the second fails on the lane, and the lane's mark
//! says whose attempt was the last.

use std::time::Duration;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{CancellationReason, TransactWriteItem};
use tokio::time::Instant;
use tracing::{debug, warn};

use super::super::replica::status::{Side, Standing};
use super::super::table::backoff::Backoff;
use super::super::table::client::{Tables, not_allowed, read_error, unanswered};
use super::super::table::denial::{WRITES, denied};
use super::super::table::items::{Item, Lane};
use super::transaction::{Author, Subject, Transaction};
use crate::error::{StoreError, StoreErrorKind};

/// From when on attempts that fail are told: one or two are nothing.
const TOLD_ATTEMPTS: u32 = 3;
const TOLD_AFTER: Duration = Duration::from_secs(1);

/// What became of a transaction.
#[derive(Debug)]
pub(crate) enum Sent {
    /// It is committed; everyone can read it.
    Committed,
    /// It can never be committed: some of what it was built on has changed. What is there instead, where that was told.
    Outdated(Vec<(Subject, Option<Item>)>),
    /// Another attempt of ours, given up before, was committed in its place.
    Overtaken(Lane),
    /// The slot is another replica's.
    Fenced,
    /// The deadline passed; it may be committed or not, and may yet be.
    Unknown(StoreError),
    /// It was refused in a way that trying again will not change.
    Refused(StoreError),
}

/// Sends a transaction until it is known what became of it, or the deadline passes. The first attempt takes its items;
/// `again` gives the same for another.
pub(crate) async fn send(
    tables: &Tables,
    standing: &Standing,
    author: &Author,
    transaction: &mut Transaction,
    again: impl Fn() -> Result<Vec<TransactWriteItem>, StoreError>,
    deadline: Instant,
) -> Sent {
    let mut backoff = Backoff::new();
    let (started, mut failures) = (Instant::now(), 0);
    let mut items = std::mem::take(&mut transaction.items);
    loop {
        let attempt = tables
            .writer
            .transact_write_items()
            .set_transact_items(Some(items))
            .send();
        let error = match tokio::time::timeout_at(deadline, attempt).await {
            Ok(Ok(_)) => {
                standing.went_well(Side::Writes);
                return Sent::Committed;
            }
            Ok(Err(error)) => error,
            Err(_) => return Sent::Unknown(too_late()),
        };
        if let SdkError::ServiceError(service) = &error {
            match service.err() {
                TransactWriteItemsError::TransactionCanceledException(cancelled) => {
                    let reasons = cancelled.cancellation_reasons();
                    if let Some(sent) = judge(author, transaction, reasons) {
                        return sent;
                    }
                }
                TransactWriteItemsError::ResourceNotFoundException(_) => {
                    return Sent::Refused(read_error(error));
                }
                other if other.code() == Some("ValidationException") => {
                    warn!(error = %other, "DynamoDB does not accept a transaction");
                    return Sent::Refused(
                        StoreError::new(
                            StoreErrorKind::Internal,
                            "DynamoDB does not accept how the readings were to be stored; see the log",
                        )
                        .with_source(error),
                    );
                }
                _ => {}
            }
        }
        let is_cancelled = error
            .as_service_error()
            .is_some_and(TransactWriteItemsError::is_transaction_canceled_exception);
        let failure = read_error(error);
        if failure.kind() == StoreErrorKind::Denied {
            return Sent::Refused(failure);
        }
        debug!(error = %failure, "a transaction is sent again");
        failures += 1;
        if !is_cancelled && (failures >= TOLD_ATTEMPTS || started.elapsed() >= TOLD_AFTER) {
            standing.failed(Side::Writes, &failure);
        }
        if !backoff.pause(deadline).await {
            return Sent::Unknown(failure);
        }
        items = match again() {
            Ok(items) => items,
            // It cannot be told what became of the first attempt; the lane will.
            Err(error) => return Sent::Unknown(error),
        };
    }
}

pub(crate) fn too_late() -> StoreError {
    unanswered("DynamoDB did not store the readings in time")
}

/// What the reasons of a cancellation mean; none when it is worth sending the same again.
fn judge(
    author: &Author,
    transaction: &Transaction,
    reasons: &[CancellationReason],
) -> Option<Sent> {
    let failed = |reason: &CancellationReason| reason.code() == Some("ConditionalCheckFailed");
    let mut outdated = Vec::new();
    for (subject, reason) in transaction.subjects.iter().zip(reasons) {
        if !failed(reason) {
            let message = reason.message().unwrap_or_default();
            if let Some(no) = reason.code().and_then(|code| denied(code, message, WRITES)) {
                return Some(Sent::Refused(not_allowed(no)));
            }
            if reason.code() == Some("ValidationError") {
                warn!(
                    message = reason.message(),
                    "DynamoDB does not accept an item"
                );
                return Some(Sent::Refused(StoreError::new(
                    StoreErrorKind::Internal,
                    "DynamoDB does not accept how the readings were to be stored; see the log",
                )));
            }
            continue;
        }
        if *subject == Subject::Lane {
            // It tells the most: whatever else failed may have failed on what this transaction itself has written.
            let lane = reason.item().and_then(Lane::from_item);
            return Some(of_lane(author, lane));
        }
        outdated.push((subject.clone(), reason.item().cloned()));
    }
    (!outdated.is_empty()).then_some(Sent::Outdated(outdated))
}

fn of_lane(author: &Author, found: Option<Lane>) -> Sent {
    let Some(lane) = found else {
        return Sent::Fenced;
    };
    let ours = author.lane.sequence + 1;
    if lane.owner == author.lane.owner {
        return match lane.sequence == ours && lane.mark == author.mark {
            true => Sent::Committed,
            false => Sent::Overtaken(lane),
        };
    }
    match &lane.before {
        // It was the last thing this replica did in its slot.
        Some((owner, sequence, mark))
            if *owner == author.lane.owner && *sequence == ours && *mark == author.mark =>
        {
            Sent::Committed
        }
        _ => Sent::Fenced,
    }
}

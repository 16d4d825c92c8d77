//! Sends a transaction until the result is known.
//!
//! A transaction commits at most once, even if it is sent several times: the condition requires the previous sequence in the
//! write shard. When no answer comes, the transaction is sent again. If the first request was committed, the second request
//! fails on the write shard. The attempt id in the write shard then tells which attempt was committed.

use std::time::Duration;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{CancellationReason, TransactWriteItem};
use tokio::time::Instant;
use tracing::{debug, warn};

use super::super::replica::status::{Operation, StoreStatus};
use super::super::table::backoff::Backoff;
use super::super::table::client::{Tables, denied_error, request_error, unavailable_error};
use super::super::table::denial::{WRITES, denied};
use super::super::table::items::{Item, WriteShard};
use super::transaction::{Attempt, Target, Transaction};
use crate::error::{StoreError, StoreErrorKind};

/// After this many failures, or this long, failures are recorded as an outage: one or two are normal.
const OUTAGE_ATTEMPTS: u32 = 3;
const OUTAGE_AFTER: Duration = Duration::from_secs(1);

/// The result of a transaction.
#[derive(Debug)]
pub(crate) enum SendOutcome {
    /// The transaction is committed, and every reader sees the transaction.
    Committed,
    /// The transaction can never commit, because items changed after the plan was made. Holds the changed items, where DynamoDB
    /// returned the items.
    Outdated(Vec<(Target, Option<Item>)>),
    /// An earlier attempt of this replica was committed instead. Holds the write shard.
    Overtaken(WriteShard),
    /// The lease belongs to another replica now.
    Fenced,
    /// The deadline passed. The transaction may be committed or not, or may still commit.
    Unknown(StoreError),
    /// DynamoDB refused the transaction, and a retry does not help.
    Refused(StoreError),
}

/// Sends a transaction until the result is known or the deadline passes. The first request takes the items of the transaction;
/// `retry_items` makes the items of a retry.
pub(crate) async fn send(
    tables: &Tables,
    status: &StoreStatus,
    attempt: &Attempt,
    transaction: &mut Transaction,
    retry_items: impl Fn() -> Result<Vec<TransactWriteItem>, StoreError>,
    deadline: Instant,
) -> SendOutcome {
    let mut backoff = Backoff::new();
    let (started, mut failures) = (Instant::now(), 0);
    let mut items = std::mem::take(&mut transaction.items);
    loop {
        let request = tables
            .writer
            .transact_write_items()
            .set_transact_items(Some(items))
            .send();
        let error = match tokio::time::timeout_at(deadline, request).await {
            Ok(Ok(_)) => {
                status.record_success(Operation::Writes);
                return SendOutcome::Committed;
            }
            Ok(Err(error)) => error,
            Err(_) => return SendOutcome::Unknown(deadline_error()),
        };
        if let SdkError::ServiceError(service) = &error {
            match service.err() {
                TransactWriteItemsError::TransactionCanceledException(cancelled) => {
                    let reasons = cancelled.cancellation_reasons();
                    if let Some(sent) = result_of_cancellation(attempt, transaction, reasons) {
                        return sent;
                    }
                }
                TransactWriteItemsError::ResourceNotFoundException(_) => {
                    return SendOutcome::Refused(request_error(error));
                }
                other if other.code() == Some("ValidationException") => {
                    warn!(error = %other, "DynamoDB does not accept a transaction");
                    return SendOutcome::Refused(
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
        let failure = request_error(error);
        if failure.kind() == StoreErrorKind::Denied {
            return SendOutcome::Refused(failure);
        }
        debug!(error = %failure, "a transaction is sent again");
        failures += 1;
        if !is_cancelled && (failures >= OUTAGE_ATTEMPTS || started.elapsed() >= OUTAGE_AFTER) {
            status.record_failure(Operation::Writes, &failure);
        }
        if !backoff.pause(deadline).await {
            return SendOutcome::Unknown(failure);
        }
        items = match retry_items() {
            Ok(items) => items,
            // The result of the first request is not known. The next read of the write shard shows the result.
            Err(error) => return SendOutcome::Unknown(error),
        };
    }
}

pub(crate) fn deadline_error() -> StoreError {
    unavailable_error("DynamoDB did not store the readings in time")
}

/// The result behind the reasons of a cancellation; `None` when the same transaction should be sent again.
fn result_of_cancellation(
    attempt: &Attempt,
    transaction: &Transaction,
    reasons: &[CancellationReason],
) -> Option<SendOutcome> {
    let failed = |reason: &CancellationReason| reason.code() == Some("ConditionalCheckFailed");
    let mut outdated = Vec::new();
    for (target, reason) in transaction.targets.iter().zip(reasons) {
        if !failed(reason) {
            let message = reason.message().unwrap_or_default();
            if let Some(no) = reason.code().and_then(|code| denied(code, message, WRITES)) {
                return Some(SendOutcome::Refused(denied_error(no)));
            }
            if reason.code() == Some("ValidationError") {
                warn!(
                    message = reason.message(),
                    "DynamoDB does not accept an item"
                );
                return Some(SendOutcome::Refused(StoreError::new(
                    StoreErrorKind::Internal,
                    "DynamoDB does not accept how the readings were to be stored; see the log",
                )));
            }
            continue;
        }
        if *target == Target::WriteShard {
            // The write shard decides: other conditions may have failed on items that this same transaction wrote.
            let shard = reason.item().and_then(WriteShard::from_item);
            return Some(of_shard(attempt, shard));
        }
        outdated.push((target.clone(), reason.item().cloned()));
    }
    (!outdated.is_empty()).then_some(SendOutcome::Outdated(outdated))
}

fn of_shard(attempt: &Attempt, found: Option<WriteShard>) -> SendOutcome {
    let Some(shard) = found else {
        return SendOutcome::Fenced;
    };
    let ours = attempt.shard.sequence + 1;
    if shard.owner == attempt.shard.owner {
        return match shard.sequence == ours && shard.attempt_id == attempt.attempt_id {
            true => SendOutcome::Committed,
            false => SendOutcome::Overtaken(shard),
        };
    }
    match &shard.before {
        // The transaction was the last transaction of this replica in the lease.
        Some((owner, sequence, attempt_id))
            if *owner == attempt.shard.owner
                && *sequence == ours
                && *attempt_id == attempt.attempt_id =>
        {
            SendOutcome::Committed
        }
        _ => SendOutcome::Fenced,
    }
}

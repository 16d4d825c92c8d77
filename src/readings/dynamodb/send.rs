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

use super::client::{Tables, is_throttling, read_error};
use super::items::{Item, Lane};
use super::transaction::{Author, Subject, Transaction};
use crate::error::{StoreError, StoreErrorKind};

const PAUSE_MIN: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// What became of a transaction.
#[derive(Debug)]
pub(super) enum Sent {
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

/// Pauses that grow, and differ from replica to replica.
#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
    random: u64,
}

impl Backoff {
    pub(super) fn new() -> Self {
        let seed = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0u8);
        Self {
            next: PAUSE_MIN,
            random: seed | 1,
        }
    }

    /// Waits for a half to the whole of the next pause, at most until the deadline. `false` when that has passed.
    pub(super) async fn pause(&mut self, deadline: Instant) -> bool {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let half = self.next / 2;
        let pause = half + half.mul_f64((self.random % 1024) as f64 / 1024.0);
        self.next = (self.next * 2).min(PAUSE_MAX);
        let now = Instant::now();
        if now >= deadline {
            return false;
        }
        tokio::time::sleep_until((now + pause).min(deadline)).await;
        true
    }
}

/// Sends a transaction until it is known what became of it, or the deadline passes. The first attempt takes its items;
/// `again` gives the same for another.
pub(super) async fn send(
    tables: &Tables,
    author: &Author,
    transaction: &mut Transaction,
    again: impl Fn() -> Result<Vec<TransactWriteItem>, StoreError>,
    deadline: Instant,
) -> Sent {
    let mut backoff = Backoff::new();
    let mut items = std::mem::take(&mut transaction.items);
    loop {
        let attempt = tables
            .writer
            .transact_write_items()
            .set_transact_items(Some(items))
            .send();
        let error = match tokio::time::timeout_at(deadline, attempt).await {
            Ok(Ok(_)) => return Sent::Committed,
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
                other if !is_throttling(other.code()) => {
                    debug!(error = %other, "a transaction is sent again");
                }
                _ => {}
            }
        }
        if !backoff.pause(deadline).await {
            return Sent::Unknown(read_error(error));
        }
        items = match again() {
            Ok(items) => items,
            // It cannot be told what became of the first attempt; the lane will.
            Err(error) => return Sent::Unknown(error),
        };
    }
}

pub(super) fn too_late() -> StoreError {
    StoreError::new(
        StoreErrorKind::Unavailable,
        "DynamoDB did not store the readings in time",
    )
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

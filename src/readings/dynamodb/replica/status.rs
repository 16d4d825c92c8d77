//! The status of the store for the server's reports: whether the store is open, whether DynamoDB accepts reads and writes, and
//! since when not.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::super::table::client::{is_dynamodb_error, is_permanent, is_unavailable};
use crate::error::{StoreError, StoreErrorKind};
use crate::outage_log::OutageLog;

/// An outage ends after this time without a failure. So a table that refuses every second request is a single outage in the log.
const QUIET: Duration = Duration::from_secs(2);

/// The phase of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The tables are not known to be usable yet; holds the reason.
    Opening(String),
    /// The store can write.
    Open,
    /// The store has no lease; holds the reason.
    WithoutLease(String),
    Closed,
}

/// The kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Reads,
    Writes,
}

/// The status of the store.
#[derive(Debug)]
pub(crate) struct StoreStatus {
    outage_log: OutageLog,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    /// The answer to writes until somebody changes the setup.
    refusal: Option<(StoreErrorKind, String)>,
    /// The answer to reads until somebody changes the setup.
    denied_read: Option<String>,
    /// Which kinds of requests have failed, without a success since.
    failing: [bool; 2],
    /// When the last request failed; `None` without an outage.
    failed_at: Option<Instant>,
}

impl StoreStatus {
    pub(crate) fn new(phase: Phase) -> Self {
        Self {
            outage_log: OutageLog::new("readings", "dynamodb"),
            state: Mutex::new(State {
                phase,
                refusal: None,
                denied_read: None,
                failing: [false; 2],
                failed_at: None,
            }),
        }
    }

    pub(crate) fn set_phase(&self, phase: Phase) {
        self.state.lock().phase = phase;
    }

    /// Records a failed request, if DynamoDB or the network caused the failure.
    pub(crate) fn record_failure(&self, operation: Operation, error: &StoreError) {
        if !is_dynamodb_error(error) {
            return;
        }
        {
            let mut state = self.state.lock();
            state.failed_at = Some(Instant::now());
            state.failing[operation as usize] = true;
            if is_permanent(error) {
                let message = error.message().to_owned();
                match operation {
                    Operation::Reads => state.denied_read = Some(message),
                    Operation::Writes => state.refusal = Some((error.kind(), message)),
                }
            }
        }
        self.outage_log.report_failure(error);
    }

    /// Records a failed opening of the tables. An answer of DynamoDB is kept as a refusal until the next attempt.
    pub(crate) fn record_open_failure(&self, error: &StoreError) {
        {
            let mut state = self.state.lock();
            state.failed_at = Some(Instant::now());
            state.failing[Operation::Writes as usize] = true;
            state.phase = Phase::Opening(error.message().to_owned());
            // A client that sends readings only has to wait, whatever is wrong with the tables.
            let kind = match error.kind() {
                StoreErrorKind::Denied => StoreErrorKind::Denied,
                _ => StoreErrorKind::Unavailable,
            };
            state.refusal = match is_unavailable(error) {
                true => None,
                false => Some((kind, error.message().to_owned())),
            };
        }
        self.outage_log.report_failure(error);
    }

    /// Records a successful request.
    pub(crate) fn record_success(&self, operation: Operation) {
        self.state.lock().failing[operation as usize] = false;
    }

    /// Records that DynamoDB accepts all reads and writes again.
    pub(crate) fn record_recovery(&self) {
        let mut state = self.state.lock();
        state.refusal = None;
        state.denied_read = None;
        state.failing = [false; 2];
    }

    /// Whether an outage has not ended.
    pub(crate) fn has_outage(&self) -> bool {
        let state = self.state.lock();
        state.failing.contains(&true) || state.refusal.is_some() || state.denied_read.is_some()
    }

    /// Ends the outage when no failure is left and the last failure is long enough ago.
    pub(crate) fn end_outage_if_over(&self) {
        if self.has_outage() {
            return;
        }
        {
            let mut state = self.state.lock();
            if state.failed_at.is_none_or(|at| at.elapsed() < QUIET) {
                return;
            }
            state.failed_at = None;
        }
        self.outage_log.report_success();
    }

    /// Why writes are refused until somebody changes the setup.
    pub(crate) fn refusal(&self) -> Option<StoreError> {
        let state = self.state.lock();
        let (kind, message) = state.refusal.as_ref()?;
        Some(StoreError::new(*kind, message))
    }

    /// # Errors
    /// While the tables are not known to be usable.
    pub(crate) fn may_read(&self) -> Result<(), StoreError> {
        match &self.state.lock().phase {
            Phase::Opening(why) => Err(not_open(why)),
            _ => Ok(()),
        }
    }

    /// # Errors
    /// When a write would be refused, as far as is known without a request.
    pub(crate) fn may_write(&self) -> Result<(), StoreError> {
        if let Some(refusal) = self.refusal() {
            return Err(refusal);
        }
        match &self.state.lock().phase {
            Phase::Open => Ok(()),
            Phase::Opening(why) => Err(not_open(why)),
            Phase::WithoutLease(why) => Err(StoreError::new(
                StoreErrorKind::Unavailable,
                format!("this replica cannot write for the moment: {why}"),
            )),
            Phase::Closed => Err(closed()),
        }
    }

    /// Warnings for an operator while the store works.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let (denied, are_writes_failing) = {
            let state = self.state.lock();
            let is_known = state.refusal.is_some() || state.phase != Phase::Open;
            let failing = state.failing[Operation::Writes as usize] && !is_known;
            (state.denied_read.clone(), failing)
        };
        warnings.extend(denied.map(|why| format!("some reads are refused: {why}")));
        if are_writes_failing && let Some(why) = self.outage_log.reason() {
            warnings.push(format!("readings cannot be stored at the moment: {why}"));
        }
        warnings
    }
}

fn not_open(why: &str) -> StoreError {
    StoreError::new(
        StoreErrorKind::Unavailable,
        format!("the readings are not open yet: {why}"),
    )
}

/// The error of requests while the server stops.
pub(crate) fn closed() -> StoreError {
    StoreError::shutting_down()
}

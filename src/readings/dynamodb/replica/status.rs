//! How the store stands, as the server tells it: whether it is open, whether DynamoDB takes what it is sent, and since when not.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::super::table::client::{is_away, is_lasting, is_trouble};
use crate::error::{StoreError, StoreErrorKind};
use crate::outage_log::OutageLog;

/// How long nothing may fail until trouble has ended. So a table that refuses every second request is told of once.
const QUIET: Duration = Duration::from_secs(2);

/// Where the store is on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The tables were not found to be right yet; why.
    Opening(String),
    /// It can write.
    Open,
    /// It has no slot; why.
    WithoutSlot(String),
    Closed,
}

/// What failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Reads,
    Writes,
}

/// How the store stands.
#[derive(Debug)]
pub(crate) struct Standing {
    outage_log: OutageLog,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    /// What DynamoDB answers to writes, when that is no matter of time.
    refusal: Option<(StoreErrorKind, String)>,
    /// What it answers to reads likewise.
    denied_read: Option<String>,
    /// Which sides failed and did not go well since.
    failing: [bool; 2],
    /// When something failed last; none when there is no trouble.
    failed_at: Option<Instant>,
}

impl Standing {
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

    /// Takes note of a failure, if it is DynamoDB's doing.
    pub(crate) fn failed(&self, side: Side, error: &StoreError) {
        if !is_trouble(error) {
            return;
        }
        {
            let mut state = self.state.lock();
            state.failed_at = Some(Instant::now());
            state.failing[side as usize] = true;
            if is_lasting(error) {
                let message = error.message().to_owned();
                match side {
                    Side::Reads => state.denied_read = Some(message),
                    Side::Writes => state.refusal = Some((error.kind(), message)),
                }
            }
        }
        self.outage_log.report_failure(error);
    }

    /// The tables could not be opened. What DynamoDB has answered holds until it answers otherwise.
    pub(crate) fn cannot_open(&self, error: &StoreError) {
        {
            let mut state = self.state.lock();
            state.failed_at = Some(Instant::now());
            state.failing[Side::Writes as usize] = true;
            state.phase = Phase::Opening(error.message().to_owned());
            // Whatever is wrong with the tables, whoever sends readings only has to wait.
            let kind = match error.kind() {
                StoreErrorKind::Denied => StoreErrorKind::Denied,
                _ => StoreErrorKind::Unavailable,
            };
            state.refusal = match is_away(error) {
                true => None,
                false => Some((kind, error.message().to_owned())),
            };
        }
        self.outage_log.report_failure(error);
    }

    /// Something went well.
    pub(crate) fn went_well(&self, side: Side) {
        self.state.lock().failing[side as usize] = false;
    }

    /// DynamoDB was found to take everything that reads and writes take.
    pub(crate) fn is_sound_again(&self) {
        let mut state = self.state.lock();
        state.refusal = None;
        state.denied_read = None;
        state.failing = [false; 2];
    }

    /// Whether there is trouble that has not ended.
    pub(crate) fn is_troubled(&self) -> bool {
        let state = self.state.lock();
        state.failing.contains(&true) || state.refusal.is_some() || state.denied_read.is_some()
    }

    /// Ends trouble that is over.
    pub(crate) fn settle(&self) {
        if self.is_troubled() {
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

    /// Why nothing is written now however long one waits.
    pub(crate) fn refusal(&self) -> Option<StoreError> {
        let state = self.state.lock();
        let (kind, message) = state.refusal.as_ref()?;
        Some(StoreError::new(*kind, message))
    }

    /// # Errors
    /// When the tables were not found to be right yet.
    pub(crate) fn may_read(&self) -> Result<(), StoreError> {
        match &self.state.lock().phase {
            Phase::Opening(why) => Err(not_open(why)),
            _ => Ok(()),
        }
    }

    /// # Errors
    /// When a write would not be taken now, as far as that is known without asking.
    pub(crate) fn may_write(&self) -> Result<(), StoreError> {
        if let Some(refusal) = self.refusal() {
            return Err(refusal);
        }
        match &self.state.lock().phase {
            Phase::Open => Ok(()),
            Phase::Opening(why) => Err(not_open(why)),
            Phase::WithoutSlot(why) => Err(StoreError::new(
                StoreErrorKind::Unavailable,
                format!("this replica cannot write for the moment: {why}"),
            )),
            Phase::Closed => Err(closed()),
        }
    }

    /// What an operator should know although the store works.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let (denied, are_writes_failing) = {
            let state = self.state.lock();
            let is_known = state.refusal.is_some() || state.phase != Phase::Open;
            let failing = state.failing[Side::Writes as usize] && !is_known;
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

/// What becomes of requests while the server stops.
pub(crate) fn closed() -> StoreError {
    StoreError::shutting_down()
}

//! Deliveries, and the queue of actions that are due later.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::readings::Point;

/// A reading to send, or on its way to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Delivery {
    pub(super) sensor: u32,
    pub(super) point: Point,
    pub(super) kind: Kind,
    /// The action after the acknowledgement, and the delay before the action.
    pub(super) follow_up: Option<(FollowUp, Duration)>,
}

/// The kind of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The first reading with this timestamp.
    New,
    /// The same reading again.
    Repeated,
    /// The same timestamp with another temperature.
    Corrected,
}

/// A second delivery of a reading that the device has sent before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FollowUp {
    /// The same reading again, because the device did not get the acknowledgement.
    Repeat,
    /// The reading with another temperature.
    Correct,
}

/// Actions that are due later.
///
/// Each reading has at most one action in the queue or delivery in flight, except for identical twins. So the result never
/// depends on the order in which the server takes the deliveries.
#[derive(Default)]
pub(super) struct DueQueue {
    heap: Mutex<BinaryHeap<Reverse<Due>>>,
    sequence: AtomicU64,
}

/// Compared by time, then by order of arrival.
struct Due {
    at: Instant,
    sequence: u64,
    action: DueAction,
}

/// An action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DueAction {
    /// Sends a delayed reading.
    Send(Delivery),
    /// Follows up on an acknowledged reading.
    Follow(FollowUp, u32, Point),
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.sequence).cmp(&(other.at, other.sequence))
    }
}

impl DueQueue {
    /// Adds the follow-up on a reading that was acknowledged.
    pub(super) fn follow(&self, follow_up: FollowUp, after: Duration, sensor: u32, point: Point) {
        self.push(
            Instant::now() + after,
            DueAction::Follow(follow_up, sensor, point),
        );
    }

    /// Adds an action that is due at a time.
    pub(super) fn push(&self, at: Instant, action: DueAction) {
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed);
        self.heap.lock().push(Reverse(Due {
            at,
            sequence,
            action,
        }));
    }

    /// Removes the next action that is due.
    pub(super) fn pop(&self, now: Instant) -> Option<DueAction> {
        let mut heap = self.heap.lock();
        if heap.peek()?.0.at > now {
            return None;
        }
        heap.pop().map(|due| due.0.action)
    }

    /// Removes the next action, due or not.
    pub(super) fn pop_any(&self) -> Option<DueAction> {
        self.heap.lock().pop().map(|due| due.0.action)
    }
}

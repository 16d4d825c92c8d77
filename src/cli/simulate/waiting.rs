//! Readings on their way, and what waits for its time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::readings::Point;

/// A reading on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sending {
    pub(super) sensor: u32,
    pub(super) point: Point,
    pub(super) kind: Kind,
    /// What comes after its acknowledgement, and how long after.
    pub(super) then: Option<(FollowUp, Duration)>,
}

/// What a sending is to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The first of its moment.
    New,
    /// The same once more.
    Repeated,
    /// Another temperature for the same moment.
    Corrected,
}

/// What a device sends about a moment that it has sent before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FollowUp {
    /// The same once more: it does not know that it was heard.
    Repeat,
    /// Another temperature.
    Correct,
}

/// What waits for its time. Of one reading at most one thing waits or is on its way, except for twins, which are the same:
/// so the order in which the server takes them never matters.
#[derive(Default)]
pub(super) struct Waiting {
    heap: Mutex<BinaryHeap<Reverse<Due>>>,
    sequence: AtomicU64,
}

/// Compared by time, then by order of arrival.
struct Due {
    at: Instant,
    sequence: u64,
    what: What,
}

/// Something to do when its time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// A reading that is held back.
    Send(Sending),
    /// Something about a reading that was acknowledged.
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

impl Waiting {
    /// Has something sent about a reading, once it was acknowledged.
    pub(super) fn follow(&self, follow_up: FollowUp, after: Duration, sensor: u32, point: Point) {
        self.push(
            Instant::now() + after,
            What::Follow(follow_up, sensor, point),
        );
    }

    /// Has something done at a time.
    pub(super) fn push(&self, at: Instant, what: What) {
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed);
        self.heap.lock().push(Reverse(Due { at, sequence, what }));
    }

    /// The next thing whose time has come.
    pub(super) fn pop(&self, now: Instant) -> Option<What> {
        let mut heap = self.heap.lock();
        if heap.peek()?.0.at > now {
            return None;
        }
        heap.pop().map(|due| due.0.what)
    }

    /// The next thing, whether its time has come or not.
    pub(super) fn pop_any(&self) -> Option<What> {
        self.heap.lock().pop().map(|due| due.0.what)
    }
}

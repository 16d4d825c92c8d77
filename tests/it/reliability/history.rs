//! What was written to a key, and so what a read of it may show.

use std::collections::BTreeSet;

/// The numbers that were sent to one key.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// The last that was sent; they are sent in order.
    pub sent: u64,
    /// The last that was acknowledged.
    acknowledged: u64,
    /// All that were acknowledged.
    all_acknowledged: Vec<u64>,
    /// Those whose answer was no, or none: each may have been stored, or be stored yet.
    doubtful: BTreeSet<u64>,
}

impl History {
    /// The next number to send.
    pub fn next(&mut self) -> u64 {
        self.sent += 1;
        self.doubtful.insert(self.sent);
        self.sent
    }

    pub fn acknowledge(&mut self, number: u64) {
        self.doubtful.remove(&number);
        self.acknowledged = self.acknowledged.max(number);
        self.all_acknowledged.push(number);
    }

    pub fn all_acknowledged(&self) -> &[u64] {
        &self.all_acknowledged
    }

    /// Whether a read that began at `self` and ended at `after` may show a number: the last that was acknowledged, or one that is in doubt,
    /// or one that was sent meanwhile.
    pub fn allows(&self, after: &Self, number: u64) -> bool {
        number == self.acknowledged
            || self.doubtful.contains(&number)
            || (self.sent < number && number <= after.sent)
    }
}

//! The writes to one key, and the numbers that a read may show.

use std::collections::BTreeSet;

/// The numbers that were sent to one key.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// The last number that was sent; numbers are sent in order.
    pub sent: u64,
    /// The highest number that was acknowledged.
    acknowledged: u64,
    /// All numbers that were acknowledged.
    all_acknowledged: Vec<u64>,
    /// Numbers whose write failed or had no answer: each may be stored, or may be stored later.
    unconfirmed: BTreeSet<u64>,
}

impl History {
    /// The next number to send.
    pub fn next(&mut self) -> u64 {
        self.sent += 1;
        self.unconfirmed.insert(self.sent);
        self.sent
    }

    pub fn acknowledge(&mut self, number: u64) {
        self.unconfirmed.remove(&number);
        self.acknowledged = self.acknowledged.max(number);
        self.all_acknowledged.push(number);
    }

    pub fn all_acknowledged(&self) -> &[u64] {
        &self.all_acknowledged
    }

    /// Whether a read that began at `self` and ended at `after` may show a number: the last acknowledged one, an unconfirmed one,
    /// or one that was sent during the read.
    pub fn allows(&self, after: &Self, number: u64) -> bool {
        number == self.acknowledged
            || self.unconfirmed.contains(&number)
            || (self.sent < number && number <= after.sent)
    }
}

//! The writes to one key, and the numbers allowed in the answer to a read.

use std::collections::BTreeSet;

/// The numbers sent to a key.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// The last number sent to the key. Clients send numbers in ascending order.
    pub sent: u64,
    /// The highest acknowledged number.
    acknowledged: u64,
    /// All acknowledged numbers.
    all_acknowledged: Vec<u64>,
    /// Numbers of failed writes and of writes without an answer: the store may hold each now, or later.
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

    /// Whether a read from `self` to `after` may show a number: the last acknowledged number, an unconfirmed number,
    /// or a number sent during the read.
    pub fn allows(&self, after: &Self, number: u64) -> bool {
        number == self.acknowledged
            || self.unconfirmed.contains(&number)
            || (self.sent < number && number <= after.sent)
    }
}

//! Random numbers for tests. The same seed gives the same numbers.

use fieldstation::random::{SplitMix64, seed};

/// A generator of random numbers.
#[derive(Clone, Debug)]
pub struct Random(SplitMix64);

impl Random {
    pub const fn new(seed: u64) -> Self {
        Self(SplitMix64::new(seed))
    }

    /// A new seed for each run. Print this seed.
    pub fn any_seed() -> u64 {
        seed() >> 16
    }

    pub fn number(&mut self) -> u64 {
        self.0.bits()
    }

    /// A number from 0 on, below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.number() % end
    }

    pub fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }
}

/// A number in an environment variable, set by the user of the tests.
#[expect(
    clippy::disallowed_methods,
    reason = "a setting of the tests, not of the server"
)]
pub fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name}={text} is not a number")),
    )
}

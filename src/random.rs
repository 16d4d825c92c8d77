//! The one source of randomness: bytes and names from the operating system, and a generator that repeats its numbers for a seed.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::error::{StoreError, StoreErrorKind};

/// Random bytes for an id that no other process may make.
///
/// # Errors
/// [`StoreErrorKind::Internal`] when the operating system has no random numbers.
pub fn bytes<const LENGTH: usize>() -> Result<[u8; LENGTH], StoreError> {
    let mut bytes = [0; LENGTH];
    getrandom::fill(&mut bytes).map_err(|error| {
        let message = "the operating system has no random numbers";
        StoreError::new(StoreErrorKind::Internal, message).with_source(error)
    })?;
    Ok(bytes)
}

/// A random id of 24 hexadecimal digits.
///
/// # Errors
/// Those of [`bytes()`].
pub fn hex_id() -> Result<String, StoreError> {
    Ok(hex::encode(bytes::<12>()?))
}

/// A unique name of 32 hexadecimal digits: the time in nanoseconds, then random digits. Later names sort after earlier ones.
pub fn timed_name() -> String {
    format!("{:016x}{:016x}", nanoseconds(), seed())
}

/// A number that differs from call to call and from process to process: for seeds, pauses and names that need no secrecy. The clock and
/// the process id replace the operating system's randomness where there is none.
pub fn seed() -> u64 {
    getrandom::u64().unwrap_or_else(|_| nanoseconds() ^ (u64::from(std::process::id()) << 40))
}

fn nanoseconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |now| now.as_nanos() as u64)
}

/// The SplitMix64 generator (S. Vigna): fast, and the same numbers for the same seed on every machine. Not for secrets.
#[derive(Clone, Debug)]
pub struct SplitMix64(u64);

impl SplitMix64 {
    /// A generator that starts from a seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any 64 bits.
    pub const fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 up to 1, not including it.
    pub fn fraction(&mut self) -> f64 {
        // The 53 bits of an `f64`.
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// From `low` up to `high`.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.fraction()
    }

    /// Below `bound`, which is not 0. A bias of one in 2⁴⁴ does not matter here.
    pub const fn below(&mut self, bound: u32) -> u32 {
        (((self.bits() >> 32) * bound as u64) >> 32) as u32
    }

    /// True with a probability in percent.
    pub fn chance(&mut self, percent: f64) -> bool {
        self.fraction() * 100.0 < percent
    }

    /// Around 0 with a standard deviation of 1: the sum of twelve, less its mean.
    pub fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.fraction()).sum::<f64>() - 6.0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_and_ids_are_unique_and_hexadecimal() {
        let names: HashSet<_> = (0..1_000).map(|_| timed_name()).collect();
        let ids: HashSet<_> = (0..1_000).map(|_| hex_id().unwrap()).collect();
        assert_eq!((names.len(), ids.len()), (1_000, 1_000));
        for (text, length) in names
            .iter()
            .map(|name| (name, 32))
            .chain(ids.iter().map(|id| (id, 24)))
        {
            assert_eq!(text.len(), length);
            assert!(text.bytes().all(|byte| byte.is_ascii_hexdigit()), "{text}");
        }
        assert_ne!(seed(), seed());
    }

    #[test]
    fn the_same_seed_gives_the_same_numbers() {
        let numbers = |seed| {
            let mut random = SplitMix64::new(seed);
            [random.bits(), random.bits(), random.bits()]
        };
        assert_eq!(numbers(7), numbers(7));
        assert_ne!(numbers(7), numbers(8));
        // The reference implementation's first output for a seed of 0.
        assert_eq!(SplitMix64::new(0).bits(), 0xe220_a839_7b1d_cdaf);
    }

    #[test]
    fn numbers_lie_within_their_bounds_and_spread_over_them() {
        let mut random = SplitMix64::new(1);
        let mut seen = [0u32; 10];
        let (mut sum, mut squares) = (0.0, 0.0);
        for _ in 0..10_000 {
            seen[random.below(10) as usize] += 1;
            assert!((0.0..1.0).contains(&random.fraction()));
            assert!((-2.0..3.0).contains(&random.between(-2.0, 3.0)));
            let normal = random.normal();
            sum += normal;
            squares += normal * normal;
        }
        assert!(
            seen.iter().all(|&times| (850..1150).contains(&times)),
            "{seen:?}"
        );
        assert!((sum / 10_000.0).abs() < 0.05);
        assert!((squares / 10_000.0 - 1.0).abs() < 0.05);
        assert!(!random.chance(0.0));
        assert!(random.chance(100.0));
    }
}

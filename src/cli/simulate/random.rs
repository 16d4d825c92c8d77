//! Pseudorandom numbers: the same seed gives the same numbers.

/// SplitMix64 (S. Vigna): small and fast. Not for secrets.
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any 64 bits.
    pub(super) const fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 up to 1, without 1.
    pub(super) fn fraction(&mut self) -> f64 {
        // The 53 bits of an `f64`.
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// From `low` up to `high`.
    pub(super) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.fraction()
    }

    /// From 0 up to `bound`, without `bound`, which is not 0. The bias is at most 1 in 2⁴⁴.
    pub(super) const fn below(&mut self, bound: u32) -> u32 {
        (((self.bits() >> 32) * bound as u64) >> 32) as u32
    }

    /// True with a probability in percent.
    pub(super) fn chance(&mut self, percent: f64) -> bool {
        self.fraction() * 100.0 < percent
    }

    /// Normally distributed with mean 0 and standard deviation 1: the sum of twelve fractions, less its mean.
    pub(super) fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.fraction()).sum::<f64>() - 6.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers() {
        let numbers = |seed| {
            let mut random = Random::new(seed);
            [random.bits(), random.bits(), random.bits()]
        };
        assert_eq!(numbers(7), numbers(7));
        assert_ne!(numbers(7), numbers(8));
        // The reference implementation's first output for a seed of 0.
        assert_eq!(Random::new(0).bits(), 0xe220_a839_7b1d_cdaf);
    }

    #[test]
    fn numbers_lie_within_their_bounds_and_spread_over_them() {
        let mut random = Random::new(1);
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

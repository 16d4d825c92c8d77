//! The statistics of all readings of all sensors in one period, and what is known of where in it they are.

use super::level::{Level, Span};
use crate::readings::Stats;

/// The lowest of some values; or of their negatives, so that one rule serves both ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bound {
    /// No value is below this.
    pub(crate) value: i64,
    /// Whether one is equal to it. A replaced reading may have been the only one.
    pub(crate) known: bool,
}

impl Bound {
    /// Of no values.
    pub(crate) const NONE: Self = Self {
        value: i64::MAX,
        known: true,
    };

    pub(crate) const fn exact(value: i64) -> Self {
        Self { value, known: true }
    }

    /// That of two sets together.
    pub(crate) fn merge(&mut self, other: Self) {
        if (other.value, !other.known) < (self.value, !self.known) {
            *self = other;
        }
    }

    /// A reading of this value has left the set.
    pub(crate) fn remove(&mut self, value: i64) {
        if value <= self.value {
            self.known = false;
        }
    }
}

/// Count, sum and extremes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sum {
    pub(crate) count: u64,
    /// In micro-degrees, like the extremes.
    pub(crate) sum: i128,
    pub(crate) lowest: Bound,
    /// Of the negatives.
    pub(crate) highest: Bound,
}

impl Sum {
    pub(crate) const NONE: Self = Self {
        count: 0,
        sum: 0,
        lowest: Bound::NONE,
        highest: Bound::NONE,
    };

    pub(crate) fn of_stats(stats: &Stats) -> Self {
        let bound = |value: Option<i64>| value.map_or(Bound::NONE, Bound::exact);
        Self {
            count: stats.count(),
            sum: stats.sum_micro_degrees(),
            lowest: bound(stats.minimum().map(|minimum| minimum.micro_degrees())),
            highest: bound(stats.maximum().map(|maximum| -maximum.micro_degrees())),
        }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.count = self.count.wrapping_add(other.count);
        self.sum += other.sum;
        self.lowest.merge(other.lowest);
        self.highest.merge(other.highest);
    }

    pub(crate) fn remove(&mut self, removed: Removed) {
        self.lowest.remove(removed.lowest);
        self.highest.remove(removed.highest);
    }

    pub(crate) fn is_known(&self) -> bool {
        self.lowest.known && self.highest.known
    }

    /// The same as statistics; `None` where these cannot be those of any readings, or an extreme is not known.
    pub(crate) fn stats(&self) -> Option<Stats> {
        if !self.is_known() {
            return None;
        }
        let highest = self.highest.value.checked_neg()?;
        Stats::from_parts(self.count, self.sum, self.lowest.value, highest)
    }
}

/// The extremes of the values that have left a period, the higher one negated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Removed {
    pub(crate) lowest: i64,
    pub(crate) highest: i64,
}

impl Removed {
    pub(crate) fn merge(&mut self, other: Self) {
        self.lowest = self.lowest.min(other.lowest);
        self.highest = self.highest.min(other.highest);
    }
}

/// One period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Total {
    pub(crate) sum: Sum,
    /// Where the first reading is, in 255ths of the period, rounded down.
    pub(crate) first: u8,
    /// Where the last reading is, rounded up. Readings of whole seconds have 0 in both: no window cuts through them.
    pub(crate) last: u8,
    /// Whether a block tells of the shorter periods within this one, all of them.
    pub(crate) finer: bool,
}

/// The parts that a period is divided in to say where its readings are.
const PARTS: i64 = 255;

impl Total {
    pub(crate) const NONE: Self = Self {
        sum: Sum::NONE,
        first: u8::MAX,
        last: 0,
        finer: false,
    };

    /// Takes note of where readings are in the period that starts at `start`.
    pub(crate) fn reach(&mut self, level: Level, start: i64, first: i64, last: i64) {
        let length = level.micros();
        let part = |micros: i64| (micros - start) * PARTS;
        // Both are within 0 to 255, since the moments are within the period.
        self.first = self.first.min((part(first) / length) as u8);
        self.last = self
            .last
            .max((part(last) + length - 1).div_euclid(length) as u8);
    }

    /// The moments between which the readings are, of the period that starts at `start`.
    pub(crate) fn tight(&self, level: Level, start: i64) -> Span {
        let at = |part: u8| start + i64::from(part) * level.micros() / PARTS;
        Span {
            from: at(self.first),
            to: (at(self.last) + 1).min(start + level.micros()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_bound_that_is_known_is_the_lowest_value(
            mut values in prop::collection::vec(-5i64..5, 1..8),
            steps in prop::collection::vec((any::<prop::sample::Index>(), -6i64..6), 0..8),
        ) {
            let mut bound = Bound::NONE;
            for &value in &values {
                bound.merge(Bound::exact(value));
            }
            for (at, new) in steps {
                // A replacement: the new value comes, the old one goes.
                let at = at.index(values.len());
                let old = std::mem::replace(&mut values[at], new);
                bound.merge(Bound::exact(new));
                bound.remove(old);
                let lowest = values.iter().copied().min().unwrap();
                prop_assert!(bound.value <= lowest);
                prop_assert!(!bound.known || bound.value == lowest);
            }
        }

        #[test]
        fn readings_are_within_their_tight_span(
            level in prop::sample::select(Level::ALL.to_vec()),
            start in -3i64..3,
            offsets in prop::collection::vec(0f64..1.0, 1..5),
        ) {
            let start = start * level.micros();
            let mut total = Total::NONE;
            for offset in &offsets {
                let at = start + ((offset * level.micros() as f64) as i64).min(level.micros() - 1);
                total.reach(level, start, at, at);
                let tight = total.tight(level, start);
                prop_assert!(tight.from <= at && at < tight.to);
            }
            let period = Span { from: start, to: start + level.micros() };
            prop_assert!(period.contains(total.tight(level, start)));
        }
    }

    #[test]
    fn readings_at_the_start_of_a_period_are_at_one_moment() {
        let mut total = Total::NONE;
        total.reach(Level::Second, 7_000_000, 7_000_000, 7_000_000);
        let tight = total.tight(Level::Second, 7_000_000);
        assert_eq!((tight.from, tight.to), (7_000_000, 7_000_001));
    }
}

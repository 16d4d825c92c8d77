//! The total of a period: the statistics of all readings of all sensors in the period, and where in the period the readings lie.

use super::level::{Level, Span};
use crate::readings::Stats;

/// The lowest value of a set. For the highest value, the set of the negated values is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extreme {
    /// A lower bound of the values.
    pub(crate) value: i64,
    /// Whether the lowest value equals the bound. Unknown after a reading with this value was replaced.
    pub(crate) known: bool,
}

impl Extreme {
    /// The bound of an empty set.
    pub(crate) const NONE: Self = Self {
        value: i64::MAX,
        known: true,
    };

    pub(crate) const fn exact(value: i64) -> Self {
        Self { value, known: true }
    }

    /// Merges the bound of another set.
    pub(crate) fn merge(&mut self, other: Self) {
        if (other.value, !other.known) < (self.value, !self.known) {
            *self = other;
        }
    }

    /// Removes a value from the set.
    pub(crate) fn remove(&mut self, value: i64) {
        if value <= self.value {
            self.known = false;
        }
    }
}

/// Count, sum and extremes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Aggregate {
    pub(crate) count: u64,
    /// In micro-degrees, as the extremes.
    pub(crate) sum: i128,
    pub(crate) lowest: Extreme,
    /// Of the negated values.
    pub(crate) highest: Extreme,
}

impl Aggregate {
    pub(crate) const NONE: Self = Self {
        count: 0,
        sum: 0,
        lowest: Extreme::NONE,
        highest: Extreme::NONE,
    };

    pub(crate) fn of_stats(stats: &Stats) -> Self {
        let bound = |value: Option<i64>| value.map_or(Extreme::NONE, Extreme::exact);
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

    pub(crate) fn remove(&mut self, removed: RemovedExtremes) {
        self.lowest.remove(removed.lowest);
        self.highest.remove(removed.highest);
    }

    pub(crate) fn is_known(&self) -> bool {
        self.lowest.known && self.highest.known
    }

    /// Converts to statistics. `None` if an extreme is unknown, or no readings can have these statistics.
    pub(crate) fn stats(&self) -> Option<Stats> {
        if !self.is_known() {
            return None;
        }
        let highest = self.highest.value.checked_neg()?;
        Stats::from_parts(self.count, self.sum, self.lowest.value, highest)
    }
}

/// The extremes of removed values. The highest value is negated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RemovedExtremes {
    pub(crate) lowest: i64,
    pub(crate) highest: i64,
}

impl RemovedExtremes {
    pub(crate) fn merge(&mut self, other: Self) {
        self.lowest = self.lowest.min(other.lowest);
        self.highest = self.highest.min(other.highest);
    }
}

/// The total of a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Total {
    pub(crate) sum: Aggregate,
    /// The position of the first reading, in 255ths of the period, rounded down.
    pub(crate) first: u8,
    /// The position of the last reading, in 255ths of the period, rounded up. Readings at the start of a second have position 0,
    /// so no window cuts through a period of such readings.
    pub(crate) last: u8,
    /// Whether the period is divided: a block holds the shorter periods.
    pub(crate) finer: bool,
}

/// The number of positions within a period.
const PARTS: i64 = 255;

impl Total {
    pub(crate) const NONE: Self = Self {
        sum: Aggregate::NONE,
        first: u8::MAX,
        last: 0,
        finer: false,
    };

    /// Records the positions of readings in the period with the start `start`.
    pub(crate) fn include(&mut self, level: Level, start: i64, first: i64, last: i64) {
        let length = level.micros();
        let part = |micros: i64| (micros - start) * PARTS;
        // Both are between 0 and 255, because the timestamps lie in the period.
        self.first = self.first.min((part(first) / length) as u8);
        self.last = self
            .last
            .max((part(last) + length - 1).div_euclid(length) as u8);
    }

    /// The span around the readings of the period with the start `start`.
    pub(crate) fn reading_span(&self, level: Level, start: i64) -> Span {
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
            let mut bound = Extreme::NONE;
            for &value in &values {
                bound.merge(Extreme::exact(value));
            }
            for (at, new) in steps {
                // A replacement adds the new value and removes the old value.
                let at = at.index(values.len());
                let old = std::mem::replace(&mut values[at], new);
                bound.merge(Extreme::exact(new));
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
                total.include(level, start, at, at);
                let reading_span = total.reading_span(level, start);
                prop_assert!(reading_span.from <= at && at < reading_span.to);
            }
            let period = Span { from: start, to: start + level.micros() };
            prop_assert!(period.contains(total.reading_span(level, start)));
        }
    }

    #[test]
    fn readings_at_the_start_of_a_period_are_at_one_moment() {
        let mut total = Total::NONE;
        total.include(Level::Second, 7_000_000, 7_000_000, 7_000_000);
        let reading_span = total.reading_span(Level::Second, 7_000_000);
        assert_eq!((reading_span.from, reading_span.to), (7_000_000, 7_000_001));
    }
}

//! Logged changes that are not in `periods`: changes of totals by second, in memory.

use std::collections::BTreeMap;

use hashbrown::HashMap;

use super::level::{Level, Span};
use super::total::{Aggregate, Extreme, RemovedExtremes};
use crate::readings::{Point, Temperature};

/// The changes of a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// The earliest and the latest timestamp of a changed reading. At least one reading has changed.
    pub(crate) first: i64,
    pub(crate) last: i64,
    /// The number of new readings.
    pub(crate) count: u64,
    /// The growth of the sum.
    pub(crate) sum: i128,
    /// The extremes of the new and replacing values.
    pub(crate) lowest: i64,
    pub(crate) highest: i64,
}

impl Change {
    fn at(micros: i64) -> Self {
        Self {
            first: micros,
            last: micros,
            count: 0,
            sum: 0,
            lowest: i64::MAX,
            highest: i64::MIN,
        }
    }

    /// The number of the second.
    pub(crate) fn second(&self) -> i64 {
        second_of(self.first)
    }

    /// The changes as an aggregate, ready to be merged into a period.
    pub(crate) fn sum(&self) -> Aggregate {
        Aggregate {
            count: self.count,
            sum: self.sum,
            lowest: Extreme::exact(self.lowest),
            highest: Extreme::exact(-self.highest),
        }
    }

    /// The shortest span around the changed readings.
    pub(crate) fn reading_span(&self) -> Span {
        Span {
            from: self.first,
            to: self.last + 1,
        }
    }

    fn come(&mut self, micros: i64, value: i64) {
        self.first = self.first.min(micros);
        self.last = self.last.max(micros);
        self.lowest = self.lowest.min(value);
        self.highest = self.highest.max(value);
        self.sum += i128::from(value);
    }
}

fn second_of(micros: i64) -> i64 {
    micros.div_euclid(Level::Second.micros())
}

/// The number of seconds found without the map. A batch of a fleet covers a few seconds repeatedly.
const RECENT: usize = 64;

/// Marks an empty entry.
const NO_SECOND: i64 = i64::MIN;

/// Changes by second, in order of arrival.
#[derive(Debug)]
pub(crate) struct Changes {
    list: Vec<Change>,
    /// By second: the index in the list.
    places: HashMap<i64, u32>,
    /// Recently used seconds and their indexes, each at the position "second modulo length".
    recent: [(i64, u32); RECENT],
    /// By second: the extremes of the replaced values.
    removed: BTreeMap<i64, RemovedExtremes>,
}

impl Default for Changes {
    fn default() -> Self {
        Self {
            list: Vec::new(),
            places: HashMap::new(),
            recent: [(NO_SECOND, 0); RECENT],
            removed: BTreeMap::new(),
        }
    }
}

impl Changes {
    /// The number of changed seconds.
    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    /// Counts a new reading.
    pub(crate) fn add(&mut self, point: Point) {
        let change = self.change(point.timestamp.micros());
        change.count += 1;
        change.come(point.timestamp.micros(), point.temperature.micro_degrees());
    }

    /// Counts the replacement of a reading.
    pub(crate) fn replace(&mut self, point: Point, old: Temperature) {
        let micros = point.timestamp.micros();
        let old = old.micro_degrees();
        let change = self.change(micros);
        change.come(micros, point.temperature.micro_degrees());
        change.sum -= i128::from(old);
        let removed = RemovedExtremes {
            lowest: old,
            highest: -old,
        };
        self.removed
            .entry(second_of(micros))
            .or_insert(removed)
            .merge(removed);
    }

    fn change(&mut self, micros: i64) -> &mut Change {
        let second = second_of(micros);
        let recent = &mut self.recent[(second & (RECENT as i64 - 1)) as usize];
        if recent.0 != second {
            // A commit holds far fewer than 2³² readings, and uncounted changes are folded.
            let next = self.list.len() as u32;
            let place = *self.places.entry(second).or_insert(next);
            if place == next {
                self.list.push(Change::at(micros));
            }
            *recent = (second, place);
        }
        &mut self.list[recent.1 as usize]
    }

    /// Takes all changes, in order of time.
    pub(crate) fn take(&mut self) -> Sorted {
        let mut list = std::mem::take(&mut self.list);
        list.sort_unstable_by_key(|change| change.first);
        self.places.clear();
        self.places.shrink_to(4 * RECENT);
        self.recent = [(NO_SECOND, 0); RECENT];
        Sorted {
            list,
            next: 0,
            removed: std::mem::take(&mut self.removed),
        }
    }
}

/// Changes in order of time.
#[derive(Debug, Default)]
pub(crate) struct Sorted {
    list: Vec<Change>,
    /// Changes before this index are folded.
    next: usize,
    removed: BTreeMap<i64, RemovedExtremes>,
}

impl Sorted {
    pub(crate) fn changes(&self) -> &[Change] {
        self.list.get(self.next..).unwrap_or_default()
    }

    /// The extremes of the values replaced in a span of whole seconds.
    pub(crate) fn removed_in(&self, span: Span) -> Option<RemovedExtremes> {
        let in_span = self.removed.range(second_of(span.from)..second_of(span.to));
        in_span
            .map(|(_, removed)| *removed)
            .reduce(|mut all, removed| {
                all.merge(removed);
                all
            })
    }

    fn drop_before(&mut self, micros: i64) {
        self.next = self.list.partition_point(|change| change.first < micros);
        self.removed = self.removed.split_off(&second_of(micros));
        if self.next >= self.list.len() {
            *self = Self::default();
        }
    }
}

/// All logged changes that are not in `periods`.
#[derive(Debug, Default)]
pub(crate) struct Uncounted {
    /// The frozen changes, in order of time; folding is in progress.
    pub(crate) folding: Sorted,
    /// The changes since the last freeze.
    pub(crate) fresh: Changes,
}

/// The uncounted changes in a span.
#[derive(Debug, Default)]
pub(crate) struct UncountedInSpan {
    pub(crate) changes: Vec<Change>,
    /// The extremes of replaced values, by second.
    pub(crate) removed: Vec<(i64, RemovedExtremes)>,
}

impl Uncounted {
    /// About the number of changed seconds.
    pub(crate) fn len(&self) -> usize {
        self.folding.changes().len() + self.fresh.len()
    }

    /// Freezes all changes, to be folded. No frozen changes may be left.
    pub(crate) fn freeze(&mut self) {
        self.folding = self.fresh.take();
    }

    /// Removes the frozen changes before a timestamp (the start of a second). These changes are now in `periods`.
    pub(crate) fn folded_before(&mut self, micros: i64) {
        self.folding.drop_before(micros);
    }

    /// The changes in the seconds that a span touches.
    pub(crate) fn within(&self, span: Span) -> UncountedInSpan {
        let mut in_span = UncountedInSpan::default();
        if span.is_empty() {
            return in_span;
        }
        let seconds = second_of(span.from)..second_of(span.to - 1) + 1;
        let folding = self.folding.changes();
        let start = folding.partition_point(|change| change.second() < seconds.start);
        let end = folding.partition_point(|change| change.second() < seconds.end);
        in_span
            .changes
            .extend_from_slice(folding.get(start..end).unwrap_or_default());
        let fresh = self.fresh.list.iter();
        in_span
            .changes
            .extend(fresh.filter(|change| seconds.contains(&change.second())));
        for removed in [&self.folding.removed, &self.fresh.removed] {
            in_span
                .removed
                .extend(removed.range(seconds.clone()).map(|(&at, &all)| (at, all)));
        }
        in_span
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::readings::{Stats, Timestamp};

    fn point(at: i64, value: i64) -> Point {
        Point {
            timestamp: Timestamp::from_micros(at).unwrap(),
            temperature: Temperature::from_micro_degrees(value).unwrap(),
        }
    }

    proptest! {
        #[test]
        fn changes_add_up_to_the_readings(
            readings in prop::collection::vec((-90_000_000i64..90_000_000, -9i64..9), 1..60),
            freeze_at: prop::sample::Index,
            fold_at in -100i64..100,
            from in -100i64..100,
            length in 1i64..100,
        ) {
            let mut uncounted = Uncounted::default();
            let freeze_at = freeze_at.index(readings.len());
            for (at, &(micros, value)) in readings.iter().enumerate() {
                if at == freeze_at {
                    uncounted.freeze();
                    uncounted.folded_before(fold_at * 1_000_000);
                }
                uncounted.fresh.add(point(micros, value));
            }
            let span = Span { from: from * 1_000_000, to: (from + length) * 1_000_000 };
            let in_span = uncounted.within(span);
            let expected: Stats = readings
                .iter()
                .enumerate()
                .filter(|&(at, &(micros, _))| at >= freeze_at || micros >= fold_at * 1_000_000)
                .map(|(_, &reading)| reading)
                .filter(|&(micros, _)| span.from <= micros && micros < span.to)
                .map(|(_, value)| Temperature::from_micro_degrees(value).unwrap())
                .collect();
            let mut sum = Aggregate::NONE;
            for change in &in_span.changes {
                sum.merge(&change.sum());
            }
            prop_assert_eq!(sum.stats(), Some(expected));
        }
    }

    #[test]
    fn a_replacement_changes_the_sum_and_says_what_went() {
        let mut uncounted = Uncounted::default();
        uncounted.fresh.add(point(5, 10));
        let old = Temperature::from_micro_degrees(10).unwrap();
        uncounted.fresh.replace(point(5, 7), old);
        let in_span = uncounted.within(Span {
            from: 0,
            to: 1_000_000,
        });
        assert_eq!((in_span.changes[0].count, in_span.changes[0].sum), (1, 7));
        let removed = RemovedExtremes {
            lowest: 10,
            highest: -10,
        };
        assert_eq!(in_span.removed, vec![(0, removed)]);
    }
}

//! The calendar of the periods: days, hours, minutes and seconds of UTC.

use crate::readings::{Timestamp, Window};

/// The length of a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Day,
    Hour,
    Minute,
    Second,
}

impl Level {
    pub(crate) const ALL: [Self; 4] = [Self::Day, Self::Hour, Self::Minute, Self::Second];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Hour => "hour",
            Self::Minute => "minute",
            Self::Second => "second",
        }
    }

    /// The length of a period.
    pub(crate) const fn micros(self) -> i64 {
        match self {
            Self::Day => 86_400_000_000,
            Self::Hour => 3_600_000_000,
            Self::Minute => 60_000_000,
            Self::Second => 1_000_000,
        }
    }

    /// The number of periods in a block: the periods in the next longer period, or 64 days.
    pub(crate) const fn block_periods(self) -> i64 {
        match self {
            Self::Day => 64,
            Self::Hour => 24,
            Self::Minute | Self::Second => 60,
        }
    }

    /// The length of a block.
    pub(crate) const fn block_micros(self) -> i64 {
        self.micros() * self.block_periods()
    }

    /// The start of the block around a timestamp.
    pub(crate) const fn block_start(self, micros: i64) -> i64 {
        micros.div_euclid(self.block_micros()) * self.block_micros()
    }

    /// The start of the period around a timestamp.
    pub(crate) const fn period_start(self, micros: i64) -> i64 {
        micros.div_euclid(self.micros()) * self.micros()
    }

    /// The next shorter period.
    pub(crate) const fn finer(self) -> Option<Self> {
        match self {
            Self::Day => Some(Self::Hour),
            Self::Hour => Some(Self::Minute),
            Self::Minute => Some(Self::Second),
            Self::Second => None,
        }
    }
}

/// A half-open span of time, in microseconds since 1970 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Span {
    pub(crate) from: i64,
    pub(crate) to: i64,
}

impl Span {
    /// The span of a window. An open end extends to the first or last possible timestamp.
    pub(crate) fn of(window: Window) -> Self {
        Self {
            from: window.from.unwrap_or(Timestamp::MIN).micros(),
            to: window
                .to
                .map_or(Timestamp::MAX.micros() + 1, Timestamp::micros),
        }
    }

    pub(crate) fn window(self) -> Window {
        Window {
            from: Timestamp::from_micros(self.from),
            to: Timestamp::from_micros(self.to),
        }
    }

    pub(crate) fn is_empty(self) -> bool {
        self.from >= self.to
    }

    pub(crate) fn overlap(self, other: Self) -> Self {
        Self {
            from: self.from.max(other.from),
            to: self.to.min(other.to),
        }
    }

    pub(crate) fn contains(self, other: Self) -> bool {
        self.from <= other.from && other.to <= self.to
    }

    /// Splits the span into a partial second, whole seconds, and a partial second; each may be empty.
    pub(crate) fn split_at_seconds(self) -> [Self; 3] {
        let second = Level::Second.micros();
        let first = self
            .from
            .checked_add(second - 1)
            .map_or(self.to, |from| Level::Second.period_start(from))
            .min(self.to);
        let last = Level::Second.period_start(self.to).max(first);
        let part = |from, to| Self { from, to };
        [
            part(self.from, first),
            part(first, last),
            part(last, self.to),
        ]
    }
}

/// Sorts spans, and joins touching spans.
pub(crate) fn joined(mut spans: Vec<Span>) -> Vec<Span> {
    spans.retain(|span| !span.is_empty());
    spans.sort_unstable();
    let mut joined: Vec<Span> = Vec::with_capacity(spans.len());
    for span in spans {
        match joined.last_mut() {
            Some(last) if last.to >= span.from => last.to = last.to.max(span.to),
            _ => joined.push(span),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_span_splits_into_whole_seconds_and_what_is_left(from in -3_000_000i64..3_000_000, length in 1i64..5_000_000) {
            let span = Span { from, to: from + length };
            let [before, seconds, after] = span.split_at_seconds();
            prop_assert_eq!((before.from, before.to, seconds.to, after.to), (from, seconds.from, after.from, span.to));
            if !seconds.is_empty() {
                prop_assert_eq!((seconds.from % 1_000_000, seconds.to % 1_000_000), (0, 0));
            }
            for edge in [before, after] {
                let second = Level::Second.period_start(edge.from);
                prop_assert!(edge.is_empty() || edge.to <= second + 1_000_000);
                prop_assert!(edge.to - edge.from < 1_000_000);
            }
        }

        #[test]
        fn joined_spans_cover_the_same_moments(spans in prop::collection::vec((0i64..50, 0i64..10), 0..8)) {
            let spans: Vec<_> = spans.into_iter().map(|(from, length)| Span { from, to: from + length }).collect();
            let joined = joined(spans.clone());
            for moment in 0..60 {
                let holds = |span: &Span| span.from <= moment && moment < span.to;
                prop_assert_eq!(spans.iter().any(holds), joined.iter().filter(|span| holds(span)).count() == 1);
            }
            prop_assert!(joined.windows(2).all(|pair| pair[0].to < pair[1].from));
        }
    }
}

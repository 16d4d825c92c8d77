//! Decides which readings of a sensor share a chunk: consecutive readings at about the usual interval.
//!
//! History may arrive in any order. If a chunk held readings from both sides of a gap, all later readings in the gap would lie
//! inside this chunk, and each of these readings would rewrite the chunk.

use crate::readings::Point;
use crate::readings::embedded::format::chunks::Chunk;
use crate::readings::embedded::format::points::position;
use crate::readings::embedded::options::EmbeddedOptions;

/// A run that closes a gap may rewrite more readings than the run has: at most this many times as many.
const GAP_CLOSING_FACTOR: usize = 16;

/// The first and the last timestamp of readings of a sensor, and their number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    first: i64,
    last: i64,
    pub(crate) count: usize,
}

impl Span {
    /// The span of points in order of time; `None` without points.
    pub(crate) fn of(points: &[Point]) -> Option<Self> {
        Some(Self {
            first: points.first()?.timestamp.micros(),
            last: points.last()?.timestamp.micros(),
            count: points.len(),
        })
    }

    /// Whether the gap to a later span is so short that both belong together. The interval of the larger span estimates the number
    /// of missing readings in the gap.
    fn is_adjacent_to(self, later: Self, options: &EmbeddedOptions) -> bool {
        let larger = if self.count < later.count {
            later
        } else {
            self
        };
        let steps = (larger.count - 1) as i128;
        let hole = i128::from(later.first) - i128::from(self.last);
        hole * steps < i128::from(larger.last - larger.first) * options.chunk_points_min as i128
    }
}

impl From<&Chunk> for Span {
    fn from(chunk: &Chunk) -> Self {
        Self {
            first: chunk.first.micros(),
            last: chunk.last.micros(),
            count: usize::try_from(chunk.stats.count()).unwrap_or(usize::MAX),
        }
    }
}

/// A chunk next to a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Neighbour {
    Previous,
    Next,
}

/// Chooses the adjacent chunk to merge a run with, if any.
///
/// A run is merged with a close chunk of at most the same number of readings. So a reading is rewritten only when its chunk
/// doubles. If the run closes a gap, no later run can follow there. Then the run is merged with the smaller neighbour, even if
/// this neighbour has many more readings.
pub(crate) fn merge_partner(
    before: Option<Span>,
    run: Span,
    after: Option<Span>,
    options: &EmbeddedOptions,
) -> Option<Neighbour> {
    if run.count >= options.chunk_points_max {
        return None;
    }
    let before = before.filter(|before| before.is_adjacent_to(run, options));
    let after = after.filter(|after| run.is_adjacent_to(*after, options));
    let closes = before.is_some() && after.is_some();
    let joins = |other: &Span| {
        other.count <= run.count
            || closes
                && (run.count < options.chunk_points_min
                    || other.count <= GAP_CLOSING_FACTOR * run.count
                        && other.count + run.count <= options.chunk_points_max)
    };
    let before = before
        .filter(joins)
        .map(|span| (span.count, Neighbour::Previous));
    let after = after
        .filter(joins)
        .map(|span| (span.count, Neighbour::Next));
    let smaller = before
        .into_iter()
        .chain(after)
        .min_by_key(|(count, _)| *count);
    smaller.map(|(_, side)| side)
}

/// Where points lie among the points of a chunk.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Placement {
    /// Interleaved, or in a gap no wider than the points need.
    Interleaved,
    /// At least half of the points in a single gap: the range of these points, and the index of the chunk point after the gap.
    InGap(std::ops::Range<usize>, usize),
}

/// Finds the place of points between the first and the last point of a chunk.
pub(crate) fn placement_of(
    points: &[Point],
    chunk: &[Point],
    options: &EmbeddedOptions,
) -> Placement {
    let (mut largest, mut hole) = ((0..0, 0), (0..0, 0));
    let mut at = 0;
    for (index, point) in points.iter().enumerate() {
        if chunk
            .get(at)
            .is_some_and(|next| next.timestamp < point.timestamp)
        {
            at += position(&chunk[at..], point.timestamp);
        }
        if chunk
            .get(at)
            .is_some_and(|next| next.timestamp == point.timestamp)
        {
            hole = (0..0, 0); // The point replaces a chunk point.
            continue;
        }
        if hole.1 != at || hole.0.end != index {
            hole = (index..index, at);
        }
        hole.0.end = index + 1;
        if hole.0.len() > largest.0.len() {
            largest = hole.clone();
        }
    }
    let (range, at) = largest;
    if range.len() * 2 < points.len() {
        return Placement::Interleaved;
    }
    let (left, right) = chunk.split_at(at);
    let (Some(left), Some(run), Some(right)) = (
        Span::of(left),
        Span::of(&points[range.clone()]),
        Span::of(right),
    ) else {
        return Placement::Interleaved;
    };
    let (joins_left, joins_right) = (
        left.is_adjacent_to(run, options),
        run.is_adjacent_to(right, options),
    );
    let stands_alone = !joins_left && !joins_right;
    if joins_left && joins_right || stands_alone && run.count < options.chunk_points_min {
        Placement::Interleaved
    } else {
        Placement::InGap(range, at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::readings::{Temperature, Timestamp};

    fn options() -> EmbeddedOptions {
        EmbeddedOptions {
            chunk_points_max: 100,
            chunk_points_min: 5,
            ..EmbeddedOptions::default()
        }
    }

    /// A reading per second, `count` readings.
    fn points(first: i64, count: i64) -> Vec<Point> {
        (first..first + count)
            .map(|second| Point {
                timestamp: Timestamp::from_micros(second * 1_000_000).unwrap(),
                temperature: Temperature::from_micro_degrees(second).unwrap(),
            })
            .collect()
    }

    fn span(first: i64, count: i64) -> Option<Span> {
        Span::of(&points(first, count))
    }

    fn merge_with(
        before: Option<Span>,
        run: Option<Span>,
        after: Option<Span>,
    ) -> Option<Neighbour> {
        merge_partner(before, run.unwrap(), after, &options())
    }

    #[test]
    fn a_run_joins_what_it_follows_if_that_is_no_longer() {
        assert_eq!(
            merge_with(span(0, 20), span(20, 20), span(900, 1)),
            Some(Neighbour::Previous)
        );
        assert_eq!(merge_with(span(0, 21), span(21, 20), span(900, 1)), None);
    }

    #[test]
    fn a_run_joins_what_follows_it_if_that_is_no_longer() {
        assert_eq!(
            merge_with(None, span(0, 20), span(20, 10)),
            Some(Neighbour::Next)
        );
        assert_eq!(merge_with(None, span(0, 20), span(20, 40)), None);
    }

    #[test]
    fn a_run_joins_nothing_across_a_hole() {
        assert_eq!(merge_with(span(0, 20), span(30, 20), span(60, 20)), None);
    }

    #[test]
    fn a_run_that_closes_a_hole_joins_the_smaller_side() {
        assert_eq!(
            merge_with(span(0, 70), span(70, 10), span(80, 60)),
            Some(Neighbour::Next)
        );
    }

    #[test]
    fn a_run_as_long_as_a_chunk_joins_nothing() {
        assert_eq!(merge_with(span(0, 5), span(5, 100), span(105, 5)), None);
    }

    #[test]
    fn points_fall_into_the_hole_that_takes_half_of_them() {
        let mut chunk = points(0, 20);
        chunk.extend(points(1_000, 20));
        let mut late = points(3, 1);
        late.extend(points(20, 10));
        late.extend(points(1_004, 2));
        assert_eq!(
            placement_of(&late, &chunk, &options()),
            Placement::InGap(1..11, 20)
        );
    }

    #[test]
    fn points_that_a_chunk_lacks_here_and_there_fall_among_its_own() {
        let chunk: Vec<_> = points(0, 40).into_iter().step_by(2).collect();
        let late: Vec<_> = points(1, 38).into_iter().step_by(2).collect();
        assert_eq!(
            placement_of(&late, &chunk, &options()),
            Placement::Interleaved
        );
        assert_eq!(
            placement_of(&points(4, 1), &chunk, &options()),
            Placement::Interleaved
        );
    }
}

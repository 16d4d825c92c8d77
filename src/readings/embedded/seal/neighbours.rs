//! Which readings of a sensor belong in one chunk: those that follow one another about as closely as the others do.
//!
//! History may come in any order. Were readings from both ends of a hole in one chunk, all that later fills the hole would lie
//! inside that chunk, and rewrite it every time.

use crate::readings::Point;
use crate::readings::embedded::format::chunks::Chunk;
use crate::readings::embedded::format::points::position;
use crate::readings::embedded::options::EmbeddedOptions;

/// How many times as many readings as it has itself a run that closes a hole may rewrite.
const CLOSING_FACTOR: usize = 16;

/// When some readings of a sensor begin and end, and how many there are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    first: i64,
    last: i64,
    pub(crate) count: usize,
}

impl Span {
    /// That of points in order of time; `None` when there are none.
    pub(crate) fn of(points: &[Point]) -> Option<Self> {
        Some(Self {
            first: points.first()?.timestamp.micros(),
            last: points.last()?.timestamp.micros(),
            count: points.len(),
        })
    }

    /// Whether so few readings are missing between these and later ones that they stand together. What is missing is
    /// guessed from the pace of the larger one.
    fn is_next_to(self, later: Self, options: &EmbeddedOptions) -> bool {
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

/// One of the chunks on both sides of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Before,
    After,
}

/// With which of the chunks around it a run should be merged, if with any.
///
/// With one that follows closely and is no longer than itself: so a reading is rewritten only when what it stands in doubles.
/// Where no hole is left on either side no later run can make up for it, and it goes to the smaller one even if that is
/// a good deal longer.
pub(crate) fn to_merge_with(
    before: Option<Span>,
    run: Span,
    after: Option<Span>,
    options: &EmbeddedOptions,
) -> Option<Side> {
    if run.count >= options.chunk_points_max {
        return None;
    }
    let before = before.filter(|before| before.is_next_to(run, options));
    let after = after.filter(|after| run.is_next_to(*after, options));
    let closes = before.is_some() && after.is_some();
    let joins = |other: &Span| {
        other.count <= run.count
            || closes
                && (run.count < options.chunk_points_min
                    || other.count <= CLOSING_FACTOR * run.count
                        && other.count + run.count <= options.chunk_points_max)
    };
    let before = before.filter(joins).map(|span| (span.count, Side::Before));
    let after = after.filter(joins).map(|span| (span.count, Side::After));
    let smaller = before
        .into_iter()
        .chain(after)
        .min_by_key(|(count, _)| *count);
    smaller.map(|(_, side)| side)
}

/// How points come to lie when others fall between those of a chunk.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fall {
    /// Here and there, or into a hole that is no wider than they need.
    Among,
    /// Half of them or more into one hole: the range of them that does, and before which point of the chunk.
    IntoHole(std::ops::Range<usize>, usize),
}

/// Looks where points fall that lie between the ends of a chunk.
pub(crate) fn fall_of(points: &[Point], chunk: &[Point], options: &EmbeddedOptions) -> Fall {
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
            hole = (0..0, 0); // It replaces one.
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
        return Fall::Among;
    }
    let (left, right) = chunk.split_at(at);
    let (Some(left), Some(run), Some(right)) = (
        Span::of(left),
        Span::of(&points[range.clone()]),
        Span::of(right),
    ) else {
        return Fall::Among;
    };
    let (joins_left, joins_right) = (
        left.is_next_to(run, options),
        run.is_next_to(right, options),
    );
    let stands_alone = !joins_left && !joins_right;
    if joins_left && joins_right || stands_alone && run.count < options.chunk_points_min {
        Fall::Among
    } else {
        Fall::IntoHole(range, at)
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

    /// One reading a second, `count` of them.
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

    fn merge_with(before: Option<Span>, run: Option<Span>, after: Option<Span>) -> Option<Side> {
        to_merge_with(before, run.unwrap(), after, &options())
    }

    #[test]
    fn a_run_joins_what_it_follows_if_that_is_no_longer() {
        assert_eq!(
            merge_with(span(0, 20), span(20, 20), span(900, 1)),
            Some(Side::Before)
        );
        assert_eq!(merge_with(span(0, 21), span(21, 20), span(900, 1)), None);
    }

    #[test]
    fn a_run_joins_what_follows_it_if_that_is_no_longer() {
        assert_eq!(
            merge_with(None, span(0, 20), span(20, 10)),
            Some(Side::After)
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
            Some(Side::After)
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
            fall_of(&late, &chunk, &options()),
            Fall::IntoHole(1..11, 20)
        );
    }

    #[test]
    fn points_that_a_chunk_lacks_here_and_there_fall_among_its_own() {
        let chunk: Vec<_> = points(0, 40).into_iter().step_by(2).collect();
        let late: Vec<_> = points(1, 38).into_iter().step_by(2).collect();
        assert_eq!(fall_of(&late, &chunk, &options()), Fall::Among);
        assert_eq!(fall_of(&points(4, 1), &chunk, &options()), Fall::Among);
    }
}

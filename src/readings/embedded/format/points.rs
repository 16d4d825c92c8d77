//! Searches, cuts and merges sequences of points in strictly ascending order of time. Pure functions.

use crate::readings::{Point, Timestamp, Window};

/// The index of the first point at or after a timestamp.
pub(crate) fn position(points: &[Point], timestamp: Timestamp) -> usize {
    points.partition_point(|point| point.timestamp < timestamp)
}

/// The points inside a window.
pub(crate) fn within(points: &[Point], window: Window) -> &[Point] {
    let start = window.from.map_or(0, |from| position(points, from));
    let end = window.to.map_or(points.len(), |to| position(points, to));
    points.get(start..end).unwrap_or_default()
}

/// Merges two sequences. Where both have a point at a timestamp, the result has the point of `over`.
pub(crate) fn merge(under: &[Point], over: &[Point]) -> Vec<Point> {
    let mut merged = Vec::with_capacity(under.len() + over.len());
    let mut under = under.iter().peekable();
    for point in over {
        while let Some(earlier) = under.next_if(|under| under.timestamp < point.timestamp) {
            merged.push(*earlier);
        }
        under.next_if(|under| under.timestamp == point.timestamp);
        merged.push(*point);
    }
    merged.extend(under);
    merged
}

/// Merges points into a sequence. A point replaces the point at the same timestamp.
pub(crate) fn put_into(tail: &mut Vec<Point>, points: &[Point]) {
    let Some(first) = points.first() else { return };
    if tail
        .last()
        .is_none_or(|last| last.timestamp < first.timestamp)
    {
        tail.extend_from_slice(points);
    } else if let [point] = points {
        let at = position(tail, point.timestamp);
        match tail.get_mut(at) {
            Some(found) if found.timestamp == point.timestamp => *found = *point,
            _ => tail.insert(at, *point),
        }
    } else {
        let at = position(tail, first.timestamp);
        let merged = merge(&tail[at..], points);
        tail.truncate(at);
        tail.extend_from_slice(&merged);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::readings::Temperature;

    fn points(values: &BTreeMap<i64, i64>) -> Vec<Point> {
        values
            .iter()
            .map(|(&at, &value)| Point {
                timestamp: Timestamp::from_micros(at).unwrap(),
                temperature: Temperature::from_micro_degrees(value).unwrap(),
            })
            .collect()
    }

    fn values() -> impl Strategy<Value = BTreeMap<i64, i64>> {
        prop::collection::btree_map(0i64..40, -50i64..50, 0..20)
    }

    proptest! {
        #[test]
        fn merging_is_the_union_with_the_upper_one_standing(under in values(), over in values()) {
            let mut union = under.clone();
            union.extend(&over);
            prop_assert_eq!(merge(&points(&under), &points(&over)), points(&union));
        }

        #[test]
        fn within_keeps_what_the_window_contains(all in values(), from in prop::option::of(0i64..40), to in prop::option::of(0i64..40)) {
            let window = Window { from: from.and_then(Timestamp::from_micros), to: to.and_then(Timestamp::from_micros) };
            let all = points(&all);
            let expected: Vec<_> = all.iter().copied().filter(|point| window.contains(point.timestamp)).collect();
            prop_assert_eq!(within(&all, window), expected.as_slice());
        }
    }
}

//! A sensor's tail: the readings that are not sealed.

use std::ops::Deref;
use std::sync::Arc;

use crate::readings::Point;
use crate::readings::embedded::format::points;

/// Points in strictly ascending order of time. Readers share the points; the writer copies the points on a change while a reader
/// still holds them. In a large fleet most tails have at most one point; such a tail takes no extra memory.
#[derive(Clone, Debug, Default)]
pub(crate) enum Tail {
    #[default]
    Empty,
    One(Point),
    Many(Arc<Vec<Point>>),
}

impl Deref for Tail {
    type Target = [Point];

    fn deref(&self) -> &[Point] {
        match self {
            Self::Empty => &[],
            Self::One(point) => std::slice::from_ref(point),
            Self::Many(points) => points,
        }
    }
}

impl From<&[Point]> for Tail {
    fn from(points: &[Point]) -> Self {
        match points {
            [] => Self::Empty,
            [point] => Self::One(*point),
            points => Self::Many(Arc::new(points.to_vec())),
        }
    }
}

impl Tail {
    /// Adds points in ascending order of time. A point replaces the point at the same timestamp.
    pub(crate) fn put(&mut self, points: &[Point]) {
        match self {
            Self::Empty => *self = points.into(),
            Self::One(point) => *self = points::merge(&[*point], points).as_slice().into(),
            Self::Many(tail) => points::put_into(Arc::make_mut(tail), points),
        }
    }

    /// Drops the first `count` points.
    pub(crate) fn drop_first(&mut self, count: usize) {
        let left = self.len().saturating_sub(count);
        match self {
            Self::Many(tail) if left > 1 => {
                let tail = Arc::make_mut(tail);
                tail.drain(..count);
                tail.shrink_to(2 * tail.len());
            }
            _ => *self = self[self.len() - left..].into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::readings::{Temperature, Timestamp};

    #[derive(Clone, Debug)]
    enum Step {
        Put(BTreeMap<i64, i64>),
        Drop(usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            3 => prop::collection::btree_map(0i64..30, -5i64..5, 0..4).prop_map(Step::Put),
            1 => (0usize..5).prop_map(Step::Drop),
        ];
        prop::collection::vec(step, 0..20)
    }

    fn points(values: &BTreeMap<i64, i64>) -> Vec<Point> {
        let point = |(&at, &value): (&i64, &i64)| Point {
            timestamp: Timestamp::from_micros(at).unwrap(),
            temperature: Temperature::from_micro_degrees(value).unwrap(),
        };
        values.iter().map(point).collect()
    }

    proptest! {
        #[test]
        fn a_tail_is_a_map_by_time_whatever_is_put_and_dropped(steps in steps()) {
            let mut tail = Tail::default();
            let mut map = BTreeMap::new();
            for step in steps {
                let before = (tail.clone(), points(&map));
                match step {
                    Step::Put(values) => {
                        tail.put(&points(&values));
                        map.extend(values);
                    }
                    Step::Drop(count) => {
                        tail.drop_first(count);
                        map = map.into_iter().skip(count).collect();
                    }
                }
                prop_assert_eq!(tail.to_vec(), points(&map));
                prop_assert_eq!(before.0.to_vec(), before.1, "what a reader holds has changed");
            }
        }
    }
}

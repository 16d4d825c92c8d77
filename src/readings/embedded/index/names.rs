//! The ids of all sensors: found by number, by id, and in order. Each id takes a few bytes beside the text.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::id_list::IdList;
use super::order::IdOrder;
use crate::readings::SensorId;

/// Ids and their numbers. The first number is 0.
#[derive(Debug, Default)]
pub(crate) struct Names {
    list: IdList,
    lookup: NumbersById,
    order: IdOrder,
}

/// Numbers by id.
#[derive(Debug, Default)]
struct NumbersById {
    numbers: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl NumbersById {
    fn of(list: &IdList) -> Self {
        let mut lookup = Self::default();
        let hash = |number: &u32| lookup.hasher.hash_one(list.get(*number));
        lookup.numbers.reserve(list.len(), hash);
        for number in 0..list.len() as u32 {
            lookup.numbers.insert_unique(hash(&number), number, hash);
        }
        lookup
    }

    fn add(&mut self, number: u32, list: &IdList) {
        let hash = |number: &u32| self.hasher.hash_one(list.get(*number));
        self.numbers.insert_unique(hash(&number), number, hash);
    }

    fn number(&self, id: &str, list: &IdList) -> Option<u32> {
        let hash = self.hasher.hash_one(id);
        let found = self.numbers.find(hash, |&number| list.get(number) == id);
        found.copied()
    }
}

impl Names {
    /// Indexes many distinct ids at once, on two threads.
    pub(crate) fn of(list: IdList) -> Self {
        let (lookup, order) = std::thread::scope(|scope| {
            let order = scope.spawn(|| IdOrder::of(&list));
            let lookup = NumbersById::of(&list);
            // Propagate a panic.
            let order = order
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            (lookup, order)
        });
        Self {
            list,
            lookup,
            order,
        }
    }

    /// The id with a number.
    pub(crate) fn id(&self, number: u32) -> SensorId {
        SensorId::of_checked(self.list.get(number))
    }

    pub(crate) fn number(&self, id: &str) -> Option<u32> {
        self.lookup.number(id, &self.list)
    }

    /// Adds a new id. Returns the number of the id.
    pub(crate) fn add(&mut self, id: &SensorId) -> u32 {
        let number = self.list.push(id.as_str());
        self.lookup.add(number, &self.list);
        self.order.insert(number, &self.list);
        number
    }

    /// The numbers in order of their ids (as bytes), after the id `after`.
    pub(crate) fn ordered_after(&self, after: Option<&SensorId>) -> impl Iterator<Item = u32> {
        self.order.after(after.map(SensorId::as_str), &self.list)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn ids() -> impl Strategy<Value = Vec<SensorId>> {
        let text = "(sensor-)?[a-cé]{1,3}([0-9]{0,20})";
        prop::collection::btree_set(text, 0..60)
            .prop_map(|texts| {
                texts
                    .iter()
                    .map(|text| SensorId::new(text).unwrap())
                    .collect::<Vec<_>>()
            })
            .prop_shuffle()
    }

    proptest! {
        #[test]
        fn names_are_found_by_number_by_id_and_in_order(ids in ids(), at_once in 0usize..60, after in "[a-s]{0,3}") {
            let (first, rest) = ids.split_at(at_once.min(ids.len()));
            let mut list = IdList::default();
            for id in first {
                list.push(id.as_str());
            }
            let mut names = Names::of(list);
            for id in rest {
                prop_assert_eq!(names.number(id.as_str()), None);
                names.add(id);
            }
            let expected: BTreeMap<&str, u32> = ids.iter().map(SensorId::as_str).zip(0..).collect();
            for (&id, &number) in &expected {
                prop_assert_eq!(names.number(id), Some(number));
                let found = names.id(number);
                prop_assert_eq!(found.as_str(), id);
            }
            prop_assert!(names.ordered_after(None).eq(expected.values().copied()));
            if let Ok(after) = SensorId::new(&after) {
                let expected = expected.iter().filter(|(id, _)| **id > after.as_str()).map(|(_, number)| *number);
                prop_assert!(names.ordered_after(Some(&after)).eq(expected));
            }
        }
    }
}

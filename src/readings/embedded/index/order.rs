//! Numbers in the order of their ids. An insertion is cheap, however many numbers there are.

use super::id_list::IdList;

/// The largest number of entries in a block. An insertion moves half a block on average.
const BLOCK_MAX: usize = 1024;

/// Numbers in order of their ids, in blocks. No block is empty.
#[derive(Debug, Default)]
pub(crate) struct IdOrder {
    blocks: Vec<Vec<u32>>,
}

impl IdOrder {
    /// Orders all numbers of a list of distinct ids.
    pub(crate) fn of(list: &IdList) -> Self {
        let shared = shared_prefix(list);
        // Comparing the leading bytes avoids two memory accesses in nearly each comparison.
        let mut keys: Vec<(u128, u32)> = (0..list.len() as u32)
            .map(|number| (leading(&list.get(number).as_bytes()[shared..]), number))
            .collect();
        keys.sort_unstable_by(|(key, number), (other_key, other)| {
            key.cmp(other_key)
                .then_with(|| list.get(*number).cmp(list.get(*other)))
        });
        let blocks = keys.chunks(BLOCK_MAX / 2);
        Self {
            blocks: blocks
                .map(|block| block.iter().map(|(_, number)| *number).collect())
                .collect(),
        }
    }

    /// Adds a number with a new id.
    pub(crate) fn insert(&mut self, number: u32, list: &IdList) {
        let id = list.get(number);
        let after = self.blocks.partition_point(|block| {
            let first = block.first();
            first.is_some_and(|&first| list.get(first) < id)
        });
        let at = after.saturating_sub(1);
        let Some(block) = self.blocks.get_mut(at) else {
            self.blocks.push(vec![number]);
            return;
        };
        let place = block.partition_point(|&other| list.get(other) < id);
        block.insert(place, number);
        if block.len() > BLOCK_MAX {
            // Ids often arrive in ascending order. This split leaves a full block behind.
            let keep = if place + 1 == block.len() {
                place
            } else {
                BLOCK_MAX / 2
            };
            let upper = block.split_off(keep);
            self.blocks.insert(at + 1, upper);
        }
    }

    /// The numbers in order, after an id.
    pub(crate) fn after(&self, id: Option<&str>, list: &IdList) -> impl Iterator<Item = u32> {
        let is_passed = |number: &u32| id.is_some_and(|id| list.get(*number) <= id);
        let block = self
            .blocks
            .partition_point(|block| block.last().is_some_and(is_passed));
        let rest = self.blocks.get(block..).unwrap_or_default();
        let passed = rest
            .first()
            .map_or(0, |block| block.partition_point(is_passed));
        rest.iter().flatten().skip(passed).copied()
    }
}

/// The length in bytes of the common prefix of all ids. Ends at a character boundary in all ids or in none.
fn shared_prefix(list: &IdList) -> usize {
    let first = list.get(0).as_bytes();
    (1..list.len() as u32).fold(first.len(), |shared, number| {
        let id = list.get(number).as_bytes();
        let alike = first.iter().zip(id).take(shared);
        alike.take_while(|(one, other)| one == other).count()
    })
}

/// The leading bytes as a number with the same order. Shorter texts come first.
fn leading(bytes: &[u8]) -> u128 {
    let mut leading = [0; 16];
    for (to, from) in leading.iter_mut().zip(bytes) {
        *to = *from;
    }
    u128::from_be_bytes(leading)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collect(order: &IdOrder, list: &IdList) -> Vec<u32> {
        order.after(None, list).collect()
    }

    #[test]
    fn thousands_of_numbers_are_in_order_however_they_come() {
        let mut list = IdList::default();
        let count: u32 = 5_000;
        // A permutation: 7919 and 5000 have no common divisor.
        for n in 0..count {
            list.push(&format!("sensor-{:04}", n * 7_919 % count));
        }
        let at_once = IdOrder::of(&list);
        let mut one_by_one = IdOrder::default();
        for number in 0..count {
            one_by_one.insert(number, &list);
        }
        let mut expected: Vec<u32> = (0..count).collect();
        expected.sort_by_key(|&number| list.get(number));
        assert_eq!(collect(&at_once, &list), expected);
        assert_eq!(collect(&one_by_one, &list), expected);
        let after: Vec<_> = one_by_one.after(Some("sensor-4997"), &list).collect();
        assert_eq!(after, expected[4_998..]);
    }

    #[test]
    fn an_id_that_begins_another_comes_before_it() {
        let mut list = IdList::default();
        for id in ["b", "ab", "a", "a\u{1}", "abc"] {
            list.push(id);
        }
        assert_eq!(collect(&IdOrder::of(&list), &list), [2, 3, 1, 4, 0]);
    }
}

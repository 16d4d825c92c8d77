//! The texts that order items: moments, cells, extremes. All of them sort as what they stand for.

use xxhash_rust::xxh3::xxh3_64;

use crate::readings::{SensorId, Temperature, Timestamp};

/// Stands between a sensor's id and what follows it: below every character that an id may hold, so that ids keep their order.
const SEPARATOR: char = '\t';

/// Sorts after everything of a sensor, and before everything of the next.
const AFTER: char = '\n';

/// How many partitions the cells of the sensors are spread over.
pub(crate) const SHARDS: u8 = 16;

/// The partition of what concerns all readings.
pub(crate) const TOTAL: &str = "total";
/// The partition of the replicas' slots.
pub(crate) const SLOTS: &str = "slots";
/// The partition that orders sensors by their lowest readings.
pub(crate) const MINIMUM: &str = "minimum";
/// The partition that orders sensors by their highest readings.
pub(crate) const MAXIMUM: &str = "maximum";
/// The cell in [`TOTAL`] that says whether the aggregates can be believed. Sorts before all the others.
pub(crate) const STATE: &str = "!";

/// A moment as a key: ISO 8601 in UTC without an offset, with six digits of a fraction unless it is zero. That is what
/// Python's `isoformat` writes, and it sorts by time.
pub(crate) fn moment(timestamp: Timestamp) -> String {
    let mut text = timestamp.to_string();
    text.pop();
    if let Some(point) = text.find('.') {
        while text.len() < point + 7 {
            text.push('0');
        }
    }
    text
}

/// The partition of a sensor's cells.
pub(crate) fn shard_of(sensor: &str) -> String {
    shard((xxh3_64(sensor.as_bytes()) % u64::from(SHARDS)) as u8)
}

/// The partition with this number.
pub(crate) fn shard(number: u8) -> String {
    format!("sensors#{number:02x}")
}

/// The cell of a sensor that says in which order it was changed by replacements.
pub(crate) fn guard(sensor: &str) -> String {
    format!("{sensor}{SEPARATOR}")
}

/// The cell of a sensor in a replica's slot.
pub(crate) fn cell(sensor: &str, slot: &str) -> String {
    format!("{sensor}{SEPARATOR}{slot}")
}

/// The sensor and the slot of a cell's key; the slot is empty for the guard.
pub(crate) fn split_cell(key: &str) -> Option<(&str, &str)> {
    key.split_once(SEPARATOR)
}

/// A key after everything of a sensor.
pub(crate) fn after(sensor: &SensorId) -> String {
    format!("{sensor}{AFTER}")
}

/// The key of a lane: one of the sequences of transactions of a slot.
pub(crate) fn lane(slot: &str, lane: usize) -> String {
    format!("{slot}.{lane}")
}

/// The name of a slot. Sorts as the number does.
pub(crate) fn slot(number: u32) -> String {
    format!("r{number:03}")
}

/// The key of an extreme: sorts by temperature.
pub(crate) fn extreme(micro_degrees: i64, sensor: &str, slot: &str) -> String {
    let above_lowest = micro_degrees - Temperature::MIN.micro_degrees();
    format!("{above_lowest:014}{SEPARATOR}{sensor}{SEPARATOR}{slot}")
}

/// The temperature of an extreme's key.
pub(crate) fn extreme_temperature(key: &str) -> Option<i64> {
    let digits = key.split(SEPARATOR).next()?;
    let above_lowest: i64 = digits.parse().ok()?;
    above_lowest.checked_add(Temperature::MIN.micro_degrees())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn moments_are_as_existing_data_has_them() {
        for (text, key) in [
            ("2026-11-20T13:00:00Z", "2026-11-20T13:00:00"),
            ("2026-11-20T13:00:00.5Z", "2026-11-20T13:00:00.500000"),
            ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00"),
        ] {
            assert_eq!(moment(text.parse().unwrap()), key);
        }
    }

    #[test]
    fn a_sensor_whose_id_begins_another_comes_first() {
        let mut keys = [
            cell("a", "r9"),
            cell("a b", "r1"),
            guard("a"),
            cell("ab", "r1"),
        ];
        keys.sort();
        assert_eq!(
            keys,
            [
                guard("a"),
                cell("a", "r9"),
                cell("a b", "r1"),
                cell("ab", "r1")
            ]
        );
        let sensor = SensorId::new("a").unwrap();
        assert!(cell("a", "r9") < after(&sensor) && after(&sensor) < cell("a b", ""));
        assert_eq!(split_cell(&keys[1]), Some(("a", "r9")));
    }

    proptest! {
        #[test]
        fn moments_sort_by_time_and_come_back(
            a in Timestamp::MIN.micros()..=Timestamp::MAX.micros(), step in 0i64..3_000_000,
        ) {
            let of = |micros| Timestamp::from_micros(micros).unwrap();
            let b = (a + step).min(Timestamp::MAX.micros());
            prop_assert_eq!(moment(of(a)).cmp(&moment(of(b))), a.cmp(&b));
            prop_assert_eq!(moment(of(a)).parse::<Timestamp>().unwrap(), of(a));
        }

        #[test]
        fn extremes_sort_by_temperature(a in -273_150_000i64..=1_000_000_000_000, b in -273_150_000i64..=1_000_000_000_000) {
            let (left, right) = (extreme(a, "z", "r1"), extreme(b, "a", "r2"));
            prop_assert_eq!(extreme_temperature(&left), Some(a));
            if a != b {
                prop_assert_eq!(left.cmp(&right), a.cmp(&b));
            }
        }
    }
}

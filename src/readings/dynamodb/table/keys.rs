//! The keys of the items: timestamps, aggregates, extremes. Keys sort in the order of their values.

use xxhash_rust::xxh3::xxh3_64;

use crate::readings::{SensorId, Temperature, Timestamp};

/// Separates a sensor's id from the rest of the key. The separator sorts below every character of an id, so keys sort as ids do.
const SEPARATOR: char = '\t';

/// Sorts after every key of a sensor, and before every key of the next sensor.
const AFTER: char = '\n';

/// How many partitions the aggregates of the sensors are spread over.
pub(crate) const SENSOR_PARTITIONS: u8 = 16;

/// The partition of the write shards.
pub(crate) const TOTAL: &str = "total";
/// The partition of the leases.
pub(crate) const LEASES: &str = "slots";
/// The partition that orders sensors by their lowest readings.
pub(crate) const MINIMUM: &str = "minimum";
/// The partition that orders sensors by their highest readings.
pub(crate) const MAXIMUM: &str = "maximum";
/// The key in [`TOTAL`] of the state of the aggregates. Sorts before all write shards.
pub(crate) const STATE: &str = "!";

/// A timestamp as a key: ISO 8601 in UTC without an offset, with six digits of a fraction unless the fraction is zero. Python's
/// `isoformat` writes the same form. The keys sort by time.
pub(crate) fn timestamp(timestamp: Timestamp) -> String {
    let mut text = timestamp.to_string();
    text.pop();
    if let Some(point) = text.find('.') {
        while text.len() < point + 7 {
            text.push('0');
        }
    }
    text
}

/// The partition of a sensor's aggregates.
pub(crate) fn partition_of(sensor: &str) -> String {
    partition((xxh3_64(sensor.as_bytes()) % u64::from(SENSOR_PARTITIONS)) as u8)
}

/// The partition with a number.
pub(crate) fn partition(number: u8) -> String {
    format!("sensors#{number:02x}")
}

/// The key of a sensor's replacement version.
pub(crate) fn replacement_version(sensor: &str) -> String {
    format!("{sensor}{SEPARATOR}")
}

/// The key of a sensor's partial aggregate in a lease.
pub(crate) fn partial_aggregate(sensor: &str, lease: &str) -> String {
    format!("{sensor}{SEPARATOR}{lease}")
}

/// The sensor and the lease in a key; the lease is empty for the replacement version.
pub(crate) fn split_partial_aggregate(key: &str) -> Option<(&str, &str)> {
    key.split_once(SEPARATOR)
}

/// A key after every key of a sensor.
pub(crate) fn after_sensor(sensor: &SensorId) -> String {
    format!("{sensor}{AFTER}")
}

/// The key of a write shard of a lease.
pub(crate) fn write_shard(lease: &str, shard: usize) -> String {
    format!("{lease}.{shard}")
}

/// The name of a lease. Names sort as the numbers do.
pub(crate) fn lease(number: u32) -> String {
    format!("r{number:03}")
}

/// The key of an extreme. Keys sort by temperature.
pub(crate) fn extreme(micro_degrees: i64, sensor: &str, lease: &str) -> String {
    let above_lowest = micro_degrees - Temperature::MIN.micro_degrees();
    format!("{above_lowest:014}{SEPARATOR}{sensor}{SEPARATOR}{lease}")
}

/// The temperature in the key of an extreme.
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
    fn timestamps_have_the_form_of_existing_data() {
        for (text, key) in [
            ("2026-11-20T13:00:00Z", "2026-11-20T13:00:00"),
            ("2026-11-20T13:00:00.5Z", "2026-11-20T13:00:00.500000"),
            ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00"),
        ] {
            assert_eq!(timestamp(text.parse().unwrap()), key);
        }
    }

    #[test]
    fn a_sensor_whose_id_begins_another_comes_first() {
        let mut keys = [
            partial_aggregate("a", "r9"),
            partial_aggregate("a b", "r1"),
            replacement_version("a"),
            partial_aggregate("ab", "r1"),
        ];
        keys.sort();
        assert_eq!(
            keys,
            [
                replacement_version("a"),
                partial_aggregate("a", "r9"),
                partial_aggregate("a b", "r1"),
                partial_aggregate("ab", "r1")
            ]
        );
        let sensor = SensorId::new("a").unwrap();
        assert!(
            partial_aggregate("a", "r9") < after_sensor(&sensor)
                && after_sensor(&sensor) < partial_aggregate("a b", "")
        );
        assert_eq!(split_partial_aggregate(&keys[1]), Some(("a", "r9")));
    }

    proptest! {
        #[test]
        fn timestamps_sort_by_time_and_parse_back(
            a in Timestamp::MIN.micros()..=Timestamp::MAX.micros(), step in 0i64..3_000_000,
        ) {
            let of = |micros| Timestamp::from_micros(micros).unwrap();
            let b = (a + step).min(Timestamp::MAX.micros());
            prop_assert_eq!(timestamp(of(a)).cmp(&timestamp(of(b))), a.cmp(&b));
            prop_assert_eq!(timestamp(of(a)).parse::<Timestamp>().unwrap(), of(a));
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

//! The items of the two tables, as attributes and as values.
//!
//! The attributes keep the names of the first version of this program, because tables with them exist. So the range key of the
//! aggregation table is `cell`, the replacement version is `g`, an attempt id is `mark`, and the write shards of an aggregate are
//! `w0` to `w3`.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;

use super::keys;
use crate::error::{StoreError, StoreErrorKind};
use crate::readings::{SensorId, Stats, Temperature, Timestamp};

/// The attributes of an item.
pub(crate) type Item = HashMap<String, AttributeValue>;

/// How many write shards a lease has.
pub(crate) const WRITE_SHARDS: usize = 4;

pub(crate) fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

pub(crate) fn number(value: impl ToString + Copy) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

pub(crate) fn get_text<'a>(item: &'a Item, name: &str) -> Option<&'a str> {
    item.get(name)?.as_s().ok().map(String::as_str)
}

pub(crate) fn get_number<T: std::str::FromStr>(item: &Item, name: &str) -> Option<T> {
    item.get(name)?.as_n().ok()?.parse().ok()
}

/// The error for an item from another program.
pub(crate) fn damaged(what: &str) -> StoreError {
    StoreError::new(
        StoreErrorKind::Damaged,
        format!(
            "{what} cannot be read; `fieldstation dynamodb recount` derives the aggregates again"
        ),
    )
}

/// The transaction that wrote a reading: the write shard, and the sequence number in the write shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) shard: String,
    pub(crate) number: u64,
}

impl Written {
    fn parse(text: &str) -> Option<Self> {
        let (shard, number) = text.rsplit_once('#')?;
        Some(Self {
            shard: shard.to_owned(),
            number: number.parse().ok()?,
        })
    }

    pub(crate) fn to_text(&self) -> String {
        format!("{}#{}", self.shard, self.number)
    }
}

/// A stored reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredReading {
    pub(crate) temperature: Temperature,
    /// The transaction that wrote the reading; `None` for readings of another program.
    pub(crate) written: Option<Written>,
    /// How many times the reading of this timestamp was written.
    pub(crate) version: u64,
    /// The replaced temperature, and the transaction that wrote the replaced temperature: for reads that began before the
    /// replacement.
    pub(crate) before: Option<(Temperature, Option<Written>)>,
}

impl StoredReading {
    /// Reads an item. The timestamp is in the key of the item.
    pub(crate) fn from_item(item: &Item) -> Option<Self> {
        let degrees = |name: &str| -> Option<Temperature> {
            match item.get(name)? {
                AttributeValue::N(text) | AttributeValue::S(text) => text.parse().ok(),
                _ => None,
            }
        };
        let written = |name: &str| get_text(item, name).and_then(Written::parse);
        Some(Self {
            temperature: degrees("temperature")?,
            written: written("w"),
            version: get_number(item, "n").unwrap_or(1),
            before: degrees("p").map(|temperature| (temperature, written("pw"))),
        })
    }

    pub(crate) fn to_item(&self, sensor: &SensorId, timestamp: Timestamp) -> Item {
        let mut item = reading_key(sensor, timestamp);
        item.insert("temperature".to_owned(), number(self.temperature));
        if let Some(written) = &self.written {
            item.insert("w".to_owned(), text(written.to_text()));
        }
        if self.version > 1 {
            item.insert("n".to_owned(), number(self.version));
        }
        if let Some((temperature, written)) = &self.before {
            item.insert("p".to_owned(), number(temperature));
            if let Some(written) = written {
                item.insert("pw".to_owned(), text(written.to_text()));
            }
        }
        item
    }
}

pub(crate) fn reading_key(sensor: &SensorId, timestamp: Timestamp) -> Item {
    HashMap::from([
        ("sensor_id".to_owned(), text(sensor.as_str())),
        ("timestamp".to_owned(), text(keys::timestamp(timestamp))),
    ])
}

/// The key of an item of the aggregation table.
pub(crate) fn aggregate_key(period: impl Into<String>, aggregate: impl Into<String>) -> Item {
    HashMap::from([
        ("aggregation_period".to_owned(), text(period)),
        ("cell".to_owned(), text(aggregate)),
    ])
}

/// The statistics of a partial aggregate. Count and sum alone may match no set of readings: a replacement changes the aggregate of
/// the replica that replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PartialStats {
    pub(crate) count: u64,
    pub(crate) sum: i128,
    /// A lower bound of the aggregate's readings. The lowest bound of all aggregates of a sensor is exact.
    pub(crate) minimum: i64,
    /// An upper bound of the aggregate's readings. The highest bound of all aggregates of a sensor is exact.
    pub(crate) maximum: i64,
}

impl PartialStats {
    pub(crate) const EMPTY: Self = Self {
        count: 0,
        sum: 0,
        minimum: i64::MAX,
        maximum: i64::MIN,
    };

    pub(crate) fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.sum += other.sum;
        self.minimum = self.minimum.min(other.minimum);
        self.maximum = self.maximum.max(other.maximum);
    }

    pub(crate) fn widen(&mut self, micro_degrees: i64) {
        self.minimum = self.minimum.min(micro_degrees);
        self.maximum = self.maximum.max(micro_degrees);
    }

    pub(crate) fn stats(&self) -> Result<Stats, StoreError> {
        Stats::from_parts(self.count, self.sum, self.minimum, self.maximum)
            .ok_or_else(|| damaged("the statistics"))
    }
}

/// The part of a sensor's statistics from a single lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PartialAggregate {
    /// Grows with every write.
    pub(crate) version: u64,
    pub(crate) partial: PartialStats,
    pub(crate) first: Timestamp,
    pub(crate) last: Timestamp,
    /// The temperature at `last`, and the version of the reading.
    pub(crate) latest: Temperature,
    pub(crate) latest_version: u64,
    /// For each write shard, the sequence of the last transaction that changed this aggregate.
    pub(crate) shards: [u64; WRITE_SHARDS],
}

impl PartialAggregate {
    pub(crate) fn from_item(item: &Item) -> Option<Self> {
        let time = |name| get_text(item, name)?.parse().ok();
        let mut shards = [0; WRITE_SHARDS];
        for (shard, number) in shards.iter_mut().enumerate() {
            *number = get_number(item, &format!("w{shard}")).unwrap_or(0);
        }
        Some(Self {
            version: get_number(item, "v")?,
            partial: PartialStats {
                count: get_number(item, "readings")?,
                sum: get_number(item, "micro_degrees")?,
                minimum: get_number(item, "minimum")?,
                maximum: get_number(item, "maximum")?,
            },
            first: time("first")?,
            last: time("last")?,
            latest: Temperature::from_micro_degrees(get_number(item, "latest")?)?,
            latest_version: get_number(item, "latest_version").unwrap_or(1),
            shards,
        })
    }

    pub(crate) fn to_item(&self, sensor: &str, lease: &str) -> Item {
        let mut item = aggregate_key(
            keys::partition_of(sensor),
            keys::partial_aggregate(sensor, lease),
        );
        let mut put = |name: &str, value| item.insert(name.to_owned(), value);
        put("v", number(self.version));
        put("readings", number(self.partial.count));
        put("micro_degrees", number(self.partial.sum));
        put("minimum", number(self.partial.minimum));
        put("maximum", number(self.partial.maximum));
        put("first", text(keys::timestamp(self.first)));
        put("last", text(keys::timestamp(self.last)));
        put("latest", number(self.latest.micro_degrees()));
        put("latest_version", number(self.latest_version));
        for (shard, sequence) in self.shards.iter().enumerate() {
            if *sequence > 0 {
                put(&format!("w{shard}"), number(*sequence));
            }
        }
        item
    }
}

/// A write shard: a sequence of transactions of a lease, and their sums over all sensors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct WriteShard {
    /// The owner of the lease. Transactions of any other owner fail.
    pub(crate) owner: String,
    /// How many transactions the shard has committed.
    pub(crate) sequence: u64,
    /// The id of the attempt that committed the last transaction.
    pub(crate) attempt_id: String,
    /// The previous owner, with the sequence and the attempt id of this owner's last transaction.
    pub(crate) before: Option<(String, u64, String)>,
    pub(crate) count: u64,
    pub(crate) sum: i128,
    pub(crate) sensors: u64,
    /// How many times the shard changed an entry in the order of extremes.
    pub(crate) extremes: u64,
    /// How many times such a change retracted an extreme, as only replacements do.
    pub(crate) retracted_extremes: u64,
    /// The lowest and the highest temperature ever written by the shard, in micro-degrees, also if replaced since.
    pub(crate) observed_range: Option<(i64, i64)>,
}

impl WriteShard {
    /// Extends the range of temperatures written by the shard.
    pub(crate) fn observe(&mut self, micro_degrees: i64) {
        let (lowest, highest) = self
            .observed_range
            .unwrap_or((micro_degrees, micro_degrees));
        self.observed_range = Some((lowest.min(micro_degrees), highest.max(micro_degrees)));
    }

    pub(crate) fn from_item(item: &Item) -> Option<Self> {
        let owned = |name| get_text(item, name).map(str::to_owned);
        Some(Self {
            owner: owned("owner")?,
            sequence: get_number(item, "sequence")?,
            attempt_id: owned("mark").unwrap_or_default(),
            before: owned("owner_before").and_then(|owner| {
                let attempt_id = owned("mark_before").unwrap_or_default();
                Some((owner, get_number(item, "sequence_before")?, attempt_id))
            }),
            count: get_number(item, "readings").unwrap_or(0),
            sum: get_number(item, "micro_degrees").unwrap_or(0),
            sensors: get_number(item, "sensors").unwrap_or(0),
            extremes: get_number(item, "extremes").unwrap_or(0),
            retracted_extremes: get_number(item, "retreats").unwrap_or(0),
            observed_range: get_number(item, "lowest").zip(get_number(item, "highest")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_read_back_as_written() {
        let sensor = SensorId::new("a").unwrap();
        let time: Timestamp = "2026-11-20T13:00:00.25Z".parse().unwrap();
        let written = |number| {
            Some(Written {
                shard: "r001.2".to_owned(),
                number,
            })
        };
        let reading = StoredReading {
            temperature: "21.5".parse().unwrap(),
            written: written(7),
            version: 3,
            before: Some(("-3".parse().unwrap(), written(5))),
        };
        let item = reading.to_item(&sensor, time);
        assert_eq!(item["temperature"], number("21.5"));
        assert_eq!(StoredReading::from_item(&item), Some(reading));
        let aggregate = PartialAggregate {
            version: 9,
            partial: PartialStats {
                count: 2,
                sum: -5,
                minimum: -4,
                maximum: 3,
            },
            first: time,
            last: time,
            latest: "0.000003".parse().unwrap(),
            latest_version: 2,
            shards: [0, 8, 0, 1],
        };
        assert_eq!(
            PartialAggregate::from_item(&aggregate.to_item("a", "r001")),
            Some(aggregate)
        );
    }

    #[test]
    fn readings_of_other_programs_are_understood() {
        let plain = |value| HashMap::from([("temperature".to_owned(), value)]);
        let stored = StoredReading::from_item(&plain(number("21.50"))).unwrap();
        assert_eq!(stored.temperature.micro_degrees(), 21_500_000);
        assert_eq!((stored.written, stored.version), (None, 1));
        assert!(StoredReading::from_item(&plain(text("18"))).is_some());
        assert!(StoredReading::from_item(&plain(text("warm"))).is_none());
    }
}

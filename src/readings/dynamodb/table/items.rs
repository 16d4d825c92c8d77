//! What items of the two tables hold, as attributes and as values.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;

use super::keys;
use crate::error::{StoreError, StoreErrorKind};
use crate::readings::{SensorId, Stats, Temperature, Timestamp};

/// The attributes of an item.
pub(crate) type Item = HashMap<String, AttributeValue>;

/// How many lanes a slot has.
pub(crate) const LANES: usize = 4;

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

/// Something in a table that this program did not write.
pub(crate) fn damaged(what: &str) -> StoreError {
    StoreError::new(
        StoreErrorKind::Damaged,
        format!(
            "{what} cannot be read; `fieldstation dynamodb recount` derives the aggregates anew"
        ),
    )
}

/// Which transaction wrote something: its lane, and its number there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) lane: String,
    pub(crate) number: u64,
}

impl Written {
    fn parse(text: &str) -> Option<Self> {
        let (lane, number) = text.rsplit_once('#')?;
        Some(Self {
            lane: lane.to_owned(),
            number: number.parse().ok()?,
        })
    }

    pub(crate) fn to_text(&self) -> String {
        format!("{}#{}", self.lane, self.number)
    }
}

/// A reading as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredReading {
    pub(crate) temperature: Temperature,
    /// Who wrote it; none for readings that were there before this program.
    pub(crate) written: Option<Written>,
    /// How many times this moment was written.
    pub(crate) version: u64,
    /// What stood here before, and who wrote that: what a read sees that began earlier.
    pub(crate) before: Option<(Temperature, Option<Written>)>,
}

impl StoredReading {
    /// From an item; the moment is in its key.
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
        ("timestamp".to_owned(), text(keys::moment(timestamp))),
    ])
}

/// The key of an item of the aggregation table.
pub(crate) fn aggregate_key(period: impl Into<String>, cell: impl Into<String>) -> Item {
    HashMap::from([
        ("aggregation_period".to_owned(), text(period)),
        ("cell".to_owned(), text(cell)),
    ])
}

/// The statistics that a cell adds to the whole. Alone they need not be those of any set of readings: a replacement goes to
/// the cell of whoever made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) count: u64,
    pub(crate) sum: i128,
    /// No reading of the cell is below; the lowest of all cells is exact.
    pub(crate) minimum: i64,
    /// No reading of the cell is above; the highest of all cells is exact.
    pub(crate) maximum: i64,
}

impl Part {
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

/// What a replica has added to a sensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    /// Changes with every write.
    pub(crate) version: u64,
    pub(crate) part: Part,
    pub(crate) first: Timestamp,
    pub(crate) last: Timestamp,
    /// The temperature at `last`, and which version of that reading it is.
    pub(crate) latest: Temperature,
    pub(crate) latest_version: u64,
    /// The last transaction of each lane that changed this cell.
    pub(crate) lanes: [u64; LANES],
}

impl Cell {
    pub(crate) fn from_item(item: &Item) -> Option<Self> {
        let time = |name| get_text(item, name)?.parse().ok();
        let mut lanes = [0; LANES];
        for (lane, number) in lanes.iter_mut().enumerate() {
            *number = get_number(item, &format!("w{lane}")).unwrap_or(0);
        }
        Some(Self {
            version: get_number(item, "v")?,
            part: Part {
                count: get_number(item, "readings")?,
                sum: get_number(item, "micro_degrees")?,
                minimum: get_number(item, "minimum")?,
                maximum: get_number(item, "maximum")?,
            },
            first: time("first")?,
            last: time("last")?,
            latest: Temperature::from_micro_degrees(get_number(item, "latest")?)?,
            latest_version: get_number(item, "latest_version").unwrap_or(1),
            lanes,
        })
    }

    pub(crate) fn to_item(&self, sensor: &str, slot: &str) -> Item {
        let mut item = aggregate_key(keys::shard_of(sensor), keys::cell(sensor, slot));
        let mut put = |name: &str, value| item.insert(name.to_owned(), value);
        put("v", number(self.version));
        put("readings", number(self.part.count));
        put("micro_degrees", number(self.part.sum));
        put("minimum", number(self.part.minimum));
        put("maximum", number(self.part.maximum));
        put("first", text(keys::moment(self.first)));
        put("last", text(keys::moment(self.last)));
        put("latest", number(self.latest.micro_degrees()));
        put("latest_version", number(self.latest_version));
        for (lane, sequence) in self.lanes.iter().enumerate() {
            if *sequence > 0 {
                put(&format!("w{lane}"), number(*sequence));
            }
        }
        item
    }
}

/// One of a slot's sequences of transactions, and what they have added to the whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lane {
    /// Whose it is. Another one's transactions fail.
    pub(crate) owner: String,
    /// How many transactions it has seen.
    pub(crate) sequence: u64,
    /// A mark of the last of them, unlike that of any attempt.
    pub(crate) mark: String,
    /// Whose it was before, and how far that one had come.
    pub(crate) before: Option<(String, u64, String)>,
    pub(crate) count: u64,
    pub(crate) sum: i128,
    pub(crate) sensors: u64,
    /// How many times an entry in the order of extremes was changed.
    pub(crate) extremes: u64,
    /// How many times one of those went back inside, as only replacements do.
    pub(crate) retreats: u64,
    /// The lowest and the highest temperature that it ever brought, in micro-degrees, replaced since or not.
    pub(crate) reach: Option<(i64, i64)>,
}

impl Lane {
    /// Takes in a temperature that it brings.
    pub(crate) fn reach_for(&mut self, micro_degrees: i64) {
        let (lowest, highest) = self.reach.unwrap_or((micro_degrees, micro_degrees));
        self.reach = Some((lowest.min(micro_degrees), highest.max(micro_degrees)));
    }

    pub(crate) fn from_item(item: &Item) -> Option<Self> {
        let owned = |name| get_text(item, name).map(str::to_owned);
        Some(Self {
            owner: owned("owner")?,
            sequence: get_number(item, "sequence")?,
            mark: owned("mark").unwrap_or_default(),
            before: owned("owner_before").and_then(|owner| {
                let mark = owned("mark_before").unwrap_or_default();
                Some((owner, get_number(item, "sequence_before")?, mark))
            }),
            count: get_number(item, "readings").unwrap_or(0),
            sum: get_number(item, "micro_degrees").unwrap_or(0),
            sensors: get_number(item, "sensors").unwrap_or(0),
            extremes: get_number(item, "extremes").unwrap_or(0),
            retreats: get_number(item, "retreats").unwrap_or(0),
            reach: get_number(item, "lowest").zip(get_number(item, "highest")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let sensor = SensorId::new("a").unwrap();
        let time: Timestamp = "2026-11-20T13:00:00.25Z".parse().unwrap();
        let written = |number| {
            Some(Written {
                lane: "r001.2".to_owned(),
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
        let cell = Cell {
            version: 9,
            part: Part {
                count: 2,
                sum: -5,
                minimum: -4,
                maximum: 3,
            },
            first: time,
            last: time,
            latest: "0.000003".parse().unwrap(),
            latest_version: 2,
            lanes: [0, 8, 0, 1],
        };
        assert_eq!(Cell::from_item(&cell.to_item("a", "r001")), Some(cell));
    }

    #[test]
    fn readings_that_lie_there_are_understood() {
        let plain = |value| HashMap::from([("temperature".to_owned(), value)]);
        let stored = StoredReading::from_item(&plain(number("21.50"))).unwrap();
        assert_eq!(stored.temperature.micro_degrees(), 21_500_000);
        assert_eq!((stored.written, stored.version), (None, 1));
        assert!(StoredReading::from_item(&plain(text("18"))).is_some());
        assert!(StoredReading::from_item(&plain(text("warm"))).is_none());
    }
}

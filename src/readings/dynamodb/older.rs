//! Tables of readings from older programs. This program reads these tables and never writes them.
//!
//! The key of the table tells the layout. In the first layout the key is `sensor_id` and `timestamp`, and `temperature` is a
//! number. In the second layout the key is `time` alone, and `sensorID` and `temperature` are strings. Timestamps are strings in
//! any spelling.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use super::table::client::Tables;
use super::table::items::{Item, aggregate_key, get_text};
use super::table::key_schema::KeySchema;
use super::table::keys;
use super::table::scan::{Attributes, SEGMENTS, Segment};
use super::url::{Credentials, DynamoUrl};
use crate::backend_url::BackendUrl;
use crate::error::{StoreError, StoreErrorKind};
use crate::readings::{SensorId, Temperature, Timestamp};

/// How many characters of a string a message shows.
const SHOWN_MAX: usize = 200;

/// The layout of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OlderLayout {
    /// Hash key `sensor_id`, range key `timestamp`, a number `temperature`.
    BySensor,
    /// Hash key `time`, texts `sensorID` and `temperature`.
    ByTime,
}

impl OlderLayout {
    /// The names of the attributes of the sensor, the timestamp and the temperature.
    const fn names(self) -> [&'static str; 3] {
        match self {
            Self::BySensor => ["sensor_id", "timestamp", "temperature"],
            Self::ByTime => ["sensorID", "time", "temperature"],
        }
    }

    fn of(key_schema: &KeySchema) -> Option<Self> {
        if key_schema.is(&["sensor_id", "timestamp"]) {
            Some(Self::BySensor)
        } else if key_schema.is(&["time"]) {
            Some(Self::ByTime)
        } else {
            None
        }
    }
}

/// A table of readings that this program does not write to.
#[derive(Debug)]
pub struct OlderTable {
    tables: Tables,
    location: DynamoUrl,
    name: String,
    layout: OlderLayout,
}

/// A reading of an older table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OlderReading {
    /// The sensor.
    pub sensor: SensorId,
    /// The timestamp.
    pub timestamp: Timestamp,
    /// The temperature.
    pub temperature: Temperature,
    /// The timestamp in the spelling of the table.
    pub text: String,
}

/// An item that cannot be taken as a reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotTaken {
    /// The item's key, for a message.
    pub key: String,
    /// The reason.
    pub why: String,
}

/// Some items of a table.
#[derive(Clone, Debug, Default)]
pub struct OlderPage {
    /// The items that are readings.
    pub readings: Vec<OlderReading>,
    /// The items that are no readings.
    pub not_taken: Vec<NotTaken>,
    /// Attributes that do not belong to a reading, each with the number of items with this attribute.
    pub other_attributes: BTreeMap<String, u64>,
}

impl OlderTable {
    /// Opens the table with the URL `dynamodb-table://TABLE?region=…&endpoint=…`.
    ///
    /// # Errors
    /// When there is no such table, or the key of the table fits no layout: the message names the layouts.
    pub async fn open(
        url: &BackendUrl,
        credentials: Option<&Credentials>,
    ) -> Result<Self, StoreError> {
        let location = DynamoUrl::parse_table(url)?;
        let name = location.prefix.clone();
        let tables = Tables::connect(&location, credentials).await;
        let Some(key_schema) = KeySchema::describe(&tables.reader, &name).await? else {
            return Err(StoreError::new(
                StoreErrorKind::Unavailable,
                format!("there is no DynamoDB table {name}"),
            ));
        };
        let Some(layout) = OlderLayout::of(&key_schema) else {
            return Err(StoreError::new(
                StoreErrorKind::Unsupported,
                format!(
                    "the DynamoDB table {name} has the key {key_schema}; readings are taken from tables with the hash key sensor_id and \
                     the range key timestamp, or with the hash key time alone, all of them strings (S)"
                ),
            ));
        };
        Ok(Self {
            tables,
            location,
            name,
            layout,
        })
    }

    /// The readings behind `dynamodb://PREFIX` if this program never counted the readings, so that the store cannot be opened.
    /// `None` when the readings were counted, or there are none.
    ///
    /// # Errors
    /// When DynamoDB cannot be reached or refuses.
    pub async fn never_counted(
        url: &BackendUrl,
        credentials: Option<&Credentials>,
    ) -> Result<Option<Self>, StoreError> {
        let location = DynamoUrl::parse(url)?;
        let tables = Tables::connect(&location, credentials).await;
        let (name, aggregation) = (location.readings_table(), location.aggregation_table());
        let key_schema = KeySchema::describe(&tables.reader, &name).await?;
        if key_schema.as_ref().and_then(OlderLayout::of) != Some(OlderLayout::BySensor) {
            return Ok(None);
        }
        if let Some(key_schema) = KeySchema::describe(&tables.reader, &aggregation).await?
            && key_schema.is(&["aggregation_period", "cell"])
        {
            let key = aggregate_key(keys::TOTAL, keys::STATE);
            if tables.get(&aggregation, key).await?.is_some() {
                return Ok(None);
            }
            if Self::is_empty(&tables, &name).await? {
                return Ok(None);
            }
        }
        Ok(Some(Self {
            tables,
            location,
            name,
            layout: OlderLayout::BySensor,
        }))
    }

    async fn is_empty(tables: &Tables, name: &str) -> Result<bool, StoreError> {
        for number in 0..SEGMENTS {
            let mut segment = Segment::open(tables, name, number, Attributes::All);
            while let Some(items) = segment.next().await? {
                if !items.is_empty() {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// The table's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The table's layout.
    pub fn layout(&self) -> OlderLayout {
        self.layout
    }

    /// Whether a store would write to this table.
    ///
    /// # Errors
    /// When the URL of the store is wrong.
    pub fn is_of_store(&self, url: &BackendUrl) -> Result<bool, StoreError> {
        if url.scheme() != "dynamodb" {
            return Ok(false);
        }
        let store = DynamoUrl::parse(url)?;
        let may_be = |one: &Option<String>, other: &Option<String>| {
            one.is_none() || other.is_none() || one == other
        };
        Ok(store.readings_table() == self.name
            && may_be(&store.region, &self.location.region)
            && store.endpoint == self.location.endpoint)
    }

    /// Reads all items in no particular order, and passes them to `visit` a page at a time.
    ///
    /// # Errors
    /// When DynamoDB cannot be reached or refuses. An error of `visit` ends the read.
    pub async fn read(
        &self,
        mut visit: impl FnMut(OlderPage) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let segments = (0..SEGMENTS).map(|number| {
            let segment = Segment::open(&self.tables, &self.name, number, Attributes::All);
            stream::try_unfold(segment, async |mut segment| {
                let items = segment.next().await?;
                Ok(items.map(|items| (items, segment)))
            })
            .boxed_local()
        });
        let mut pages = stream::select_all(segments);
        while let Some(items) = pages.try_next().await? {
            visit(self.page(&items))?;
        }
        Ok(())
    }

    fn page(&self, items: &[Item]) -> OlderPage {
        let mut page = OlderPage::default();
        for item in items {
            match self.reading(item) {
                Ok(reading) => page.readings.push(reading),
                Err(not_taken) => page.not_taken.push(not_taken),
            }
            let names = item.keys().map(String::as_str);
            for name in names.filter(|name| !self.layout.names().contains(name)) {
                match page.other_attributes.get_mut(name) {
                    Some(count) => *count += 1,
                    None => {
                        page.other_attributes.insert(name.to_owned(), 1);
                    }
                }
            }
        }
        page
    }

    fn reading(&self, item: &Item) -> Result<OlderReading, NotTaken> {
        let [of_sensor, of_time, of_temperature] = self.layout.names();
        let text = get_text(item, of_time).unwrap_or_default();
        let key = || match self.layout {
            OlderLayout::BySensor => format!(
                "`{}` at `{}`",
                one_line(get_text(item, of_sensor).unwrap_or_default()),
                one_line(text)
            ),
            OlderLayout::ByTime => format!("`{}`", one_line(text)),
        };
        let wrong = |why: String| NotTaken { key: key(), why };
        let name = decimal_or_text(item, of_sensor)
            .ok_or_else(|| wrong(format!("has no {of_sensor} that is a text")))?;
        let sensor = SensorId::new(name).map_err(|error| {
            wrong(format!(
                "has the {of_sensor} `{}`, which {error}",
                one_line(name)
            ))
        })?;
        if sensor.as_str() != name {
            let why = "has white space around it, which sensors cannot have";
            return Err(wrong(format!(
                "has the {of_sensor} `{}`, which {why}",
                one_line(name)
            )));
        }
        let timestamp: Timestamp = text
            .trim()
            .parse()
            .map_err(|error| wrong(format!("has a {of_time} that {error}")))?;
        let degrees = decimal_or_text(item, of_temperature).ok_or_else(|| {
            wrong(format!(
                "has no {of_temperature} that is a number or a text"
            ))
        })?;
        let temperature: Temperature = degrees.trim().parse().map_err(|error| {
            wrong(format!(
                "has the {of_temperature} `{}`, which {error}",
                one_line(degrees)
            ))
        })?;
        Ok(OlderReading {
            sensor,
            timestamp,
            temperature,
            text: text.to_owned(),
        })
    }
}

/// The digits of a number, or a string.
fn decimal_or_text<'a>(item: &'a Item, name: &str) -> Option<&'a str> {
    match item.get(name)? {
        AttributeValue::N(text) | AttributeValue::S(text) => Some(text),
        _ => None,
    }
}

/// A string of any length and content, shortened to a single line.
pub(super) fn one_line(text: &str) -> String {
    let mut one_line = String::new();
    for c in text.chars().take(SHOWN_MAX) {
        if c.is_control() {
            one_line.extend(c.escape_debug());
        } else {
            one_line.push(c);
        }
    }
    if text.chars().nth(SHOWN_MAX).is_some() {
        one_line.push('…');
    }
    one_line
}

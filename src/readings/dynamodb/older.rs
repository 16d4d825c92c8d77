//! Tables of readings that older programs have made: read, never written.
//!
//! Two layouts are known, and told by the key of the table. In one a reading is found by `sensor_id` and `timestamp`, and its
//! `temperature` is a number; in the other by `time` alone, and `sensorID` and `temperature` are texts. Times are texts in whatever
//! spelling.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use super::table::client::Tables;
use super::table::items::{Item, aggregate_key, get_text};
use super::table::key_schema::Shape;
use super::table::keys;
use super::table::scan::{Attributes, SEGMENTS, Segment};
use super::url::{Credentials, DynamoUrl};
use crate::backend_url::BackendUrl;
use crate::error::{StoreError, StoreErrorKind};
use crate::readings::{SensorId, Temperature, Timestamp};

/// How much of a text is shown.
const SHOWN_MAX: usize = 200;

/// How a table is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OlderLayout {
    /// Hash key `sensor_id`, range key `timestamp`, a number `temperature`.
    BySensor,
    /// Hash key `time`, texts `sensorID` and `temperature`.
    ByTime,
}

impl OlderLayout {
    /// The attributes of the sensor, the time, and the temperature.
    const fn names(self) -> [&'static str; 3] {
        match self {
            Self::BySensor => ["sensor_id", "timestamp", "temperature"],
            Self::ByTime => ["sensorID", "time", "temperature"],
        }
    }

    fn of(shape: &Shape) -> Option<Self> {
        if shape.is(&["sensor_id", "timestamp"]) {
            Some(Self::BySensor)
        } else if shape.is(&["time"]) {
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

/// A reading of such a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OlderReading {
    /// Whose.
    pub sensor: SensorId,
    /// When.
    pub timestamp: Timestamp,
    /// What.
    pub temperature: Temperature,
    /// The time as it is written there.
    pub text: String,
}

/// An item that is no reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotTaken {
    /// The item's key, in words.
    pub key: String,
    /// What is wrong with it.
    pub why: String,
}

/// Some items of a table.
#[derive(Clone, Debug, Default)]
pub struct OlderPage {
    /// Those that are readings.
    pub readings: Vec<OlderReading>,
    /// Those that are not.
    pub not_taken: Vec<NotTaken>,
    /// Attributes that are no part of a reading, and how many items have them.
    pub other_attributes: BTreeMap<String, u64>,
}

impl OlderTable {
    /// The table that `dynamodb-table://TABLE?region=…&endpoint=…` names.
    ///
    /// # Errors
    /// When there is none, or its key is of neither layout: the message says which are known.
    pub async fn open(
        url: &BackendUrl,
        credentials: Option<&Credentials>,
    ) -> Result<Self, StoreError> {
        let location = DynamoUrl::parse_table(url)?;
        let name = location.prefix.clone();
        let tables = Tables::connect(&location, credentials).await;
        let Some(shape) = Shape::of(&tables.reader, &name).await? else {
            return Err(StoreError::new(
                StoreErrorKind::Unavailable,
                format!("there is no DynamoDB table {name}"),
            ));
        };
        let Some(layout) = OlderLayout::of(&shape) else {
            return Err(StoreError::new(
                StoreErrorKind::Unsupported,
                format!(
                    "the DynamoDB table {name} has the key {shape}; readings are taken from tables with the hash key sensor_id and \
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

    /// The readings behind `dynamodb://PREFIX` when this program has never counted them, so that its store cannot be opened; none
    /// when it has, or there are none.
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
        let shape = Shape::of(&tables.reader, &name).await?;
        if shape.as_ref().and_then(OlderLayout::of) != Some(OlderLayout::BySensor) {
            return Ok(None);
        }
        if let Some(shape) = Shape::of(&tables.reader, &aggregation).await?
            && shape.is(&["aggregation_period", "cell"])
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

    /// How it is laid out.
    pub fn layout(&self) -> OlderLayout {
        self.layout
    }

    /// Whether a store would write to this very table.
    ///
    /// # Errors
    /// When the URL of the store has a mistake in it.
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

    /// Reads everything, in no order, and hands it over a page at a time.
    ///
    /// # Errors
    /// When DynamoDB cannot be reached or refuses, and those of `visit`, which end it.
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
                shown(get_text(item, of_sensor).unwrap_or_default()),
                shown(text)
            ),
            OlderLayout::ByTime => format!("`{}`", shown(text)),
        };
        let wrong = |why: String| NotTaken { key: key(), why };
        let name = decimal_or_text(item, of_sensor)
            .ok_or_else(|| wrong(format!("has no {of_sensor} that is a text")))?;
        let sensor = SensorId::new(name).map_err(|error| {
            wrong(format!(
                "has the {of_sensor} `{}`, which {error}",
                shown(name)
            ))
        })?;
        if sensor.as_str() != name {
            let why = "has white space around it, which sensors cannot have";
            return Err(wrong(format!(
                "has the {of_sensor} `{}`, which {why}",
                shown(name)
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
                shown(degrees)
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

/// A number's digits, or a text.
fn decimal_or_text<'a>(item: &'a Item, name: &str) -> Option<&'a str> {
    match item.get(name)? {
        AttributeValue::N(text) | AttributeValue::S(text) => Some(text),
        _ => None,
    }
}

/// A text that may be of any length and hold anything, in one line.
pub(super) fn shown(text: &str) -> String {
    let mut shown = String::new();
    for c in text.chars().take(SHOWN_MAX) {
        if c.is_control() {
            shown.extend(c.escape_debug());
        } else {
            shown.push(c);
        }
    }
    if text.chars().nth(SHOWN_MAX).is_some() {
        shown.push('…');
    }
    shown
}

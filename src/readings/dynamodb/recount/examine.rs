//! The first pass: reads everything and changes nothing.

use std::collections::HashMap;

use futures_util::future::try_join_all;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use super::counted::Totals;
use super::duplicates::{self, Pair, twice};
use super::entry::{Entry, Fault, Faults, OF_A_READING};
use super::progress::Meter;
use super::seen_timestamps::{Occurrence, SeenTimestamps, is_regular};
use crate::error::{StoreError, StoreErrorKind};
use crate::readings::dynamodb::table::client::{Range, Tables};
use crate::readings::dynamodb::table::scan::{SEGMENTS, Segment, with_retries};
use crate::readings::{SensorId, Temperature};

/// How many readings of a sensor with irregular timestamps are held before the sensor is read again for them.
const IRREGULAR_MAX: usize = 50_000;
/// How many pairs are looked up at the same time.
const LOOKUPS_MAX: usize = 16;

/// The content of the table.
#[derive(Debug, Default)]
pub(super) struct Examined {
    /// The readings, each timestamp once.
    pub(super) whole: Totals,
    /// Items with a timestamp in another spelling than this program's.
    pub(super) respelled_count: u64,
    /// Items with the same timestamp as another item.
    pub(super) duplicates: u64,
    pub(super) faults: Faults,
}

impl Examined {
    fn merge(mut self, other: Self) -> Self {
        self.whole.merge(&other.whole);
        self.respelled_count += other.respelled_count;
        self.duplicates += other.duplicates;
        self.faults.merge(other.faults);
        self
    }
}

/// Examines all items.
pub(super) async fn examine(tables: &Tables, meter: &Meter<'_>) -> Result<Examined, StoreError> {
    let segments = (0..SEGMENTS).map(|number| examine_segment(tables, number, meter));
    let examined = try_join_all(segments).await?;
    Ok(examined
        .into_iter()
        .fold(Examined::default(), Examined::merge))
}

async fn examine_segment(
    tables: &Tables,
    number: u32,
    meter: &Meter<'_>,
) -> Result<Examined, StoreError> {
    let mut pages = Segment::open(tables, &tables.names.readings, number, OF_A_READING);
    let mut examined = Examined::default();
    let mut current: Option<Sensor> = None;
    while let Some(items) = pages.next().await? {
        let mut pairs = Vec::new();
        for item in &items {
            let entry = match Entry::read(item) {
                Ok(entry) => entry,
                Err(fault) => {
                    examined.faults.add(fault);
                    continue;
                }
            };
            if current.as_ref().is_none_or(|it| it.name != entry.sensor) {
                let next = Sensor::begin(entry.sensor.clone());
                if let Some(whole) = current.replace(next) {
                    whole.end(tables, &mut examined).await?;
                }
            }
            let Some(sensor) = &mut current else { continue };
            sensor.record(entry, &mut examined, &mut pairs)?;
            if sensor.irregular.len() >= IRREGULAR_MAX {
                sensor.settle_irregular(tables, &mut examined).await?;
            }
        }
        check_pairs(tables, &pairs, &mut examined.faults).await?;
        meter.add(items.len());
    }
    if let Some(last) = current {
        last.end(tables, &mut examined).await?;
    }
    Ok(examined)
}

async fn check_pairs(
    tables: &Tables,
    pairs: &[Pair],
    faults: &mut Faults,
) -> Result<(), StoreError> {
    let conflicts = stream::iter(pairs).map(|pair| duplicates::conflict(tables, pair));
    let mut conflicts = conflicts.buffer_unordered(LOOKUPS_MAX);
    while let Some(fault) = conflicts.try_next().await? {
        fault.into_iter().for_each(|fault| faults.add(fault));
    }
    Ok(())
}

/// The sensor of the current items.
struct Sensor {
    name: SensorId,
    seen_timestamps: SeenTimestamps,
    irregular: Vec<Entry>,
    last_text: String,
    has_readings: bool,
}

impl Sensor {
    fn begin(name: SensorId) -> Self {
        Self {
            name,
            seen_timestamps: SeenTimestamps::default(),
            irregular: Vec::new(),
            last_text: String::new(),
            has_readings: false,
        }
    }

    fn record(
        &mut self,
        entry: Entry,
        examined: &mut Examined,
        pairs: &mut Vec<Pair>,
    ) -> Result<(), StoreError> {
        if entry.when <= self.last_text {
            return Err(out_of_order(&self.name));
        }
        self.last_text.clone_from(&entry.when);
        examined.respelled_count += u64::from(!entry.is_canonical());
        self.has_readings = true;
        match self
            .seen_timestamps
            .record(&entry.when, entry.timestamp, entry.temperature())
        {
            Occurrence::First => examined.whole.add(&entry),
            Occurrence::Irregular => self.irregular.push(entry),
            Occurrence::Again(text, temperature) => {
                self.record_duplicate(&entry, text, temperature, examined, pairs);
            }
        }
        Ok(())
    }

    fn record_duplicate(
        &self,
        entry: &Entry,
        text: String,
        temperature: Temperature,
        examined: &mut Examined,
        pairs: &mut Vec<Pair>,
    ) {
        examined.duplicates += 1;
        if temperature == entry.temperature() {
            pairs.push(Pair {
                sensor: self.name.to_string(),
                first: text,
                second: entry.when.clone(),
            });
        } else {
            examined.faults.add(other_temperature(entry, &text));
        }
    }

    /// Searches all readings of the sensor for the timestamps of the irregular items. An item is a duplicate if another item with
    /// the same timestamp is regular, or comes first.
    async fn settle_irregular(
        &mut self,
        tables: &Tables,
        examined: &mut Examined,
    ) -> Result<(), StoreError> {
        let held = std::mem::take(&mut self.irregular);
        let mut by_moment: HashMap<i64, Vec<usize>> = HashMap::new();
        for (at, entry) in held.iter().enumerate() {
            let micros = entry.timestamp.micros();
            by_moment.entry(micros).or_default().push(at);
        }
        // For each irregular item, the first other item: regular items before irregular items.
        let mut others: Vec<Option<(bool, String, Temperature)>> = vec![None; held.len()];
        let range = Range {
            table: tables.names.readings.clone(),
            hash: ("sensor_id", self.name.to_string()),
            range: "timestamp",
            from: " ".to_owned(),
            to: "\u{10FFFF}".to_owned(),
            backwards: false,
        };
        let mut start = None;
        loop {
            let page =
                with_retries(async || tables.page(&range, start.clone(), None).await).await?;
            for item in &page.items {
                let Ok(found) = Entry::read(item) else {
                    continue;
                };
                let irregular = !is_regular(&found.when);
                let same = by_moment.get(&found.timestamp.micros());
                for &at in same.into_iter().flatten() {
                    let comes_before = !irregular || found.when < held[at].when;
                    let candidate = (irregular, found.when.clone(), found.temperature());
                    let place = &mut others[at];
                    if comes_before
                        && place
                            .as_ref()
                            .is_none_or(|it| (it.0, &it.1) > (candidate.0, &candidate.1))
                    {
                        *place = Some(candidate);
                    }
                }
            }
            start = page.next;
            if start.is_none() {
                break;
            }
        }
        let mut pairs = Vec::new();
        for (entry, other) in held.iter().zip(others) {
            match other {
                None => examined.whole.add(entry),
                Some((_, text, temperature)) => {
                    self.record_duplicate(entry, text, temperature, examined, &mut pairs);
                }
            }
        }
        check_pairs(tables, &pairs, &mut examined.faults).await
    }

    async fn end(mut self, tables: &Tables, examined: &mut Examined) -> Result<(), StoreError> {
        if !self.irregular.is_empty() {
            self.settle_irregular(tables, examined).await?;
        }
        examined.whole.sensors += u64::from(self.has_readings);
        Ok(())
    }
}

fn other_temperature(entry: &Entry, first: &str) -> Fault {
    entry.fault(twice(first, &["temperature".to_owned()]))
}

/// The recount relies on the order of the items of a sensor.
pub(super) fn out_of_order(sensor: &SensorId) -> StoreError {
    StoreError::new(
        StoreErrorKind::Internal,
        format!("DynamoDB did not give the readings of `{sensor}` in order; nothing was changed"),
    )
}

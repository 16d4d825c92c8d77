//! The first pass: everything is read, nothing is changed.

use std::collections::HashMap;

use futures_util::future::try_join_all;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use super::counted::Whole;
use super::doubles::{self, Pair, twice};
use super::entry::{Entry, Fault, Faults, OF_A_READING};
use super::moments::{Met, Moments, is_regular};
use super::progress::Meter;
use crate::error::{StoreError, StoreErrorKind};
use crate::readings::dynamodb::table::client::{Range, Tables};
use crate::readings::dynamodb::table::scan::{SEGMENTS, Segment, patiently};
use crate::readings::{SensorId, Temperature};

/// How many readings of a sensor with irregular texts are held until the sensor is read again for them.
const IRREGULAR_MAX: usize = 50_000;
/// How many doubles are looked up at the same time.
const LOOKUPS_MAX: usize = 16;

/// What there is in the table.
#[derive(Debug, Default)]
pub(super) struct Examined {
    /// Every moment once.
    pub(super) whole: Whole,
    /// Items whose timestamp is written in another way.
    pub(super) otherwise_spelled: u64,
    /// Items of a moment that was met before.
    pub(super) doubles: u64,
    pub(super) faults: Faults,
}

impl Examined {
    fn merge(mut self, other: Self) -> Self {
        self.whole.merge(&other.whole);
        self.otherwise_spelled += other.otherwise_spelled;
        self.doubles += other.doubles;
        self.faults.merge(other.faults);
        self
    }
}

/// Reads everything.
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
            sensor.meet(entry, &mut examined, &mut pairs)?;
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
    let conflicts = stream::iter(pairs).map(|pair| doubles::conflict(tables, pair));
    let mut conflicts = conflicts.buffer_unordered(LOOKUPS_MAX);
    while let Some(fault) = conflicts.try_next().await? {
        fault.into_iter().for_each(|fault| faults.add(fault));
    }
    Ok(())
}

/// The sensor whose items come at the moment.
struct Sensor {
    name: SensorId,
    moments: Moments,
    irregular: Vec<Entry>,
    last_text: String,
    has_readings: bool,
}

impl Sensor {
    fn begin(name: SensorId) -> Self {
        Self {
            name,
            moments: Moments::default(),
            irregular: Vec::new(),
            last_text: String::new(),
            has_readings: false,
        }
    }

    fn meet(
        &mut self,
        entry: Entry,
        examined: &mut Examined,
        pairs: &mut Vec<Pair>,
    ) -> Result<(), StoreError> {
        if entry.when <= self.last_text {
            return Err(out_of_order(&self.name));
        }
        self.last_text.clone_from(&entry.when);
        examined.otherwise_spelled += u64::from(!entry.is_canonical());
        self.has_readings = true;
        match self
            .moments
            .meet(&entry.when, entry.timestamp, entry.temperature())
        {
            Met::First => examined.whole.add(&entry),
            Met::Irregular => self.irregular.push(entry),
            Met::Again(text, temperature) => {
                self.meet_again(&entry, text, temperature, examined, pairs);
            }
        }
        Ok(())
    }

    fn meet_again(
        &self,
        entry: &Entry,
        text: String,
        temperature: Temperature,
        examined: &mut Examined,
        pairs: &mut Vec<Pair>,
    ) {
        examined.doubles += 1;
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

    /// Looks for the moments of irregular texts among all readings of the sensor: another item has the moment, too, when its text
    /// is regular, or comes before.
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
        // Of each, the first other item: regular ones before others.
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
            let page = patiently(async || tables.page(&range, start.clone(), None).await).await?;
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
                    self.meet_again(entry, text, temperature, examined, &mut pairs);
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

/// What everything here is built on.
pub(super) fn out_of_order(sensor: &SensorId) -> StoreError {
    StoreError::new(
        StoreErrorKind::Internal,
        format!("DynamoDB did not give the readings of `{sensor}` in order; nothing was changed"),
    )
}

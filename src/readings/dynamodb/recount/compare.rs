//! The check: compares the aggregates with the readings.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;
use parking_lot::Mutex;

use super::counted::{SensorCount, Totals};
use super::entry::{Entry, Faults, OF_A_READING};
use super::progress::{Meter, Pass, Progress};
use super::{NAMED_MAX, RecountReport};
use crate::error::StoreError;
use crate::readings::dynamodb::read::sensors::SensorCursor;
use crate::readings::dynamodb::read::totals;
use crate::readings::dynamodb::table::client::Tables;
use crate::readings::dynamodb::table::scan::{SEGMENTS, Segment};
use crate::readings::{SensorId, SensorSummary};

/// The summaries of the sensors still to compare. Takes a few hundred bytes for each sensor.
type Expected = Mutex<BTreeMap<SensorId, SensorSummary>>;

#[derive(Default)]
struct Compared {
    whole: Totals,
    respelled_count: u64,
    differences: Differences,
    faults: Faults,
}

/// The number of differences, and the first of them in order.
#[derive(Default)]
struct Differences {
    count: u64,
    first: BTreeMap<SensorId, String>,
}

impl Differences {
    fn add(&mut self, sensor: SensorId, what: String) {
        self.count += 1;
        self.keep(sensor, what);
    }

    fn merge(&mut self, other: Self) {
        self.count += other.count;
        for (sensor, what) in other.first {
            self.keep(sensor, what);
        }
    }

    fn keep(&mut self, sensor: SensorId, what: String) {
        self.first.insert(sensor, what);
        if self.first.len() > NAMED_MAX {
            self.first.pop_last();
        }
    }
}

/// Compares the aggregates with the readings. Exact while nobody writes.
pub(super) async fn compare(
    tables: &Tables,
    progress: Progress<'_>,
) -> Result<RecountReport, StoreError> {
    let stated = totals::stats(tables).await?;
    let shards = totals::write_shards(tables).await?;
    let mut kept = BTreeMap::new();
    let mut cursor = SensorCursor::open(tables, None, 1_000);
    while let Some(view) = cursor.next().await? {
        kept.insert(view.sensor.clone(), view.summary()?);
    }
    let kept = Mutex::new(kept);
    let meter = Meter::new(progress, Pass::Check);
    let segments = (0..SEGMENTS).map(|number| compare_segment(tables, number, &kept, &meter));
    let mut found = Compared::default();
    for partial in try_join_all(segments).await? {
        found.whole.merge(&partial.whole);
        found.respelled_count += partial.respelled_count;
        found.differences.merge(partial.differences);
        found.faults.merge(partial.faults);
    }
    for sensor in kept.into_inner().into_keys() {
        let what = format!("sensor `{sensor}` has aggregates, but no readings");
        found.differences.add(sensor, what);
    }
    let mut report = RecountReport {
        stats: found.whole.partial.stats()?,
        sensors: found.whole.sensors,
        faults: found.faults.named(),
        fault_count: found.faults.count,
        difference_count: found.differences.count,
        differences: found.differences.first.into_values().collect(),
        ..RecountReport::default()
    };
    let mut differ = |what: String| {
        report.difference_count += 1;
        report.differences.push(what);
    };
    if found.respelled_count > 0 {
        differ(format!(
            "{} readings have a timestamp that is written in another way; windows of time may miss them",
            found.respelled_count
        ));
    }
    if report.stats != stated {
        differ(format!(
            "all readings make {:?}, the aggregates say {stated:?}",
            report.stats
        ));
    }
    if report.sensors != shards.sensors() {
        differ(format!(
            "there are {} sensors, the aggregates say {}",
            report.sensors,
            shards.sensors()
        ));
    }
    Ok(report)
}

async fn compare_segment(
    tables: &Tables,
    number: u32,
    kept: &Expected,
    meter: &Meter<'_>,
) -> Result<Compared, StoreError> {
    let mut compared = Compared::default();
    let mut pages = Segment::open(tables, &tables.names.readings, number, OF_A_READING);
    let mut current: Option<SensorCount> = None;
    while let Some(items) = pages.next().await? {
        for item in &items {
            let entry = match Entry::read(item) {
                Ok(entry) => entry,
                Err(fault) => {
                    compared.faults.add(fault);
                    continue;
                }
            };
            compared.respelled_count += u64::from(!entry.is_canonical());
            compared.whole.add(&entry);
            match &mut current {
                Some(counted) if counted.sensor == entry.sensor => counted.add(entry),
                _ => {
                    if let Some(counted) = current.replace(SensorCount::begin(entry)) {
                        compared.end(counted, kept);
                    }
                }
            }
        }
        meter.add(items.len());
    }
    if let Some(counted) = current {
        compared.end(counted, kept);
    }
    Ok(compared)
}

impl Compared {
    fn end(&mut self, counted: SensorCount, kept: &Expected) {
        self.whole.sensors += 1;
        let found = kept.lock().remove(&counted.sensor);
        let aggregate = counted.aggregate();
        let same = found.as_ref().is_some_and(|found| {
            counted
                .partial
                .stats()
                .is_ok_and(|stats| stats == found.stats)
                && (found.first, found.last, found.latest)
                    == (aggregate.first, aggregate.last, aggregate.latest)
        });
        if !same {
            let what = format!(
                "sensor `{}` has {:?}, its aggregates say {found:?}",
                counted.sensor, counted.partial
            );
            self.differences.add(counted.sensor, what);
        }
    }
}

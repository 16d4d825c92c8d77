//! A check: what is kept beside what is counted.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;
use parking_lot::Mutex;

use super::counted::{Counted, Whole};
use super::entry::{Entry, Faults, OF_A_READING};
use super::progress::{Meter, Pass, Progress};
use super::{NAMED_MAX, RecountReport};
use crate::error::StoreError;
use crate::readings::dynamodb::read::sensors::SensorCursor;
use crate::readings::dynamodb::read::totals;
use crate::readings::dynamodb::table::client::Tables;
use crate::readings::dynamodb::table::scan::{SEGMENTS, Segment};
use crate::readings::{SensorId, SensorSummary};

/// What the cells say of each sensor; those that were met are taken out. Needs a few hundred bytes for each.
type Kept = Mutex<BTreeMap<SensorId, SensorSummary>>;

#[derive(Default)]
struct Compared {
    whole: Whole,
    otherwise_spelled: u64,
    differences: Differences,
    faults: Faults,
}

/// What differs: how much, and the first of it in order.
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
    let lanes = totals::lanes(tables).await?;
    let mut kept = BTreeMap::new();
    let mut cursor = SensorCursor::open(tables, None, 1_000);
    while let Some(view) = cursor.next().await? {
        kept.insert(view.sensor.clone(), view.summary()?);
    }
    let kept = Mutex::new(kept);
    let meter = Meter::new(progress, Pass::Check);
    let segments = (0..SEGMENTS).map(|number| compare_segment(tables, number, &kept, &meter));
    let mut found = Compared::default();
    for part in try_join_all(segments).await? {
        found.whole.merge(&part.whole);
        found.otherwise_spelled += part.otherwise_spelled;
        found.differences.merge(part.differences);
        found.faults.merge(part.faults);
    }
    for sensor in kept.into_inner().into_keys() {
        let what = format!("sensor `{sensor}` has no readings, but cells");
        found.differences.add(sensor, what);
    }
    let mut report = RecountReport {
        stats: found.whole.part.stats()?,
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
    if found.otherwise_spelled > 0 {
        differ(format!(
            "{} readings have a timestamp that is written in another way; windows of time may miss them",
            found.otherwise_spelled
        ));
    }
    if report.stats != stated {
        differ(format!(
            "all readings make {:?}, the aggregates say {stated:?}",
            report.stats
        ));
    }
    if report.sensors != lanes.sensors() {
        differ(format!(
            "there are {} sensors, the aggregates say {}",
            report.sensors,
            lanes.sensors()
        ));
    }
    Ok(report)
}

async fn compare_segment(
    tables: &Tables,
    number: u32,
    kept: &Kept,
    meter: &Meter<'_>,
) -> Result<Compared, StoreError> {
    let mut compared = Compared::default();
    let mut pages = Segment::open(tables, &tables.names.readings, number, OF_A_READING);
    let mut current: Option<Counted> = None;
    while let Some(items) = pages.next().await? {
        for item in &items {
            let entry = match Entry::read(item) {
                Ok(entry) => entry,
                Err(fault) => {
                    compared.faults.add(fault);
                    continue;
                }
            };
            compared.otherwise_spelled += u64::from(!entry.is_canonical());
            compared.whole.add(&entry);
            match &mut current {
                Some(counted) if counted.sensor == entry.sensor => counted.add(entry),
                _ => {
                    if let Some(counted) = current.replace(Counted::begin(entry)) {
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
    fn end(&mut self, counted: Counted, kept: &Kept) {
        self.whole.sensors += 1;
        let found = kept.lock().remove(&counted.sensor);
        let cell = counted.cell();
        let same = found.as_ref().is_some_and(|found| {
            counted.part.stats().is_ok_and(|stats| stats == found.stats)
                && (found.first, found.last, found.latest) == (cell.first, cell.last, cell.latest)
        });
        if !same {
            let what = format!(
                "sensor `{}` has {:?}, its cells say {found:?}",
                counted.sensor, counted.part
            );
            self.differences.add(counted.sensor, what);
        }
    }
}

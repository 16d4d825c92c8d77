//! Copies readings, and compares both sides reading by reading.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::collections::VecDeque;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use indicatif::ProgressBar;

use super::source::{Points, Source, points_of};
use crate::cli::progress;
use crate::cli::retry::retry_store;
use crate::error::{StoreError, StoreErrorKind};
use crate::readings::{
    Batch, BatchBuilder, Outcome, Point, ReadingStore, RecordMode, SensorId, SensorSummary,
};

/// The most readings in a batch.
const BATCH_READINGS: usize = 4_096;
/// The sensors in a page, the parts of a page, and the parts under way at the same time.
const SENSORS_PAGE: usize = 500;
const PARTS: usize = 8;
const PARTS_AT_A_TIME: usize = 4;
/// The limit for the number of named sensors with differences.
const NAMED_MAX: usize = 20;

/// The counts of a copy.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) outcome: Outcome,
    pub(super) sensors: u64,
    /// Skipped sensors, because both sides had the same readings.
    pub(super) passed_over: u64,
    /// The first sensors with differences after the copy, in order.
    pub(super) different: BTreeSet<SensorId>,
    pub(super) different_count: u64,
    /// Readings of copied sensors only in the target.
    pub(super) extra: u64,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.outcome.recorded += other.outcome.recorded;
        self.outcome.unchanged += other.outcome.unchanged;
        self.outcome.replaced += other.outcome.replaced;
        self.sensors += other.sensors;
        self.passed_over += other.passed_over;
        self.different_count += other.different_count;
        self.extra += other.extra;
        self.different.extend(other.different);
        while self.different.len() > NAMED_MAX {
            self.different.pop_last();
        }
    }
}

/// Copies all sensors, and compares each sensor afterwards.
pub(super) async fn copy(
    source: &Source,
    target: &dyn ReadingStore,
    bar: &ProgressBar,
) -> Result<Tally, StoreError> {
    let mut tally = Tally::default();
    let mut after: Option<SensorId> = None;
    loop {
        let page = source.sensors(after.as_ref(), SENSORS_PAGE).await?;
        let size = page.items.len().div_ceil(PARTS).max(1);
        let parts = page.items.chunks(size);
        let parts = parts.map(|part| copy_part(source, target, part, bar));
        let mut parts = stream::iter(parts).buffer_unordered(PARTS_AT_A_TIME);
        while let Some(part) = parts.try_next().await? {
            tally.add(part);
        }
        drop(parts);
        after = page.items.last().map(|summary| summary.sensor.clone());
        if !page.more {
            return Ok(tally);
        }
    }
}

async fn copy_part(
    source: &Source,
    target: &dyn ReadingStore,
    sensors: &[SensorSummary],
    bar: &ProgressBar,
) -> Result<Tally, StoreError> {
    let mut tally = Tally {
        sensors: sensors.len() as u64,
        ..Tally::default()
    };
    let mut copied = Vec::new();
    // Sensors with few readings share a batch.
    let mut batch = BatchBuilder::new();
    for summary in sensors {
        if is_same(source, target, summary).await? {
            tally.passed_over += 1;
            bar.inc(summary.stats.count());
            continue;
        }
        copied.push(&summary.sensor);
        let mut pages = source.points(&summary.sensor).await?;
        while let Some(points) = pages.try_next().await? {
            for point in points {
                batch
                    .push(summary.sensor.as_str(), point)
                    .map_err(|error| {
                        let message = format!("a sensor's id {error}");
                        StoreError::new(StoreErrorKind::Internal, message)
                    })?;
                if batch.len() == BATCH_READINGS {
                    let full = std::mem::take(&mut batch).build();
                    record(target, full, &mut tally.outcome, bar).await?;
                }
            }
        }
    }
    record(target, batch.build(), &mut tally.outcome, bar).await?;
    for sensor in copied {
        let difference = compare(source, target, sensor).await?;
        tally.extra += difference.extra;
        if difference.missing > 0 {
            tally.different_count += 1;
            tally.different.insert(sensor.clone());
        }
    }
    Ok(tally)
}

/// Whether the target has exactly the same readings of a sensor. Different statistics make reading them unnecessary.
async fn is_same(
    source: &Source,
    target: &dyn ReadingStore,
    summary: &SensorSummary,
) -> Result<bool, StoreError> {
    if target.sensor(&summary.sensor).await?.as_ref() != Some(summary) {
        return Ok(false);
    }
    let difference = compare(source, target, &summary.sensor).await?;
    Ok(difference.missing == 0 && difference.extra == 0)
}

/// The difference of both sides in a sensor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Difference {
    /// Readings missing in the target, or stored there with another temperature.
    missing: u64,
    /// Readings only in the target.
    extra: u64,
}

/// Compares a sensor reading by reading. Both sides give the readings in order of time.
async fn compare(
    source: &Source,
    target: &dyn ReadingStore,
    sensor: &SensorId,
) -> Result<Difference, StoreError> {
    let mut left = PointReader::new(source.points(sensor).await?);
    let mut right = PointReader::new(points_of(target, sensor).await?);
    let mut difference = Difference::default();
    loop {
        match (left.peek().await?, right.peek().await?) {
            (None, None) => return Ok(difference),
            (Some(_), None) => {
                difference.missing += 1;
                left.skip();
            }
            (None, Some(_)) => {
                difference.extra += 1;
                right.skip();
            }
            (Some(here), Some(there)) => match here.timestamp.cmp(&there.timestamp) {
                Ordering::Less => {
                    difference.missing += 1;
                    left.skip();
                }
                Ordering::Greater => {
                    difference.extra += 1;
                    right.skip();
                }
                Ordering::Equal => {
                    difference.missing += u64::from(here.temperature != there.temperature);
                    left.skip();
                    right.skip();
                }
            },
        }
    }
}

/// Reads points one by one, with a look at the next point.
struct PointReader<'a> {
    pages: Points<'a>,
    buffered: VecDeque<Point>,
}

impl<'a> PointReader<'a> {
    fn new(pages: Points<'a>) -> Self {
        Self {
            pages,
            buffered: VecDeque::new(),
        }
    }

    async fn peek(&mut self) -> Result<Option<Point>, StoreError> {
        while self.buffered.is_empty() {
            match self.pages.try_next().await? {
                None => return Ok(None),
                Some(points) => self.buffered = points.into(),
            }
        }
        Ok(self.buffered.front().copied())
    }

    fn skip(&mut self) {
        self.buffered.pop_front();
    }
}

/// Records a batch, and repeats the attempt while the target is overloaded or unavailable.
async fn record(
    target: &dyn ReadingStore,
    batch: Batch,
    outcome: &mut Outcome,
    bar: &ProgressBar,
) -> Result<(), StoreError> {
    let readings = batch.len() as u64;
    if readings == 0 {
        return Ok(());
    }
    let recorded = retry_store(
        || target.record(batch.clone(), RecordMode::AllOrNothing),
        |notice| progress::note(bar, notice),
    )
    .await?;
    outcome.recorded += recorded.recorded;
    outcome.unchanged += recorded.unchanged;
    outcome.replaced += recorded.replaced;
    bar.inc(readings);
    Ok(())
}

//! Copying readings, and comparing both sides reading by reading.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::collections::VecDeque;
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use indicatif::ProgressBar;

use super::source::{Points, Source, points_of};
use crate::error::{StoreError, StoreErrorKind};
use crate::readings::{
    Batch, BatchBuilder, Outcome, Point, ReadingStore, RecordMode, SensorId, SensorSummary,
};

/// How many readings go to the other side in one batch.
const BATCH_READINGS: usize = 4_096;
/// How many sensors are looked at in one page, and in how many parts at the same time.
const SENSORS_PAGE: usize = 500;
const PARTS: usize = 8;
const PARTS_AT_A_TIME: usize = 4;
/// How often a batch is sent again, and for how long the pause doubles.
const ATTEMPTS_MAX: u32 = 10;
const DOUBLINGS_MAX: u32 = 6;
/// How many sensors that differ are named.
const NAMED_MAX: usize = 20;

/// What has become of a copy.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) outcome: Outcome,
    pub(super) sensors: u64,
    /// Sensors that were the same before, reading by reading.
    pub(super) passed_over: u64,
    /// The first sensors that are different all the same, in order.
    pub(super) different: BTreeSet<SensorId>,
    pub(super) different_count: u64,
    /// Readings of copied sensors that only the other side has.
    pub(super) extra: u64,
}

impl Tally {
    fn merge(&mut self, other: Self) {
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

/// Copies sensor by sensor, some at the same time, and compares each afterwards.
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
            tally.merge(part);
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

/// Whether the other side has the same readings of a sensor, and no other. Statistics that differ save reading them.
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

/// How two sides differ in one sensor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Difference {
    /// Readings that the other side does not have, or has with another temperature.
    missing: u64,
    /// Readings that only the other side has.
    extra: u64,
}

/// Compares a sensor reading by reading, as both sides give them: in order of time.
async fn compare(
    source: &Source,
    target: &dyn ReadingStore,
    sensor: &SensorId,
) -> Result<Difference, StoreError> {
    let mut left = Ahead::new(source.points(sensor).await?);
    let mut right = Ahead::new(points_of(target, sensor).await?);
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

/// Points with a look at the next one.
struct Ahead<'a> {
    pages: Points<'a>,
    held: VecDeque<Point>,
}

impl<'a> Ahead<'a> {
    fn new(pages: Points<'a>) -> Self {
        Self {
            pages,
            held: VecDeque::new(),
        }
    }

    async fn peek(&mut self) -> Result<Option<Point>, StoreError> {
        while self.held.is_empty() {
            match self.pages.try_next().await? {
                None => return Ok(None),
                Some(points) => self.held = points.into(),
            }
        }
        Ok(self.held.front().copied())
    }

    fn skip(&mut self) {
        self.held.pop_front();
    }
}

/// Records, again and again if the other side has too much to do or is away.
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
    let mut attempt = 0;
    loop {
        match target.record(batch.clone(), RecordMode::AllOrNothing).await {
            Ok(recorded) => {
                outcome.recorded += recorded.recorded;
                outcome.unchanged += recorded.unchanged;
                outcome.replaced += recorded.replaced;
                bar.inc(readings);
                return Ok(());
            }
            Err(error)
                if attempt < ATTEMPTS_MAX
                    && matches!(
                        error.kind(),
                        StoreErrorKind::Overloaded | StoreErrorKind::Unavailable
                    ) =>
            {
                attempt += 1;
                tokio::time::sleep(Duration::from_millis(200 << attempt.min(DOUBLINGS_MAX))).await;
            }
            Err(error) => return Err(error),
        }
    }
}

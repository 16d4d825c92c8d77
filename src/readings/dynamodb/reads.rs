//! Reads: sensors from their cells, readings from their table.
//!
//! A read of readings begins with all lanes (see `totals`), and sees what they had written by then: a reading carries the
//! transaction that wrote it, and what stood there before. So a batch that shares a transaction is seen whole or not at all, however
//! long the read takes.

use std::collections::VecDeque;
use std::sync::Arc;

use futures_util::stream::{self, TryStreamExt};

use super::client::{Range, Tables, key_of};
use super::group::readings_range;
use super::items::{Cell, Item, LANES, Part, StoredReading, damaged, get_text};
use super::keys;
use super::totals::{self, Lanes};
use crate::error::StoreError;
use crate::readings::{
    Bucket, ExportBlock, Page, Point, Selection, SensorId, SensorSummary, Series, Stats, Timestamp,
    Window,
};

/// How many requests one read has under way at a time.
const REQUESTS_MAX: usize = 16;
/// How many cells of a partition are read at a time.
const CELLS_PAGE_MIN: usize = 16;
const CELLS_PAGE_MAX: usize = 500;

/// A sensor as its cells tell.
#[derive(Debug)]
pub(super) struct SensorView {
    pub(super) sensor: SensorId,
    cells: Vec<(String, Cell)>,
}

impl SensorView {
    fn part(&self) -> Part {
        let mut part = Part::EMPTY;
        self.cells
            .iter()
            .for_each(|(_, cell)| part.merge(&cell.part));
        part
    }

    pub(super) fn summary(&self) -> Result<SensorSummary, StoreError> {
        let cells = || self.cells.iter().map(|(_, cell)| cell);
        let latest = cells().max_by_key(|cell| (cell.last, cell.latest_version));
        let first = cells().map(|cell| cell.first).min();
        let (Some(latest), Some(first)) = (latest, first) else {
            return Err(damaged("a sensor's statistics"));
        };
        Ok(SensorSummary {
            sensor: self.sensor.clone(),
            stats: self.part().stats()?,
            first,
            last: latest.last,
            latest: latest.latest,
        })
    }

    /// Whether these cells hold nothing newer than what the lanes had written.
    fn is_within(&self, lanes: &Lanes) -> bool {
        self.cells.iter().all(|(slot, cell)| {
            (0..LANES).all(|lane| lanes.reached(&keys::lane(slot, lane)) >= cell.lanes[lane])
        })
    }
}

/// The cells of one partition, in order, read ahead.
struct ShardCursor {
    range: Range,
    ahead: VecDeque<(String, Item)>,
    start: Option<Item>,
    done: bool,
    page_size: usize,
}

impl ShardCursor {
    async fn fill(&mut self, tables: &Tables) -> Result<(), StoreError> {
        while self.ahead.is_empty() && !self.done {
            let page = tables
                .page(&self.range, self.start.take(), Some(self.page_size))
                .await?;
            self.page_size = (self.page_size * 2).min(CELLS_PAGE_MAX);
            self.ahead.extend(page.items.into_iter().filter_map(|item| {
                let cell = get_text(&item, "cell")?.to_owned();
                Some((cell, item))
            }));
            self.done = page.next.is_none();
            self.start = page.next;
        }
        Ok(())
    }
}

/// All sensors in order of their ids, a few at a time.
pub(super) struct SensorCursor {
    tables: Tables,
    shards: Vec<ShardCursor>,
}

impl SensorCursor {
    /// Begins after a sensor; `about` says how many are wanted.
    pub(super) fn open(tables: &Tables, after: Option<&SensorId>, about: usize) -> Self {
        let from = after.map_or_else(|| " ".to_owned(), keys::after);
        // A fair share, and some more, since shares are never fair; a sensor has a guard and a cell or more.
        let page_size =
            (about * 4 / usize::from(keys::SHARDS)).clamp(CELLS_PAGE_MIN, CELLS_PAGE_MAX);
        let shards = (0..keys::SHARDS)
            .map(|shard| ShardCursor {
                range: tables.cells(keys::shard(shard), from.clone(), "\u{10FFFF}"),
                ahead: VecDeque::new(),
                start: None,
                done: false,
                page_size,
            })
            .collect();
        Self {
            tables: tables.clone(),
            shards,
        }
    }

    /// The next sensor; none after the last.
    pub(super) async fn next(&mut self) -> Result<Option<SensorView>, StoreError> {
        loop {
            let tables = &self.tables;
            let empty = self
                .shards
                .iter_mut()
                .filter(|shard| shard.ahead.is_empty() && !shard.done);
            futures_util::future::try_join_all(empty.map(|shard| shard.fill(tables))).await?;
            let next = self
                .shards
                .iter_mut()
                .filter(|shard| !shard.ahead.is_empty())
                .min_by(|a, b| a.ahead[0].0.cmp(&b.ahead[0].0));
            let Some(shard) = next else {
                return Ok(None);
            };
            let mut view: Option<SensorView> = None;
            loop {
                shard.fill(&self.tables).await?;
                let Some((key, _)) = shard.ahead.front() else {
                    break;
                };
                let (sensor, slot) =
                    keys::split_cell(key).ok_or_else(|| damaged("a sensor's statistics"))?;
                if view
                    .as_ref()
                    .is_some_and(|view| view.sensor.as_str() != sensor)
                {
                    break;
                }
                let (sensor, slot) = (
                    SensorId::new(sensor).map_err(|_| damaged("a sensor's id"))?,
                    slot.to_owned(),
                );
                let view = view.get_or_insert_with(|| SensorView {
                    sensor,
                    cells: Vec::new(),
                });
                if let Some((_, item)) = shard.ahead.pop_front()
                    && !slot.is_empty()
                {
                    let cell =
                        Cell::from_item(&item).ok_or_else(|| damaged("a sensor's statistics"))?;
                    view.cells.push((slot, cell));
                }
            }
            match view {
                // Its guard was read before its first cell was written.
                Some(view) if view.cells.is_empty() => {}
                found => return Ok(found),
            }
        }
    }
}

/// One sensor's cells.
pub(super) async fn view(
    tables: &Tables,
    sensor: &SensorId,
) -> Result<Option<SensorView>, StoreError> {
    let known = super::group::cells_of(tables, sensor, "").await?;
    let cells = known.others.unwrap_or_default();
    Ok((!cells.is_empty()).then(|| SensorView {
        sensor: sensor.clone(),
        cells,
    }))
}

pub(super) async fn summary(
    tables: &Tables,
    sensor: &SensorId,
) -> Result<Option<SensorSummary>, StoreError> {
    view(tables, sensor)
        .await?
        .map(|view| view.summary())
        .transpose()
}

/// A page of sensors. Cells that changed while others were read would make a page of several moments, so it is read again then,
/// a few times; sensors that never rest are each of one moment, and may be of different ones.
pub(super) async fn sensors(
    tables: &Tables,
    after: Option<&SensorId>,
    limit: usize,
) -> Result<Page<SensorSummary>, StoreError> {
    const ATTEMPTS_MAX: u32 = 8;
    let mut attempt = 0;
    loop {
        attempt += 1;
        let lanes = totals::lanes(tables).await?;
        let mut cursor = SensorCursor::open(tables, after, limit + 1);
        let mut items = Vec::with_capacity(limit.min(1_000));
        let (mut more, mut steady) = (false, true);
        while let Some(view) = cursor.next().await? {
            if items.len() == limit {
                more = true;
                break;
            }
            steady &= view.is_within(&lanes);
            items.push(view.summary()?);
        }
        if steady || attempt == ATTEMPTS_MAX {
            return Ok(Page { items, more });
        }
    }
}

/// The readings of a sensor in a window, as the lanes had written them, a page of the table at a time.
pub(super) struct PointCursor {
    tables: Tables,
    lanes: Arc<Lanes>,
    window: Window,
    range: Range,
    start: Option<Item>,
    done: bool,
    /// How many items are read at a time; as many as fit an answer when there is none.
    page_size: Option<usize>,
}

impl PointCursor {
    pub(super) fn open(
        tables: &Tables,
        lanes: Arc<Lanes>,
        sensor: &SensorId,
        window: Window,
        page_size: Option<usize>,
    ) -> Self {
        let before = |to: Timestamp| Timestamp::from_micros(to.micros() - 1);
        let is_empty = window
            .to
            .is_some_and(|to| before(to).is_none() || window.from.is_some_and(|from| from >= to));
        Self {
            range: readings_range(tables, sensor, window.from, window.to.and_then(before)),
            tables: tables.clone(),
            lanes,
            window,
            start: None,
            done: is_empty,
            page_size,
        }
    }

    /// The next readings; none after the last, but there may be empty pages before.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<Point>>, StoreError> {
        if self.done {
            return Ok(None);
        }
        let page = self
            .tables
            .page(&self.range, self.start.take(), self.page_size)
            .await?;
        self.done = page.next.is_none();
        self.start = page
            .next
            .map(|item| key_of(&item, ["sensor_id", "timestamp"]));
        let mut points = Vec::with_capacity(page.items.len());
        for item in &page.items {
            let timestamp = get_text(item, "timestamp").and_then(|text| text.parse().ok());
            let (Some(timestamp), Some(stored)) = (timestamp, StoredReading::from_item(item))
            else {
                return Err(damaged("a stored reading"));
            };
            if let Some(temperature) = seen(&stored, &self.lanes)
                && self.window.contains(timestamp)
            {
                points.push(Point {
                    timestamp,
                    temperature,
                });
            }
        }
        Ok(Some(points))
    }
}

/// The temperature of a reading as the lanes had written it; none when it is newer.
fn seen(stored: &StoredReading, lanes: &Lanes) -> Option<crate::readings::Temperature> {
    let included = |written: &Option<super::items::Written>| {
        written
            .as_ref()
            .is_none_or(|written| lanes.include(written))
    };
    if included(&stored.written) {
        return Some(stored.temperature);
    }
    // One temperature back is remembered; of more replacements during one read the oldest remembered stands.
    stored.before.as_ref().map(|(temperature, _)| *temperature)
}

pub(super) async fn readings(
    tables: &Tables,
    sensor: &SensorId,
    window: Window,
    limit: usize,
) -> Result<Option<Page<Point>>, StoreError> {
    let lanes = Arc::new(totals::lanes(tables).await?);
    if view(tables, sensor).await?.is_none() {
        return Ok(None);
    }
    let mut cursor = PointCursor::open(tables, lanes, sensor, window, Some(limit + 1));
    let mut items = Vec::with_capacity(limit.min(1_000));
    while items.len() <= limit
        && let Some(points) = cursor.next().await?
    {
        items.extend(points);
    }
    let more = items.len() > limit;
    items.truncate(limit);
    Ok(Some(Page { items, more }))
}

pub(super) async fn stats(tables: &Tables, selection: &Selection) -> Result<Stats, StoreError> {
    match &selection.sensor {
        None if selection.window == Window::ALL => totals::stats(tables).await,
        Some(sensor) if selection.window == Window::ALL => {
            let view = view(tables, sensor).await?;
            view.map_or(Ok(Stats::EMPTY), |view| view.part().stats())
        }
        Some(sensor) => {
            let lanes = Arc::new(totals::lanes(tables).await?);
            window_stats(tables, lanes, sensor, selection.window).await
        }
        None => all_in_window(tables, selection.window).await,
    }
}

async fn window_stats(
    tables: &Tables,
    lanes: Arc<Lanes>,
    sensor: &SensorId,
    window: Window,
) -> Result<Stats, StoreError> {
    let mut cursor = PointCursor::open(tables, lanes, sensor, window, None);
    let mut stats = Stats::EMPTY;
    while let Some(points) = cursor.next().await? {
        stats.extend(points.into_iter().map(|point| point.temperature));
    }
    Ok(stats)
}

/// A window over all sensors: those that lie inside are taken from their cells, those that only reach into it are read.
async fn all_in_window(tables: &Tables, window: Window) -> Result<Stats, StoreError> {
    let lanes = Arc::new(totals::lanes(tables).await?);
    let cursor = SensorCursor::open(tables, None, CELLS_PAGE_MAX);
    let sensors = stream::try_unfold(cursor, async |mut cursor| {
        Ok(cursor.next().await?.map(|view| (view, cursor)))
    });
    let parts = sensors
        .map_ok(|view: SensorView| {
            let lanes = Arc::clone(&lanes);
            async move {
                // Cells that are newer may lack what stood there before, so they only tell that there is nothing.
                let summary = view.summary()?;
                let within = view.is_within(&lanes);
                if within && window.contains(summary.first) && window.contains(summary.last) {
                    return Ok(summary.stats);
                }
                if window.from.is_some_and(|from| summary.last < from)
                    || window.to.is_some_and(|to| summary.first >= to)
                {
                    return Ok(Stats::EMPTY);
                }
                window_stats(tables, lanes, &view.sensor, window).await
            }
        })
        .try_buffer_unordered(REQUESTS_MAX);
    parts
        .try_fold(Stats::EMPTY, async |mut total, part| {
            total.merge(&part);
            Ok(total)
        })
        .await
}

pub(super) async fn series(
    tables: &Tables,
    sensor: &SensorId,
    window: Window,
    points: usize,
) -> Result<Option<Series>, StoreError> {
    let lanes = Arc::new(totals::lanes(tables).await?);
    let Some(view) = view(tables, sensor).await? else {
        return Ok(None);
    };
    let summary = view.summary()?;
    let from = window.from.unwrap_or(summary.first);
    let after_last = Timestamp::from_micros(summary.last.micros() + 1).unwrap_or(Timestamp::MAX);
    let to = window.to.unwrap_or(after_last).max(from);
    let span = (to.micros() - from.micros()).unsigned_abs();
    let width = span.div_ceil(points.max(1) as u64).max(1);
    let mut buckets: Vec<Bucket> = (0..span.div_ceil(width))
        .filter_map(|bucket| {
            let start = Timestamp::from_micros(from.micros() + (bucket * width).cast_signed())?;
            Some(Bucket {
                start,
                stats: Stats::EMPTY,
            })
        })
        .collect();
    let window = Window {
        from: Some(from),
        to: window.to,
    };
    let mut cursor = PointCursor::open(tables, lanes, sensor, window, None);
    while let Some(points) = cursor.next().await? {
        for point in points {
            let at = (point.timestamp.micros() - from.micros()).unsigned_abs() / width;
            // The last moment there is has no moment after it.
            let last = buckets.len().saturating_sub(1);
            if let Some(bucket) = buckets.get_mut((at as usize).min(last)) {
                bucket.stats.add(point.temperature);
            }
        }
    }
    Ok(Some(Series { from, to, buckets }))
}

/// An export under way: the sensor whose turn it is, and where in it we are.
pub(super) struct ExportCursor {
    tables: Tables,
    lanes: Arc<Lanes>,
    window: Window,
    sensors: Sensors,
    current: Option<(SensorId, PointCursor)>,
}

enum Sensors {
    One(Option<SensorId>),
    All(SensorCursor),
}

impl ExportCursor {
    pub(super) async fn open(tables: &Tables, selection: &Selection) -> Result<Self, StoreError> {
        let lanes = Arc::new(totals::lanes(tables).await?);
        let sensors = match &selection.sensor {
            Some(sensor) => Sensors::One(Some(sensor.clone())),
            None => Sensors::All(SensorCursor::open(tables, None, CELLS_PAGE_MAX)),
        };
        Ok(Self {
            tables: tables.clone(),
            lanes,
            window: selection.window,
            sensors,
            current: None,
        })
    }

    /// The next block, none after the last: a page of one sensor's readings.
    pub(super) async fn next(&mut self) -> Result<Option<ExportBlock>, StoreError> {
        /// About a mebibyte of items is 10,000 readings; blocks are smaller, so that they are soon on their way.
        const BLOCK_POINTS: usize = 4_096;
        loop {
            if let Some((sensor, cursor)) = &mut self.current {
                match cursor.next().await? {
                    Some(points) if points.is_empty() => continue,
                    Some(points) => {
                        let sensor = sensor.clone();
                        return Ok(Some(ExportBlock { sensor, points }));
                    }
                    None => {}
                }
            }
            let next = match &mut self.sensors {
                Sensors::One(sensor) => sensor.take(),
                Sensors::All(cursor) => cursor.next().await?.map(|view| view.sensor),
            };
            let Some(sensor) = next else {
                return Ok(None);
            };
            let cursor = PointCursor::open(
                &self.tables,
                Arc::clone(&self.lanes),
                &sensor,
                self.window,
                Some(BLOCK_POINTS),
            );
            self.current = Some((sensor, cursor));
        }
    }
}

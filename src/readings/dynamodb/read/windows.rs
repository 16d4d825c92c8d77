//! The reads behind the API: statistics and sensors from partial aggregates, windows and series from readings.

use std::sync::Arc;

use futures_util::stream::{self, TryStreamExt};

use super::super::table::client::Tables;
use super::points::PointCursor;
use super::sensors::{AGGREGATES_PAGE_MAX, AsOf, SensorCursor, SensorView, view};
use super::totals::{self, WriteShards};
use crate::error::StoreError;
use crate::readings::{
    Grid, Page, Point, Selection, SensorId, SensorSummary, Series, Stats, Window,
};

/// How many requests a read has in flight at a time.
const REQUESTS_MAX: usize = 16;
pub(crate) async fn summary(
    tables: &Tables,
    sensor: &SensorId,
) -> Result<Option<SensorSummary>, StoreError> {
    view(tables, sensor)
        .await?
        .map(|view| view.summary())
        .transpose()
}

/// A page of sensors, all as they were when the write shards were read. The aggregates are read before and after the shards. If a
/// sensor changed too often between the two reads, the page is read again. After the last attempt each sensor is exact for itself,
/// but different sensors may be from different times.
pub(crate) async fn sensors(
    tables: &Tables,
    after: Option<&SensorId>,
    limit: usize,
) -> Result<Page<SensorSummary>, StoreError> {
    const ATTEMPTS_MAX: u32 = 32;
    let mut earlier: Option<Page<SensorView>> = None;
    let mut attempt = 0;
    loop {
        attempt += 1;
        let shards = totals::write_shards(tables).await?;
        let later = sensor_views(tables, after, limit).await?;
        if let Some(items) = as_of_shards(&shards, earlier.as_ref(), &later)? {
            let more = later.more;
            return Ok(Page { items, more });
        }
        if attempt == ATTEMPTS_MAX {
            let items = later.items.iter().map(SensorView::summary);
            return Ok(Page {
                items: items.collect::<Result<_, _>>()?,
                more: later.more,
            });
        }
        earlier = Some(later);
    }
}

async fn sensor_views(
    tables: &Tables,
    after: Option<&SensorId>,
    limit: usize,
) -> Result<Page<SensorView>, StoreError> {
    let mut cursor = SensorCursor::open(tables, after, limit + 1);
    let mut items = Vec::with_capacity(limit.min(1_000));
    while let Some(view) = cursor.next().await? {
        if items.len() == limit {
            return Ok(Page { items, more: true });
        }
        items.push(view);
    }
    Ok(Page { items, more: false })
}

/// The sensors of a page, at the time of the read of the write shards; `None` when a sensor's state is not known.
fn as_of_shards(
    shards: &WriteShards,
    earlier: Option<&Page<SensorView>>,
    later: &Page<SensorView>,
) -> Result<Option<Vec<SensorSummary>>, StoreError> {
    let mut items = Vec::with_capacity(later.items.len());
    let mut before = earlier.map(|page| page.items.iter().peekable());
    for view in &later.items {
        let found = match &mut before {
            // Both pages are in order, and a sensor is never removed.
            Some(before) => {
                while before.next_if(|it| it.sensor < view.sensor).is_some() {}
                view.as_of(shards, before.next_if(|it| it.sensor == view.sensor))
            }
            None if view.is_covered_by(shards) => AsOf::Known(view),
            None => AsOf::Unknown,
        };
        match found {
            AsOf::Known(view) => items.push(view.summary()?),
            AsOf::Absent => {}
            AsOf::Unknown => return Ok(None),
        }
    }
    // The next page begins after the last sensor of this page, so a page before others has at least one sensor.
    let goes_on = !later.more || !items.is_empty();
    Ok(goes_on.then_some(items))
}

pub(crate) async fn readings(
    tables: &Tables,
    sensor: &SensorId,
    window: Window,
    limit: usize,
) -> Result<Option<Page<Point>>, StoreError> {
    if view(tables, sensor).await?.is_none() {
        return Ok(None);
    }
    // Read after the sensor, so that the snapshot includes the write that created the sensor.
    let shards = Arc::new(totals::write_shards(tables).await?);
    let mut cursor = PointCursor::open(tables, shards, sensor, window, Some(limit + 1));
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

pub(crate) async fn stats(tables: &Tables, selection: &Selection) -> Result<Stats, StoreError> {
    match &selection.sensor {
        None if selection.window == Window::ALL => totals::stats(tables).await,
        Some(sensor) if selection.window == Window::ALL => {
            let view = view(tables, sensor).await?;
            view.map_or(Ok(Stats::EMPTY), |view| view.partial().stats())
        }
        Some(sensor) => {
            let shards = Arc::new(totals::write_shards(tables).await?);
            window_stats(tables, shards, sensor, selection.window).await
        }
        None => all_in_window(tables, selection.window).await,
    }
}

async fn window_stats(
    tables: &Tables,
    shards: Arc<WriteShards>,
    sensor: &SensorId,
    window: Window,
) -> Result<Stats, StoreError> {
    let mut cursor = PointCursor::open(tables, shards, sensor, window, None);
    let mut stats = Stats::EMPTY;
    while let Some(points) = cursor.next().await? {
        stats.extend(points.into_iter().map(|point| point.temperature));
    }
    Ok(stats)
}

/// Statistics of a window over all sensors. If all readings of a sensor are inside the window, the sensor's aggregates are enough;
/// if only some are inside, the readings are read.
async fn all_in_window(tables: &Tables, window: Window) -> Result<Stats, StoreError> {
    let shards = Arc::new(totals::write_shards(tables).await?);
    let cursor = SensorCursor::open(tables, None, AGGREGATES_PAGE_MAX);
    let sensors = stream::try_unfold(cursor, async |mut cursor| {
        Ok(cursor.next().await?.map(|view| (view, cursor)))
    });
    let partials = sensors
        .map_ok(|view: SensorView| {
            let shards = Arc::clone(&shards);
            async move {
                // Aggregates newer than the snapshot may have lost an earlier value. But such aggregates still show when no reading
                // is in the window.
                let summary = view.summary()?;
                let within = view.is_covered_by(&shards);
                if within && window.contains(summary.first) && window.contains(summary.last) {
                    return Ok(summary.stats);
                }
                if window.from.is_some_and(|from| summary.last < from)
                    || window.to.is_some_and(|to| summary.first >= to)
                {
                    return Ok(Stats::EMPTY);
                }
                window_stats(tables, shards, &view.sensor, window).await
            }
        })
        .try_buffer_unordered(REQUESTS_MAX);
    partials
        .try_fold(Stats::EMPTY, async |mut total, partial| {
            total.merge(&partial);
            Ok(total)
        })
        .await
}

pub(crate) async fn series(
    tables: &Tables,
    sensor: &SensorId,
    window: Window,
    points: usize,
) -> Result<Option<Series>, StoreError> {
    let Some(view) = view(tables, sensor).await? else {
        return Ok(None);
    };
    // Read after the sensor, so that the snapshot includes the first and the last reading.
    let shards = Arc::new(totals::write_shards(tables).await?);
    let summary = view.summary()?;
    let mut grid = Grid::new(window, summary.first, summary.last, points);
    let mut cursor = PointCursor::open(tables, shards, sensor, grid.window(), None);
    while let Some(points) = cursor.next().await? {
        for point in points {
            grid.add(point.timestamp, &Stats::from_iter([point.temperature]));
        }
    }
    Ok(Some(grid.series()))
}

//! Compares a sensor's readings with the sensor's aggregates, as of the same snapshot.

use std::sync::Arc;

use super::super::read::aggregates::{SensorAggregates, sensor_aggregates};
use super::super::read::points::{PointCursor, readings_range, visible_temperature};
use super::super::read::totals::{self, WriteShards};
use super::super::table::client::Tables;
use super::super::table::items::{PartialStats, StoredReading, damaged, get_text};
use crate::error::StoreError;
use crate::random;
use crate::readings::{Point, SensorId, Timestamp, Window};

/// A sensor with at most this many readings is read completely.
const WHOLE_MAX: u64 = 2_000;
/// How many readings of a larger sensor are read at the end, and as many at a random position.
const PIECE_READINGS: usize = 500;
/// How often a sensor with constant changes is read again.
const ATTEMPTS_MAX: usize = 5;

/// The result of a comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Consistent,
    Different(String),
    /// The sensor changed too often during the comparison, so no result is certain.
    Unknown,
}

/// Compares a sensor's aggregates with the sensor's readings. The aggregates are read before and after the write shards; if both
/// reads are equal, the aggregates belong to the same snapshot as the shards. Each reading names the transaction that wrote the
/// reading, so the readings can be read later as of this snapshot. Only replacements lose an earlier temperature, and the
/// replacement version counts replacements.
pub(crate) async fn compare(tables: &Tables, sensor: &SensorId) -> Result<Verdict, StoreError> {
    let mut before = sensor_aggregates(tables, sensor).await?;
    for _ in 0..ATTEMPTS_MAX {
        let shards = totals::write_shards(tables).await?;
        let aggregates = sensor_aggregates(tables, sensor).await?;
        if before != aggregates {
            before = aggregates;
            continue;
        }
        let verdict = compare_snapshot(tables, sensor, &aggregates, Arc::new(shards)).await?;
        let after = sensor_aggregates(tables, sensor).await?;
        let is_certain = after.replacement_version == aggregates.replacement_version
            && may_follow(&aggregates, &after);
        return Ok(match is_certain {
            true => verdict,
            false => Verdict::Unknown,
        });
    }
    Ok(Verdict::Unknown)
}

/// Whether the later aggregates can be the earlier aggregates plus some writes. After a recount this is impossible.
fn may_follow(earlier: &SensorAggregates, later: &SensorAggregates) -> bool {
    earlier.aggregates.iter().all(|(lease, aggregate)| {
        let mut found = later.aggregates.iter().filter(|(of, _)| of == lease);
        found.any(|(_, now)| {
            now.version >= aggregate.version && now.partial.count >= aggregate.partial.count
        })
    })
}

async fn compare_snapshot(
    tables: &Tables,
    sensor: &SensorId,
    aggregates: &SensorAggregates,
    shards: Arc<WriteShards>,
) -> Result<Verdict, StoreError> {
    let aggregates = &aggregates.aggregates;
    let mut kept = PartialStats::EMPTY;
    aggregates
        .iter()
        .for_each(|(_, aggregate)| kept.merge(&aggregate.partial));
    let newest = aggregates.iter().map(|(_, aggregate)| aggregate);
    let newest = newest.max_by_key(|aggregate| (aggregate.last, aggregate.latest_version));
    let first = aggregates
        .iter()
        .map(|(_, aggregate)| aggregate.first)
        .min();
    let (Some(newest), Some(first)) = (newest, first) else {
        return without_aggregates(tables, sensor, shards).await;
    };
    let kept = Expected {
        partial: kept,
        first,
        last: Point {
            timestamp: newest.last,
            temperature: newest.latest,
        },
        // A recount also counts readings from other programs.
        are_all_ours: aggregates.iter().all(|(lease, _)| is_replicas(lease)),
    };
    match kept.partial.count <= WHOLE_MAX {
        true => whole(tables, sensor, &kept, shards).await,
        false => pieces(tables, sensor, &kept, &shards).await,
    }
}

fn is_replicas(lease: &str) -> bool {
    let number = lease.strip_prefix('r');
    number.is_some_and(|it| it.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The statistics of the aggregates.
struct Expected {
    partial: PartialStats,
    first: Timestamp,
    last: Point,
    are_all_ours: bool,
}

async fn without_aggregates(
    tables: &Tables,
    sensor: &SensorId,
    shards: Arc<WriteShards>,
) -> Result<Verdict, StoreError> {
    let mut cursor = PointCursor::open(tables, shards, sensor, Window::ALL, Some(PIECE_READINGS));
    let points = cursor.next().await?.unwrap_or_default();
    Ok(match points.is_empty() {
        true => Verdict::Consistent,
        false => Verdict::Different("none of its readings is counted".to_owned()),
    })
}

async fn whole(
    tables: &Tables,
    sensor: &SensorId,
    kept: &Expected,
    shards: Arc<WriteShards>,
) -> Result<Verdict, StoreError> {
    let mut cursor = PointCursor::open(tables, shards, sensor, Window::ALL, Some(PIECE_READINGS));
    let mut found = PartialStats::EMPTY;
    let (mut first, mut last) = (None, None);
    while let Some(points) = cursor.next().await? {
        for point in points {
            found.count += 1;
            found.sum += i128::from(point.temperature.micro_degrees());
            found.widen(point.temperature.micro_degrees());
            first = first.or(Some(point.timestamp));
            last = Some(point);
        }
        if found.count > 2 * WHOLE_MAX {
            break;
        }
    }
    let why = if found.count != kept.partial.count {
        format!(
            "{} readings are stored, {} are counted",
            found.count, kept.partial.count
        )
    } else if found != kept.partial {
        "the temperatures differ from the counted ones".to_owned()
    } else if first != Some(kept.first) || last.as_ref() != Some(&kept.last) {
        "the first or the last reading differs from the counted one".to_owned()
    } else {
        return Ok(Verdict::Consistent);
    };
    Ok(Verdict::Different(why))
}

/// A random number from 0 to 1.
fn any_fraction() -> Result<f64, StoreError> {
    Ok(f64::from(random::bytes().map(u32::from_le_bytes)?) / f64::from(u32::MAX))
}

/// Compares the end of a sensor, and a piece at a random position.
async fn pieces(
    tables: &Tables,
    sensor: &SensorId,
    kept: &Expected,
    shards: &WriteShards,
) -> Result<Verdict, StoreError> {
    let mut at_the_end = readings_range(tables, sensor, None, None);
    at_the_end.backwards = true;
    let span = kept.last.timestamp.micros() - kept.first.micros();
    let place = kept.first.micros() + (span as f64 * any_fraction()?) as i64;
    let anywhere = readings_range(tables, sensor, Timestamp::from_micros(place), None);
    for (range, is_end) in [(at_the_end, true), (anywhere, false)] {
        let page = tables.page(&range, None, Some(PIECE_READINGS)).await?;
        let mut newest = None;
        for item in &page.items {
            let timestamp = get_text(item, "timestamp").and_then(|text| text.parse().ok());
            let (Some(timestamp), Some(stored)) = (timestamp, StoredReading::from_item(item))
            else {
                return Err(damaged("a stored reading"));
            };
            let Some(temperature) = visible_temperature(&stored, shards) else {
                continue;
            };
            let point = Point {
                timestamp,
                temperature,
            };
            if let Some(why) = kept.contradicts(&point, &stored) {
                return Ok(Verdict::Different(why));
            }
            newest = newest.or(Some(point));
        }
        if is_end && newest.is_some_and(|newest| newest != kept.last) {
            let why = "the last reading differs from the counted one".to_owned();
            return Ok(Verdict::Different(why));
        }
    }
    Ok(Verdict::Consistent)
}

impl Expected {
    fn contradicts(&self, point: &Point, stored: &StoredReading) -> Option<String> {
        let micro_degrees = point.temperature.micro_degrees();
        let is_covered_by = (self.partial.minimum..=self.partial.maximum).contains(&micro_degrees)
            && (self.first..=self.last.timestamp).contains(&point.timestamp);
        if self.are_all_ours && stored.written.is_none() {
            return Some(format!(
                "the reading at {} was not written by this program",
                point.timestamp
            ));
        }
        (!is_covered_by).then(|| format!("the reading at {} was not counted", point.timestamp))
    }
}

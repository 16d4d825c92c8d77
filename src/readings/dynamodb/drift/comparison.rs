//! One sensor's readings beside its cells, both as of one moment.

use std::sync::Arc;

use super::super::random::random_u32;
use super::super::read::aggregates::{SensorAggregates, sensor_aggregates};
use super::super::read::points::{PointCursor, readings_range, seen};
use super::super::read::totals::{self, Lanes};
use super::super::table::client::Tables;
use super::super::table::items::{Part, StoredReading, damaged, get_text};
use crate::error::StoreError;
use crate::readings::{Point, SensorId, Timestamp, Window};

/// A sensor with no more readings is read whole.
const WHOLE_MAX: u64 = 2_000;
/// How many readings of another one are read, at its end and at any other place.
const PIECE_READINGS: usize = 500;
/// How many times a sensor that is written to all the time is tried to be seen unchanged.
const ATTEMPTS_MAX: usize = 5;

/// What a look at a sensor has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Sound,
    Different(String),
    /// It was written to in a way that does not let it be told.
    Unknown,
}

/// Compares a sensor's cells with its readings. That the cells are the same before and after the lanes were read makes them those of that
/// moment, and readings tell themselves what the lanes had written. Only replacements can hide what stood there: the guard counts those.
pub(crate) async fn compare(tables: &Tables, sensor: &SensorId) -> Result<Verdict, StoreError> {
    let mut before = sensor_aggregates(tables, sensor).await?;
    for _ in 0..ATTEMPTS_MAX {
        let lanes = totals::lanes(tables).await?;
        let cells = sensor_aggregates(tables, sensor).await?;
        if before != cells {
            before = cells;
            continue;
        }
        let verdict = of_moment(tables, sensor, &cells, Arc::new(lanes)).await?;
        let after = sensor_aggregates(tables, sensor).await?;
        let is_judged = after.guard == cells.guard && goes_on(&cells, &after);
        return Ok(match is_judged {
            true => verdict,
            false => Verdict::Unknown,
        });
    }
    Ok(Verdict::Unknown)
}

/// Whether the later cells may be the earlier ones after some writes. After a recount they are others.
fn goes_on(earlier: &SensorAggregates, later: &SensorAggregates) -> bool {
    earlier.cells.iter().all(|(slot, cell)| {
        let mut found = later.cells.iter().filter(|(of, _)| of == slot);
        found.any(|(_, now)| now.version >= cell.version && now.part.count >= cell.part.count)
    })
}

async fn of_moment(
    tables: &Tables,
    sensor: &SensorId,
    aggregates: &SensorAggregates,
    lanes: Arc<Lanes>,
) -> Result<Verdict, StoreError> {
    let cells = &aggregates.cells;
    let mut kept = Part::EMPTY;
    cells.iter().for_each(|(_, cell)| kept.merge(&cell.part));
    let newest = cells.iter().map(|(_, cell)| cell);
    let newest = newest.max_by_key(|cell| (cell.last, cell.latest_version));
    let first = cells.iter().map(|(_, cell)| cell.first).min();
    let (Some(newest), Some(first)) = (newest, first) else {
        return without_cells(tables, sensor, lanes).await;
    };
    let kept = Kept {
        part: kept,
        first,
        last: Point {
            timestamp: newest.last,
            temperature: newest.latest,
        },
        // What a recount has counted may have been there before this program.
        are_all_ours: cells.iter().all(|(slot, _)| is_replicas(slot)),
    };
    match kept.part.count <= WHOLE_MAX {
        true => whole(tables, sensor, &kept, lanes).await,
        false => pieces(tables, sensor, &kept, &lanes).await,
    }
}

fn is_replicas(slot: &str) -> bool {
    let number = slot.strip_prefix('r');
    number.is_some_and(|it| it.bytes().all(|byte| byte.is_ascii_digit()))
}

/// What the cells say.
struct Kept {
    part: Part,
    first: Timestamp,
    last: Point,
    are_all_ours: bool,
}

async fn without_cells(
    tables: &Tables,
    sensor: &SensorId,
    lanes: Arc<Lanes>,
) -> Result<Verdict, StoreError> {
    let mut cursor = PointCursor::open(tables, lanes, sensor, Window::ALL, Some(PIECE_READINGS));
    let points = cursor.next().await?.unwrap_or_default();
    Ok(match points.is_empty() {
        true => Verdict::Sound,
        false => Verdict::Different("none of them is counted".to_owned()),
    })
}

async fn whole(
    tables: &Tables,
    sensor: &SensorId,
    kept: &Kept,
    lanes: Arc<Lanes>,
) -> Result<Verdict, StoreError> {
    let mut cursor = PointCursor::open(tables, lanes, sensor, Window::ALL, Some(PIECE_READINGS));
    let mut found = Part::EMPTY;
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
    let why = if found.count != kept.part.count {
        format!("{} are stored, {} counted", found.count, kept.part.count)
    } else if found != kept.part {
        "temperatures are others than those that were counted".to_owned()
    } else if first != Some(kept.first) || last.as_ref() != Some(&kept.last) {
        "the first or the last of them is another than what was counted".to_owned()
    } else {
        return Ok(Verdict::Sound);
    };
    Ok(Verdict::Different(why))
}

/// A number from 0 to 1.
fn any_fraction() -> Result<f64, StoreError> {
    Ok(f64::from(random_u32()?) / f64::from(u32::MAX))
}

/// Looks at the end of a sensor, and at any other place.
async fn pieces(
    tables: &Tables,
    sensor: &SensorId,
    kept: &Kept,
    lanes: &Lanes,
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
            let Some(temperature) = seen(&stored, lanes) else {
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
            let why = "the last of them is another than what was counted".to_owned();
            return Ok(Verdict::Different(why));
        }
    }
    Ok(Verdict::Sound)
}

impl Kept {
    fn contradicts(&self, point: &Point, stored: &StoredReading) -> Option<String> {
        let micro_degrees = point.temperature.micro_degrees();
        let is_within = (self.part.minimum..=self.part.maximum).contains(&micro_degrees)
            && (self.first..=self.last.timestamp).contains(&point.timestamp);
        if self.are_all_ours && stored.written.is_none() {
            return Some(format!(
                "the one at {} was not written by this program",
                point.timestamp
            ));
        }
        (!is_within).then(|| format!("the one at {} was not counted", point.timestamp))
    }
}

//! `GET /api/sensors` and the routes below.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;

use super::{ReadingRoutes, queries, wire};
use crate::http::extract::{PathPart, RawQuery, shortened};
use crate::http::json::{self, write_string, write_timestamp};
use crate::http::{Page, Problem, ProblemKind, page};
use crate::readings::{SensorId, Timestamp, Window};

/// The kinds of the cursors of the two lists.
const SENSORS: char = 's';
const READINGS: char = 'r';

const POINTS_MAX: usize = 5000;
const POINTS_DEFAULT: usize = 500;

/// Sensors in order of their ids, a page at a time.
pub(super) async fn list(
    State(routes): State<Arc<ReadingRoutes>>,
    query: RawQuery,
) -> Result<Response, Problem> {
    let query = query.parse(&["limit", "cursor"])?;
    let page = Page::from_query(&query)?;
    let after = page.start(SENSORS, |id| SensorId::new(id).ok())?;
    let found = routes.store.sensors(after.as_ref(), page.limit).await?;
    let last = found.items.last().filter(|_| found.more);
    let next = last.map(|summary| page::cursor(SENSORS, summary.sensor.as_str()));
    let mut out = Vec::with_capacity(64 + found.items.len() * 256);
    out.push(b'{');
    wire::write_page(
        &mut out,
        "sensors",
        &found.items,
        next.as_deref(),
        wire::write_summary,
    );
    out.push(b'}');
    Ok(json::answer(out))
}

/// A single sensor.
pub(super) async fn one(
    State(routes): State<Arc<ReadingRoutes>>,
    PathPart(id): PathPart,
    query: RawQuery,
) -> Result<Response, Problem> {
    query.parse(&[])?;
    let id = queries::sensor_id("id", &id)?;
    let summary = routes
        .store
        .sensor(&id)
        .await?
        .ok_or_else(|| unknown(&id))?;
    let mut out = Vec::with_capacity(256);
    wire::write_summary(&mut out, &summary);
    Ok(json::answer(out))
}

/// A sensor's readings in order of time, a page at a time.
pub(super) async fn readings(
    State(routes): State<Arc<ReadingRoutes>>,
    PathPart(id): PathPart,
    query: RawQuery,
) -> Result<Response, Problem> {
    let query = query.parse(&["from", "to", "limit", "cursor"])?;
    let id = queries::sensor_id("id", &id)?;
    let page = Page::from_query(&query)?;
    let mut window = queries::window(&query)?;
    // The page begins at the cursor, or at the beginning of the window if the window begins later.
    if let Some(start) = page.start(READINGS, |time| time.parse::<Timestamp>().ok())? {
        window = Window {
            from: window.from.max(Some(start)),
            ..window
        };
    }
    let found = routes
        .store
        .readings(&id, window, page.limit)
        .await?
        .ok_or_else(|| unknown(&id))?;
    let last = found.items.last().filter(|_| found.more);
    let next = last
        .and_then(|point| Timestamp::from_micros(point.timestamp.micros() + 1))
        .map(|start| page::cursor(READINGS, &start.to_string()));
    let mut out = Vec::with_capacity(64 + found.items.len() * 64);
    out.push(b'{');
    wire::write_page(
        &mut out,
        "readings",
        &found.items,
        next.as_deref(),
        wire::write_point,
    );
    out.push(b'}');
    Ok(json::answer(out))
}

/// A sensor's readings in equal buckets of time, for a chart.
pub(super) async fn series(
    State(routes): State<Arc<ReadingRoutes>>,
    PathPart(id): PathPart,
    query: RawQuery,
) -> Result<Response, Problem> {
    let query = query.parse(&["from", "to", "points"])?;
    let id = queries::sensor_id("id", &id)?;
    let points = query.number("points", 1, POINTS_MAX, POINTS_DEFAULT)?;
    let window = queries::window(&query)?;
    if let (Some(from), Some(to)) = (window.from, window.to)
        && from >= to
    {
        return Err(Problem::new(
            ProblemKind::EmptyWindow,
            format!("from ({from}) is not before to ({to}); the window is [from, to)"),
        ));
    }
    let series = routes
        .store
        .series(&id, window, points)
        .await?
        .ok_or_else(|| unknown(&id))?;
    let mut out = Vec::with_capacity(128 + series.buckets.len() * 112);
    out.extend_from_slice(b"{\"sensorId\":");
    write_string(&mut out, id.as_str());
    out.extend_from_slice(b",\"from\":");
    write_timestamp(&mut out, series.from);
    out.extend_from_slice(b",\"to\":");
    write_timestamp(&mut out, series.to);
    out.push(b',');
    wire::write_list(&mut out, "series", &series.buckets, wire::write_bucket);
    out.push(b'}');
    Ok(json::answer(out))
}

fn unknown(id: &SensorId) -> Problem {
    let id = shortened(id.as_str());
    Problem::new(
        ProblemKind::UnknownSensor,
        format!(
            "there is no reading of the sensor `{id}`; GET /api/sensors lists the sensors with readings"
        ),
    )
}

//! `GET /api/stats`

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;

use super::ReadingRoutes;
use super::wire;
use crate::http::Problem;
use crate::http::extract::RawQuery;
use crate::readings::Selection;

/// Maximum, minimum and average over all readings, or over a sensor, or over a window `[from,to)`.
pub(super) async fn stats(
    State(routes): State<Arc<ReadingRoutes>>,
    query: RawQuery,
) -> Result<Response, Problem> {
    let query = query.parse(&["sensorId", "from", "to"])?;
    let selection = Selection {
        sensor: wire::sensor_parameter(&query)?,
        window: wire::window(&query)?,
    };
    let stats = routes.store.stats(&selection).await?;
    let mut out = Vec::with_capacity(96);
    wire::write_totals(&mut out, &stats);
    Ok(wire::json(out))
}

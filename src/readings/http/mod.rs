//! The routes of readings.

mod batches;
mod export;
mod queries;
mod sensors;
mod statistics;
mod temperature;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post, put};
use tokio::sync::Semaphore;

use super::ReadingStore;
use super::ingest::ByteBudget;

/// The limits of requests.
#[derive(Clone, Debug)]
pub struct ReadingLimits {
    /// The largest body of a single reading, in bytes.
    pub body_bytes_max: usize,
    /// The largest body of a batch, in bytes after decompression.
    pub batch_bytes_max: usize,
    /// Memory for all batches in parsing at the same time, in bytes.
    pub ingest_bytes_max: usize,
    /// How many exports may be under way at a time.
    pub exports_max: usize,
    /// How long a client may take to send the next piece of a body.
    pub body_idle: Duration,
    /// How long a client may take to accept the next piece of an export.
    pub export_idle: Duration,
}

/// The shared state of the handlers.
pub(crate) struct ReadingRoutes {
    store: Arc<dyn ReadingStore>,
    limits: ReadingLimits,
    budget: ByteBudget,
    exports: Arc<Semaphore>,
    totals: statistics::LastTotals,
}

/// The routes over a store.
pub fn router(store: Arc<dyn ReadingStore>, limits: ReadingLimits) -> Router {
    let routes = Arc::new(ReadingRoutes {
        store,
        budget: ByteBudget::new(limits.ingest_bytes_max),
        exports: Arc::new(Semaphore::new(limits.exports_max)),
        totals: statistics::LastTotals::default(),
        limits,
    });
    Router::new()
        .route("/api", get(temperature::hello))
        .route("/api/temperature", put(temperature::record))
        .route("/api/stats", get(statistics::stats))
        .route("/api/readings", post(batches::record).get(export::export))
        .route("/api/sensors", get(sensors::list))
        .route("/api/sensors/{id}", get(sensors::one))
        .route("/api/sensors/{id}/readings", get(sensors::readings))
        .route("/api/sensors/{id}/series", get(sensors::series))
        .with_state(routes)
}

//! Liveness, readiness, and the state of each store.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::app::App;
use crate::error::StoreError;
use crate::http::json::write_string;
use crate::http::{Problem, ProblemKind};

/// Whether the server is stopping: it answers what it has, and wants nothing new.
#[derive(Clone, Debug, Default)]
pub struct Draining(Arc<AtomicBool>);

impl Draining {
    /// From now on the server is not ready.
    pub fn begin(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn has_begun(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Clone)]
struct Health {
    app: App,
    draining: Draining,
}

/// `/livez`, `/readyz`, `/health`.
pub fn router(app: &App, draining: Draining) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/health", get(health))
        .with_state(Health {
            app: app.clone(),
            draining,
        })
}

/// The process is alive: it looks at nothing, so that a store that is down does not get it restarted.
async fn livez() -> Response {
    answer(StatusCode::OK, br#"{"status":"alive"}"#.to_vec())
}

/// Whether requests should be sent here.
async fn readyz(State(health): State<Health>) -> Result<Response, Problem> {
    if health.draining.has_begun() {
        let detail = "the server is shutting down; send requests to another one";
        return Err(Problem::new(ProblemKind::NotReady, detail).retry_after_seconds(5));
    }
    health.app.readings.ready().await.map_err(|error| {
        Problem::new(ProblemKind::NotReady, format!("readings: {error}")).retry_after_seconds(5)
    })?;
    Ok(answer(StatusCode::OK, br#"{"status":"ready"}"#.to_vec()))
}

/// Each store with its backend and its state.
async fn health(State(health): State<Health>) -> Response {
    let readings = &health.app.readings;
    let stores = [("readings", readings.backend(), readings.ready().await)];
    let sound = stores.iter().all(|(_, _, state)| state.is_ok());
    let mut out = Vec::with_capacity(128);
    out.extend_from_slice(b"{\"status\":");
    write_string(&mut out, if sound { "healthy" } else { "unhealthy" });
    out.extend_from_slice(b",\"stores\":{");
    for (at, (name, backend, state)) in stores.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write_store(&mut out, name, backend, state);
    }
    out.extend_from_slice(b"}}");
    answer(
        if sound {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        },
        out,
    )
}

fn write_store(out: &mut Vec<u8>, name: &str, backend: &str, state: &Result<(), StoreError>) {
    write_string(out, name);
    out.extend_from_slice(b":{\"backend\":");
    write_string(out, backend);
    out.extend_from_slice(b",\"state\":");
    match state {
        Ok(()) => write_string(out, "healthy"),
        Err(error) => {
            write_string(out, "unhealthy");
            out.extend_from_slice(b",\"reason\":");
            write_string(out, error.message());
        }
    }
    out.push(b'}');
}

fn answer(status: StatusCode, body: Vec<u8>) -> Response {
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        ),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (status, headers, body).into_response()
}

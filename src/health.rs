//! The routes `/livez`, `/readyz` and `/health`.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::future::join_all;

use crate::ecs_metadata::Instance;
use crate::error::{SHUTTING_DOWN, StoreError, StoreErrorKind};
use crate::http::json::{write_integer, write_string};
use crate::http::{Problem, ProblemKind};
use crate::storage::data_directory::DataDirectory;

/// How long a store may take to answer a check.
const CHECK_TIMEOUT: Duration = Duration::from_secs(1);

/// Whether the server is stopping. A stopping server finishes the requests under way and wants no new requests.
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

/// The pending answer of a store.
pub type Answer = Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send>>;

/// The check of a store.
pub struct Check {
    name: &'static str,
    backend: &'static str,
    is_needed: bool,
    ask: Box<dyn Fn() -> Answer + Send + Sync>,
    warnings: Box<dyn Fn() -> Vec<String> + Send + Sync>,
}

impl Check {
    /// The check of a store: the name of the store, the kind of the backend, and the functions that return the state and the warnings. The
    /// server is not ready while a needed store fails.
    pub fn new(
        name: &'static str,
        backend: &'static str,
        is_needed: bool,
        ask: impl Fn() -> Answer + Send + Sync + 'static,
        warnings: impl Fn() -> Vec<String> + Send + Sync + 'static,
    ) -> Self {
        Self {
            name,
            backend,
            is_needed,
            ask: Box::new(ask),
            warnings: Box::new(warnings),
        }
    }

    async fn state(&self) -> Result<(), StoreError> {
        let answer = tokio::time::timeout(CHECK_TIMEOUT, (self.ask)()).await;
        answer.unwrap_or_else(|_| {
            Err(StoreError::new(
                StoreErrorKind::Unavailable,
                format!("no answer within {} s", CHECK_TIMEOUT.as_secs_f64()),
            ))
        })
    }
}

struct Health {
    checks: Vec<Check>,
    directory: Option<Arc<DataDirectory>>,
    instance: Instance,
    draining: Draining,
}

/// `/livez`, `/readyz`, `/health`.
pub fn router(
    checks: Vec<Check>,
    directory: Option<Arc<DataDirectory>>,
    instance: Instance,
    draining: Draining,
) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/health", get(health))
        .with_state(Arc::new(Health {
            checks,
            directory,
            instance,
            draining,
        }))
}

/// The process is alive. No store is checked, because an unavailable store must not cause a restart.
async fn livez() -> Response {
    answer(StatusCode::OK, br#"{"status":"alive"}"#.to_vec())
}

/// Whether a load balancer should send requests here. Only needed stores count. When another store fails, only the routes of this store
/// fail. If such a store counted, no replica would get any requests.
async fn readyz(State(health): State<Arc<Health>>) -> Result<Response, Problem> {
    if health.draining.has_begun() {
        return Err(Problem::new(ProblemKind::NotReady, SHUTTING_DOWN).retry_after_seconds(5));
    }
    let needed = health.checks.iter().filter(|check| check.is_needed);
    let asked = needed.map(|check| async {
        let state = check.state().await;
        state.map_err(|error| format!("{}: {error}", check.name))
    });
    let states = join_all(asked).await;
    let faults: Vec<_> = states.into_iter().filter_map(Result::err).collect();
    if faults.is_empty() {
        return Ok(answer(StatusCode::OK, br#"{"status":"ready"}"#.to_vec()));
    }
    Err(Problem::new(ProblemKind::NotReady, faults.join("; ")).retry_after_seconds(5))
}

/// The state of each store and of the data directory.
async fn health(State(health): State<Arc<Health>>) -> Response {
    let states = join_all(health.checks.iter().map(Check::state)).await;
    let sound = states.iter().all(Result::is_ok);
    let mut out = Vec::with_capacity(512);
    out.extend_from_slice(b"{\"status\":");
    write_string(&mut out, if sound { "healthy" } else { "unhealthy" });
    out.extend_from_slice(b",\"name\":\"fieldstation\",\"stores\":{");
    for (at, (check, state)) in health.checks.iter().zip(&states).enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write_store(&mut out, check, state);
    }
    out.push(b'}');
    if let Some(directory) = &health.directory {
        write_directory(&mut out, directory);
    }
    health.instance.write_member(&mut out);
    out.push(b'}');
    answer(
        if sound {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        },
        out,
    )
}

fn write_store(out: &mut Vec<u8>, check: &Check, state: &Result<(), StoreError>) {
    write_string(out, check.name);
    out.extend_from_slice(b":{\"backend\":");
    write_string(out, check.backend);
    out.extend_from_slice(b",\"state\":");
    match state {
        Ok(()) => write_string(out, "healthy"),
        Err(error) => {
            write_string(out, "unhealthy");
            out.extend_from_slice(b",\"reason\":");
            write_string(out, error.message());
        }
    }
    let warnings = (check.warnings)();
    if !warnings.is_empty() {
        out.extend_from_slice(b",\"warnings\":");
        write_strings(out, &warnings);
    }
    out.push(b'}');
}

/// Writes the member `dataDirectory`.
fn write_directory(out: &mut Vec<u8>, directory: &DataDirectory) {
    out.extend_from_slice(b",\"dataDirectory\":{\"state\":");
    let state = match directory.ready() {
        Ok(()) if directory.is_read_only() => "read-only",
        Ok(()) => "healthy",
        Err(error) if error.kind() == StoreErrorKind::StorageFull => "full",
        Err(_) => "away",
    };
    write_string(out, state);
    if let Some(free_bytes) = directory.free_bytes() {
        out.extend_from_slice(b",\"freeBytes\":");
        write_integer(out, free_bytes);
    }
    let warnings = directory.warnings();
    if !warnings.is_empty() {
        out.extend_from_slice(b",\"warnings\":");
        write_strings(out, &warnings);
    }
    out.push(b'}');
}

fn write_strings(out: &mut Vec<u8>, texts: &[String]) {
    for (at, text) in texts.iter().enumerate() {
        out.push(if at == 0 { b'[' } else { b',' });
        write_string(out, text);
    }
    out.push(b']');
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

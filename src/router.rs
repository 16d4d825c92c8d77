//! The list of all routes, and the middleware.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::Method;
use tokio::sync::Semaphore;

use crate::app::App;
use crate::config::{Compatibility, Config};
use crate::ecs_metadata::Instance;
use crate::files::http::FileLimits;
use crate::greeting::http::GreetingLimits;
use crate::http::edge::Edge;
use crate::http::{Problem, ProblemKind};
use crate::readings::http::ReadingLimits;
use crate::todos::http::TodoLimits;
use crate::{files, greeting, health, openapi, pages, random, readings, todos};

/// All routes of the server, behind the middleware.
pub fn router(app: &App, config: &Config, draining: health::Draining) -> Arc<Edge> {
    let limits = ReadingLimits {
        body_bytes_max: memory(config.body_bytes_max),
        batch_bytes_max: memory(config.batch_bytes_max),
        ingest_bytes_max: memory(config.ingest_bytes_max),
        exports_max: memory(config.exports_max),
        body_idle: config.body_idle_seconds.duration(),
        export_idle: config.export_idle_seconds.duration(),
    };
    let greeting_limits = GreetingLimits {
        body_bytes_max: limits.body_bytes_max,
        body_idle: limits.body_idle,
    };
    let todo_limits = TodoLimits {
        body_bytes_max: limits.body_bytes_max,
        body_idle: limits.body_idle,
    };
    let file_limits = FileLimits {
        upload_bytes_max: config.upload_bytes_max,
        transfers_max: memory(config.transfers_max).min(Semaphore::MAX_PERMITS),
        body_idle: config.body_idle_seconds.duration(),
    };
    let router = Router::new()
        .merge(pages::router(app, config.listen, config.read_only))
        .merge(openapi::router(config.listen))
        .merge(health::router(
            app.checks(&config.needed),
            app.directory().cloned(),
            instance(config),
            draining,
        ))
        .merge(greeting::http::router(
            Arc::clone(&app.greeting),
            greeting_limits,
        ))
        .merge(readings::http::router(Arc::clone(&app.readings), limits))
        .merge(todos::http::router(Arc::clone(&app.todos), todo_limits))
        .merge(files::http::router(Arc::clone(&app.files), file_limits))
        .merge(older_routes(app, config, todo_limits))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed);
    let time_max = config.request_timeout_seconds.duration();
    Arc::new(Edge::new(
        router,
        random::seed(),
        time_max,
        config.read_only,
    ))
}

/// The routes of older systems, unless the configuration leaves them out.
fn older_routes(app: &App, config: &Config, limits: TodoLimits) -> Router {
    match config.compatibility {
        Compatibility::Older => todos::http::older::router(Arc::clone(&app.todos), limits),
        Compatibility::None => Router::new(),
    }
}

fn instance(config: &Config) -> Instance {
    let instance = Instance::default();
    if let Some(metadata) = &config.ecs_metadata {
        instance.ask_ecs(metadata.clone());
    }
    instance
}

async fn not_found() -> Problem {
    Problem::new(
        ProblemKind::NotFound,
        "there is no such route; the front page, /, leads to those that there are",
    )
}

/// The `Allow` header is the router's.
async fn method_not_allowed(request: Request) -> Problem {
    let hint = match *request.method() {
        Method::POST if request.uri().path() == "/api/temperature" => {
            "; a single reading is sent with PUT, a batch with POST to /api/readings"
        }
        Method::POST if request.uri().path().starts_with("/api/devices/") => {
            "; a file is sent with PUT"
        }
        _ => "",
    };
    Problem::new(
        ProblemKind::MethodNotAllowed,
        format!(
            "{} is not a method of this route; the header Allow names those that are{hint}",
            request.method()
        ),
    )
}

fn memory(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

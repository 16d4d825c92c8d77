//! The floor: the HTTP stack of the product. The handlers read the body, parse and store nothing, and send the same bytes as the
//! product. The floor has no middleware and no time-outs. All cost above the floor is the cost of the product.

use std::io::Write;

use anyhow::Result;
use axum::Router;
use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::{get, post, put};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;

use crate::floor_files;

/// The argument turns the benchmark into this server.
pub(crate) const ARGUMENT: &str = "--floor-server";

/// Serves until the benchmark kills the process. First logs a line like the log line of the product.
pub(crate) fn serve() -> Result<()> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(accept())
}

async fn accept() -> Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    println!("{{\"address\":\"{}\"}}", listener.local_addr()?);
    std::io::stdout().flush()?;
    let router = Router::new()
        .route("/api", get(|| answer("{\"message\":\"Hello!\"}")))
        .route("/api/temperature", put(temperature))
        .route("/api/readings", post(readings))
        .route("/api/stats", get(|| answer(STATS)))
        .merge(floor_files::router())
        .layer(DefaultBodyLimit::disable());
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let service = TowerToHyperService::new(router.clone());
        tokio::spawn(async move {
            // An error means a disconnected client.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

/// An answer with the length of a real answer.
const STATS: &str = "{\"Maximum\":39.99,\"Minimum\":10,\"Average\":24.996317142857144}";

async fn temperature(body: Bytes) -> impl IntoResponse {
    drop(body);
    answer("{\"message\":\"Temperature reading recorded successfully\"}").await
}

/// The answer to 10,000 new readings, whatever the body holds.
async fn readings(body: Bytes) -> impl IntoResponse {
    drop(body);
    answer("{\"recorded\":10000,\"unchanged\":0,\"replaced\":0,\"rejected\":0}").await
}

async fn answer(body: &'static str) -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], body)
}

//! The floor: the product's HTTP stack with handlers that read the body, parse nothing and store nothing, and answer the
//! same bytes. No middleware and no time-outs either: whatever the product needs more than this is its own doing.

use std::io::Write;

use anyhow::Result;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::DefaultBodyLimit;
use axum::http::HeaderValue;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::response::IntoResponse;
use axum::routing::{get, post, put};
use futures_util::StreamExt;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;

/// The argument that makes the benchmark this server.
pub(crate) const ARGUMENT: &str = "--floor-server";

/// Serves until it is killed, after a log line like the product's.
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
        .route("/api/devices/{id}", put(discard).get(text))
        .route("/api/devices/{id}/content", get(content))
        .layer(DefaultBodyLimit::disable());
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let service = TowerToHyperService::new(router.clone());
        tokio::spawn(async move {
            // An error is a client that went away.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

/// As long as a real answer.
const STATS: &str = "{\"Maximum\":39.99,\"Minimum\":10,\"Average\":24.996317142857144}";

async fn temperature(body: Bytes) -> impl IntoResponse {
    drop(body);
    answer("{\"message\":\"Temperature reading recorded successfully\"}").await
}

/// Whatever the body holds, the answer is the one to 10,000 new readings.
async fn readings(body: Bytes) -> impl IntoResponse {
    drop(body);
    answer("{\"recorded\":10000,\"unchanged\":0,\"replaced\":0,\"rejected\":0}").await
}

/// A file of the size that the benchmark sends: thrown away as it comes.
async fn discard(body: Body) -> impl IntoResponse {
    let mut pieces = body.into_data_stream();
    while let Some(Ok(piece)) = pieces.next().await {
        drop(piece);
    }
    answer("{\"message\":\"File uploaded for Device ID - 0\"}").await
}

async fn content() -> impl IntoResponse {
    from_memory(64 << 20)
}

/// As long as the base64 text of that file.
async fn text() -> impl IntoResponse {
    from_memory((64_u64 << 20).div_ceil(3) * 4)
}

/// The same piece over and over, of the size that the product reads at a time.
fn from_memory(length: u64) -> impl IntoResponse {
    const PIECE: u64 = 256 * 1024;
    let piece = Bytes::from(vec![0x5a; PIECE as usize]);
    let pieces = (0..length.div_ceil(PIECE)).map(move |number| {
        let left = (length - number * PIECE).min(PIECE) as usize;
        Ok::<_, std::io::Error>(piece.slice(..left))
    });
    let body = Body::from_stream(futures_util::stream::iter(pieces));
    ([(CONTENT_LENGTH, HeaderValue::from(length))], body)
}

async fn answer(body: &'static str) -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], body)
}

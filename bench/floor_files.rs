//! The floor for files: uploads are discarded and downloads come from memory; or plain writes and reads. No digest, name,
//! list or condition.

use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Path;
use axum::http::header::CONTENT_LENGTH;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use futures_util::{StreamExt, stream};
use tokio::task::{JoinError, spawn_blocking};

/// The size of the file in the benchmark.
pub(crate) const FILE_BYTES: u64 = 64 << 20;

/// The size of the pieces from the product to the disk.
const PIECE_BYTES: u64 = 256 * 1024;

const STORED: &str = "{\"message\":\"File uploaded for Device ID - 0\"}";

pub(crate) fn router() -> Router {
    Router::new()
        .route("/api/devices/{id}", put(discard).get(text))
        .route("/api/devices/{id}/content", get(content))
        .route("/disk/{id}", put(store))
        .route("/disk/{id}/content", get(stored))
}

async fn discard(body: Body) -> &'static str {
    let mut pieces = body.into_data_stream();
    while let Some(Ok(piece)) = pieces.next().await {
        drop(piece);
    }
    STORED
}

async fn content() -> Response {
    from_memory(FILE_BYTES)
}

/// As long as the base64 text of the file.
async fn text() -> Response {
    from_memory(FILE_BYTES.div_ceil(3) * 4)
}

/// The same piece again and again.
fn from_memory(length: u64) -> Response {
    let piece = Bytes::from(vec![0x5a; PIECE_BYTES as usize]);
    let pieces = (0..length.div_ceil(PIECE_BYTES)).map(move |number| {
        let left = (length - number * PIECE_BYTES).min(PIECE_BYTES) as usize;
        Ok::<_, io::Error>(piece.slice(..left))
    });
    with_length(length, Body::from_stream(stream::iter(pieces)))
}

fn with_length(length: u64, body: Body) -> Response {
    ([(CONTENT_LENGTH, HeaderValue::from(length))], body).into_response()
}

/// The path of a file: in the working directory of the process.
fn path(id: u32) -> String {
    format!("floor-{id}")
}

/// Writes a piece while the next piece arrives, flushes once, renames, and answers.
async fn store(Path(id): Path<u32>, body: Body) -> Response {
    let receive = async || -> io::Result<&str> {
        let partial = format!("{}.part", path(id));
        let file = Arc::new(File::create(&partial)?);
        let mut body = body.into_data_stream();
        let mut pieces: Vec<Bytes> = Vec::new();
        let mut writing = None;
        let mut bytes = 0;
        loop {
            let piece = body.next().await.transpose().map_err(io::Error::other)?;
            let is_last = piece.is_none();
            bytes += piece.as_ref().map_or(0, Bytes::len);
            pieces.extend(piece);
            if bytes as u64 >= PIECE_BYTES || is_last {
                if let Some(written) = writing.take() {
                    joined(written).await?;
                }
                let (file, pieces) = (Arc::clone(&file), std::mem::take(&mut pieces));
                bytes = 0;
                writing = Some(spawn_blocking(move || {
                    pieces
                        .iter()
                        .try_for_each(|piece| (&*file).write_all(piece))
                }));
            }
            if is_last {
                break;
            }
        }
        if let Some(written) = writing {
            joined(written).await?;
        }
        joined(spawn_blocking(move || {
            file.sync_all()?;
            std::fs::rename(partial, path(id))?;
            File::open(".")?.sync_all()
        }))
        .await?;
        Ok(STORED)
    };
    match receive().await {
        Ok(answer) => answer.into_response(),
        Err(error) => failed(&error),
    }
}

async fn joined(work: impl Future<Output = Result<io::Result<()>, JoinError>>) -> io::Result<()> {
    work.await.map_err(io::Error::other)?
}

async fn stored(Path(id): Path<u32>) -> Response {
    let file = match File::open(path(id)) {
        Ok(file) => Arc::new(file),
        Err(error) => return failed(&error),
    };
    let pieces = stream::iter(0..FILE_BYTES / PIECE_BYTES).then(move |_| {
        let file = Arc::clone(&file);
        async move {
            let piece = spawn_blocking(move || {
                let mut piece = Vec::with_capacity(PIECE_BYTES as usize);
                (&*file).take(PIECE_BYTES).read_to_end(&mut piece)?;
                io::Result::Ok(Bytes::from(piece))
            });
            piece.await.map_err(io::Error::other)?
        }
    });
    with_length(FILE_BYTES, Body::from_stream(pieces))
}

fn failed(error: &io::Error) -> Response {
    (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response()
}

//! `GET /api/readings`

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};
use tokio::sync::mpsc;
use tracing::warn;

use super::{ReadingRoutes, queries};
use crate::http::extract::{Query, RawQuery};
use crate::http::media_type::preferred;
use crate::http::{Problem, ProblemKind};
use crate::readings::Export;
use crate::readings::encode::TextFormat;

/// The most pieces that wait for the client.
const PIECES_MAX: usize = 2;

/// The least size of a piece, except for the last piece.
const PIECE_BYTES: usize = 64 * 1024;

/// Streams all selected readings of a single snapshot.
pub(super) async fn export(
    State(routes): State<Arc<ReadingRoutes>>,
    query: RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let query = query.parse(&["sensorId", "from", "to", "format"])?;
    let format = TextFormat::of(&query, &headers)?;
    let selection = queries::selection(&query)?;
    let permit = Arc::clone(&routes.exports)
        .try_acquire_owned()
        .map_err(|_| {
            let most = routes.limits.exports_max;
            Problem::new(
                ProblemKind::Overloaded,
                format!(
                    "{most} exports are under way, which is the limit; try again when one has ended"
                ),
            )
            .retry_after_seconds(5)
        })?;
    let export = routes.store.export(&selection).await?;
    let (pieces, received) = mpsc::channel(PIECES_MAX);
    let idle = routes.limits.export_idle;
    tokio::spawn(async move {
        send(export, format, pieces, idle).await;
        drop(permit);
    });
    let content_type = HeaderValue::from_static(format.content_type());
    let body = Body::from_stream(complete_body(received));
    Ok(([(header::CONTENT_TYPE, content_type)], body).into_response())
}

/// How a request chooses the format, and how the answer names the format.
impl TextFormat {
    const fn content_type(self) -> &'static str {
        match self {
            Self::Ndjson => "application/x-ndjson",
            Self::Csv => "text/csv; charset=utf-8; header=present",
        }
    }

    const fn media_type(self) -> &'static str {
        match self {
            Self::Ndjson => "application/x-ndjson",
            Self::Csv => "text/csv",
        }
    }

    /// The format of `?format=`, or else the format that `Accept` prefers.
    fn of(query: &Query, headers: &HeaderMap) -> Result<Self, Problem> {
        match query.get("format") {
            Some("ndjson") => return Ok(Self::Ndjson),
            Some("csv") => return Ok(Self::Csv),
            Some(_) => return Err(Problem::parameter("format", "must be ndjson or csv")),
            None => {}
        }
        let offers = [Self::Ndjson, Self::Csv].map(Self::media_type);
        match preferred(headers, &offers) {
            Some(offer) if offer == Self::Csv.media_type() => Ok(Self::Csv),
            Some(_) => Ok(Self::Ndjson),
            None => Err(Problem::new(
                ProblemKind::NotAcceptable,
                "an export is given as application/x-ndjson or text/csv: accept one of them, or ask with ?format=",
            )),
        }
    }
}

/// A message from the task that reads the store to the response: a piece of the body, or `None` for the end. A failed export never
/// sends the end.
type Piece = Option<Bytes>;

/// Sends an export to the response. Stops when the client disconnects, or reads nothing for `idle`. So no snapshot stays open.
async fn send(mut export: Export, format: TextFormat, pieces: mpsc::Sender<Piece>, idle: Duration) {
    let mut out = format.header().to_vec();
    loop {
        let block = tokio::select! {
            block = export.try_next() => block,
            // The next block may take long, so a disconnect of the client is noticed here.
            () = pieces.closed() => return,
        };
        let block = match block {
            Ok(block) => block,
            Err(error) => {
                warn!(%error, "an export broke off");
                return;
            }
        };
        let ended = block.is_none();
        if let Some(block) = block {
            format.write_block(&mut out, &block);
        }
        // Many sensors with few readings each give many small blocks.
        if out.len() < PIECE_BYTES && !ended {
            continue;
        }
        let piece = Bytes::from(std::mem::take(&mut out));
        if !piece.is_empty() && pieces.send_timeout(Some(piece), idle).await.is_err() {
            return;
        }
        if ended {
            // The client may have disconnected.
            let _ = pieces.send_timeout(None, idle).await;
            return;
        }
    }
}

/// The pieces as a body. If the export failed, the body ends with an error. The error closes the connection, so the client sees that
/// readings are missing.
fn complete_body(received: mpsc::Receiver<Piece>) -> impl Stream<Item = io::Result<Bytes>> {
    futures_util::stream::try_unfold(received, async |mut received| match received.recv().await {
        Some(Some(piece)) => Ok(Some((piece, received))),
        Some(None) => Ok(None),
        None => Err(io::Error::other("the export broke off")),
    })
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;

    use super::*;
    use crate::error::{StoreError, StoreErrorKind};
    use crate::readings::{ExportBlock, Point, SensorId, Temperature, Timestamp};

    /// Blocks of a single sensor each, enough for several pieces.
    fn blocks() -> Vec<Result<ExportBlock, StoreError>> {
        let point = Point {
            timestamp: Timestamp::MIN,
            temperature: Temperature::MAX,
        };
        (0..10)
            .map(|sensor| {
                Ok(ExportBlock {
                    sensor: SensorId::new(&format!("s{sensor}")).unwrap(),
                    points: vec![point; 1000],
                })
            })
            .collect()
    }

    async fn body_of(
        blocks: Vec<Result<ExportBlock, StoreError>>,
        waits_for_sender: bool,
    ) -> Vec<io::Result<Bytes>> {
        let export: Export = Box::pin(futures_util::stream::iter(blocks));
        let (pieces, received) = mpsc::channel(PIECES_MAX);
        let idle = if waits_for_sender {
            Duration::from_millis(50)
        } else {
            Duration::from_secs(60)
        };
        let mut sender = tokio::spawn(send(export, TextFormat::Csv, pieces, idle));
        if waits_for_sender {
            (&mut sender).await.unwrap();
        }
        let body = complete_body(received).collect().await;
        if !waits_for_sender {
            sender.await.unwrap();
        }
        body
    }

    #[tokio::test]
    async fn a_complete_export_ends_without_an_error() {
        let body = body_of(blocks(), false).await;
        let lines: usize = body
            .into_iter()
            .map(|piece| piece.unwrap().iter().filter(|&&byte| byte == b'\n').count())
            .sum();
        assert_eq!(lines, 10_001);
        let empty = body_of(Vec::new(), false).await;
        assert_eq!(
            empty[0].as_ref().unwrap(),
            "sensorId,timestamp,temperature\n"
        );
        assert_eq!(empty.len(), 1);
    }

    #[tokio::test]
    async fn a_store_that_fails_midway_breaks_the_body_off() {
        let mut blocks = blocks();
        blocks[7] = Err(StoreError::new(
            StoreErrorKind::Damaged,
            "a chunk is damaged",
        ));
        let body = body_of(blocks, false).await;
        assert!(body.first().unwrap().is_ok());
        assert!(body.last().unwrap().is_err());
    }

    #[tokio::test]
    async fn an_export_whose_client_has_left_is_not_read_on() {
        let (pieces, received) = mpsc::channel(PIECES_MAX);
        let export: Export = Box::pin(futures_util::stream::pending());
        let idle = Duration::from_secs(3_600);
        let sender = tokio::spawn(send(export, TextFormat::Csv, pieces, idle));
        drop(received);
        let sent = tokio::time::timeout(Duration::from_secs(30), sender).await;
        assert!(sent.is_ok(), "it waits for more");
    }

    /// The server gave the export up, and then the client reads on: the client must not take the rest for the whole export.
    #[tokio::test]
    async fn a_client_that_read_nothing_for_too_long_sees_the_body_broken_off() {
        let body = body_of(blocks(), true).await;
        assert!(body.last().unwrap().is_err());
    }
}

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

use super::ReadingRoutes;
use super::wire;
use crate::http::extract::{Query, RawQuery};
use crate::http::{Problem, ProblemKind};
use crate::readings::encode::TextFormat;
use crate::readings::{Export, Selection};

/// How many pieces wait for the client at a time.
const PIECES_MAX: usize = 2;

/// How large a piece is at least, but for the last.
const PIECE_BYTES: usize = 64 * 1024;

/// All selected readings as they are at one moment, streamed.
pub(super) async fn export(
    State(routes): State<Arc<ReadingRoutes>>,
    query: RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let query = query.parse(&["sensorId", "from", "to", "format"])?;
    let format = TextFormat::of(&query, &headers)?;
    let selection = Selection {
        sensor: wire::sensor_parameter(&query)?,
        window: wire::window(&query)?,
    };
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
    let body = Body::from_stream(whole(received));
    Ok(([(header::CONTENT_TYPE, content_type)], body).into_response())
}

/// How a request chooses its format, and how the answer names it.
impl TextFormat {
    const fn content_type(self) -> &'static str {
        match self {
            Self::Ndjson => "application/x-ndjson",
            Self::Csv => "text/csv; charset=utf-8; header=present",
        }
    }

    /// `?format=` before `Accept`, whose order of preference is followed.
    fn of(query: &Query, headers: &HeaderMap) -> Result<Self, Problem> {
        match query.get("format") {
            Some("ndjson") => return Ok(Self::Ndjson),
            Some("csv") => return Ok(Self::Csv),
            Some(_) => return Err(Problem::parameter("format", "must be ndjson or csv")),
            None => {}
        }
        let accept: Vec<_> = headers
            .get_all(header::ACCEPT)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .collect();
        if accept.is_empty() {
            return Ok(Self::Ndjson);
        }
        Self::accepted(&accept.join(",")).ok_or_else(|| {
            Problem::new(
                ProblemKind::NotAcceptable,
                "an export is given as application/x-ndjson or text/csv: accept one of them, or ask with ?format=",
            )
        })
    }

    /// The format that a list of media ranges prefers; NDJSON where it does not matter.
    fn accepted(accept: &str) -> Option<Self> {
        let quality = |own: &str| {
            // The most specific range that fits says how much it is wanted.
            let fits = accept.split(',').filter_map(|range| {
                let mut parts = range.split(';').map(str::trim);
                let name = parts.next()?;
                let (kind, _) = own.split_once('/')?;
                let specific = if name.eq_ignore_ascii_case(own) {
                    2
                } else if name
                    .strip_suffix("/*")
                    .is_some_and(|prefix| prefix.eq_ignore_ascii_case(kind))
                {
                    1
                } else if name == "*/*" {
                    0
                } else {
                    return None;
                };
                let quality = parts
                    .find_map(|part| part.strip_prefix("q="))
                    .map_or(Some(1.0), |quality| quality.parse::<f32>().ok())?;
                Some((specific, quality))
            });
            fits.max_by_key(|(specific, _)| *specific)
                .map_or(0.0, |(_, quality)| quality)
        };
        let (ndjson, csv) = (quality("application/x-ndjson"), quality("text/csv"));
        if ndjson <= 0.0 && csv <= 0.0 {
            None
        } else if ndjson >= csv {
            Some(Self::Ndjson)
        } else {
            Some(Self::Csv)
        }
    }
}

/// What goes from the task that reads the store to the response: a piece, or `None` for the end. An export that breaks off
/// lacks the end.
type Piece = Option<Bytes>;

/// Feeds the response. A client that leaves, or takes nothing for `idle`, has its export broken off, so that it holds no snapshot.
async fn send(mut export: Export, format: TextFormat, pieces: mpsc::Sender<Piece>, idle: Duration) {
    let mut out = format.header().to_vec();
    loop {
        let block = tokio::select! {
            block = export.try_next() => block,
            // It may take long until there is a block to send, which would fail.
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
        // Many sensors with few readings each make many small blocks.
        if out.len() < PIECE_BYTES && !ended {
            continue;
        }
        let piece = Bytes::from(std::mem::take(&mut out));
        if !piece.is_empty() && pieces.send_timeout(Some(piece), idle).await.is_err() {
            return;
        }
        if ended {
            // Without a receiver there is nobody left to tell.
            let _ = pieces.send_timeout(None, idle).await;
            return;
        }
    }
}

/// The pieces as a body that ends well only when the export did: otherwise the connection breaks off, which is how a client
/// sees that something is missing.
fn whole(received: mpsc::Receiver<Piece>) -> impl Stream<Item = io::Result<Bytes>> {
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

    /// Blocks of one sensor each, enough for several pieces.
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
        client_pause: Duration,
    ) -> Vec<io::Result<Bytes>> {
        let export: Export = Box::pin(futures_util::stream::iter(blocks));
        let (pieces, received) = mpsc::channel(PIECES_MAX);
        let idle = Duration::from_millis(50);
        let sender = tokio::spawn(send(export, TextFormat::Csv, pieces, idle));
        tokio::time::sleep(client_pause).await;
        let body = whole(received).collect().await;
        sender.await.unwrap();
        body
    }

    #[tokio::test]
    async fn a_whole_export_ends_well() {
        let body = body_of(blocks(), Duration::ZERO).await;
        let lines: usize = body
            .into_iter()
            .map(|piece| piece.unwrap().iter().filter(|&&byte| byte == b'\n').count())
            .sum();
        assert_eq!(lines, 10_001);
        let empty = body_of(Vec::new(), Duration::ZERO).await;
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
        let body = body_of(blocks, Duration::ZERO).await;
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

    /// A client that wakes up after its export was given up must not take what is left of it for the whole.
    #[tokio::test]
    async fn a_client_that_took_nothing_for_too_long_sees_the_body_broken_off() {
        let body = body_of(blocks(), Duration::from_millis(300)).await;
        assert!(body.last().unwrap().is_err());
    }

    #[test]
    fn the_preferred_format_is_given() {
        for (accept, format) in [
            ("*/*", Some(TextFormat::Ndjson)),
            ("text/csv", Some(TextFormat::Csv)),
            ("text/*", Some(TextFormat::Csv)),
            (
                "text/csv;q=0.5, application/x-ndjson;q=0.9",
                Some(TextFormat::Ndjson),
            ),
            ("text/csv;q=0.5, */*;q=0.1", Some(TextFormat::Csv)),
            ("text/csv;q=0, */*", Some(TextFormat::Ndjson)),
            ("application/xml, text/html", None),
            ("*/*;q=0", None),
        ] {
            assert_eq!(TextFormat::accepted(accept), format, "{accept}");
        }
    }
}

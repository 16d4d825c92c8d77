//! `GET /api/readings`

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::TryStreamExt;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tracing::warn;

use super::ReadingRoutes;
use super::wire;
use crate::http::extract::{Query, RawQuery};
use crate::http::json::write_string;
use crate::http::{Problem, ProblemKind};
use crate::readings::{Export, ExportBlock, Selection};

/// How many pieces wait for the client at a time.
const PIECES_MAX: usize = 2;

/// All selected readings as they are at one moment, streamed.
pub(super) async fn export(
    State(routes): State<Arc<ReadingRoutes>>,
    query: RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let query = query.parse(&["sensorId", "from", "to", "format"])?;
    let format = Format::of(&query, &headers)?;
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
    let (pieces, receiver) = mpsc::channel(PIECES_MAX);
    tokio::spawn(send(
        export,
        format,
        pieces,
        routes.limits.export_idle,
        permit,
    ));
    let content_type = HeaderValue::from_static(format.content_type());
    let body = Body::from_stream(ReceiverStream::new(receiver));
    Ok(([(header::CONTENT_TYPE, content_type)], body).into_response())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Ndjson,
    Csv,
}

impl Format {
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

    fn write(self, block: &ExportBlock) -> Vec<u8> {
        let mut out = Vec::with_capacity(block.points.len() * 96);
        let mut prefix = Vec::new();
        match self {
            Self::Ndjson => {
                prefix.extend_from_slice(b"{\"sensorId\":");
                write_string(&mut prefix, block.sensor.as_str());
                prefix.extend_from_slice(b",\"timestamp\":\"");
                for point in &block.points {
                    out.extend_from_slice(&prefix);
                    point.timestamp.write_to(&mut out);
                    out.extend_from_slice(b"\",\"temperature\":");
                    point.temperature.write_to(&mut out);
                    out.extend_from_slice(b"}\n");
                }
            }
            Self::Csv => {
                write_csv_field(&mut prefix, block.sensor.as_str());
                for point in &block.points {
                    out.extend_from_slice(&prefix);
                    out.push(b',');
                    point.timestamp.write_to(&mut out);
                    out.push(b',');
                    point.temperature.write_to(&mut out);
                    out.push(b'\n');
                }
            }
        }
        out
    }
}

/// Quoted where RFC 4180 asks for it.
fn write_csv_field(out: &mut Vec<u8>, text: &str) {
    if text
        .bytes()
        .any(|byte| matches!(byte, b'"' | b',' | b'\r' | b'\n'))
    {
        out.push(b'"');
        out.extend_from_slice(text.replace('"', "\"\"").as_bytes());
        out.push(b'"');
    } else {
        out.extend_from_slice(text.as_bytes());
    }
}

/// Feeds the response. An error breaks the body off before its end, which is what tells the client.
async fn send(
    mut export: Export,
    format: Format,
    pieces: mpsc::Sender<io::Result<Bytes>>,
    idle: Duration,
    _permit: OwnedSemaphorePermit,
) {
    let header: &'static [u8] = match format {
        Format::Ndjson => b"",
        Format::Csv => b"sensorId,timestamp,temperature\n",
    };
    let mut next = Ok(Some(Bytes::from_static(header)));
    loop {
        let piece = match next {
            Ok(Some(piece)) => piece,
            Ok(None) => return,
            Err(error) => {
                warn!(%error, "an export was broken off");
                let _ = pieces
                    .send_timeout(Err(io::Error::other("the export failed")), idle)
                    .await;
                return;
            }
        };
        if pieces.send_timeout(Ok(piece), idle).await.is_err() {
            return; // The client has gone, or takes nothing.
        }
        let block = export.try_next().await;
        next = block.map(|block| block.map(|block| Bytes::from(format.write(&block))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_preferred_format_is_given() {
        for (accept, format) in [
            ("*/*", Some(Format::Ndjson)),
            ("text/csv", Some(Format::Csv)),
            ("text/*", Some(Format::Csv)),
            (
                "text/csv;q=0.5, application/x-ndjson;q=0.9",
                Some(Format::Ndjson),
            ),
            ("text/csv;q=0.5, */*;q=0.1", Some(Format::Csv)),
            ("text/csv;q=0, */*", Some(Format::Ndjson)),
            ("application/xml, text/html", None),
            ("*/*;q=0", None),
        ] {
            assert_eq!(Format::accepted(accept), format, "{accept}");
        }
    }

    #[test]
    fn csv_fields_are_quoted_where_they_must_be() {
        for (text, field) in [("a b", "a b"), ("a,b", "\"a,b\""), ("a\"b", "\"a\"\"b\"")] {
            let mut out = Vec::new();
            write_csv_field(&mut out, text);
            assert_eq!(out, field.as_bytes());
        }
    }
}

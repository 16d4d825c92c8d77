//! `POST /api/readings`

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;

use super::{ReadingRoutes, wire};
use crate::error::StoreError;
use crate::http::extract::RawQuery;
use crate::http::json::{self, Separator, write_array, write_integer, write_key, write_string};
use crate::http::media_type::{MediaType, URLENCODED_FORM};
use crate::http::{ContentEncoding, Problem, ProblemKind, body};
use crate::readings::ingest::{
    BatchParser, BodyError, BodyErrorKind, Decoder, Format, OverBudget, Parsed, PositionKind,
    Rejection,
};
use crate::readings::{Outcome, RecordMode};

/// After this many decompressed bytes, the parser lets other tasks run.
const YIELD_BYTES: usize = 256 * 1024;

const FORMATS: &str = "send a batch as application/json (an array), application/x-ndjson (an object a line) or text/csv (with a header)";

/// Records a batch, and parses the batch during its arrival. All readings are recorded or none; with `?partial=true`, the accepted
/// readings are recorded.
pub(super) async fn record(
    State(routes): State<Arc<ReadingRoutes>>,
    query: RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let partial = query.parse(&["partial"])?.flag("partial")?;
    let mode = if partial {
        RecordMode::Partial
    } else {
        RecordMode::AllOrNothing
    };
    let mut parsed = parse(&routes, &headers, body, mode).await?;
    if parsed.rejected > 0 && mode == RecordMode::AllOrNothing {
        return Err(rejected_batch_problem(&parsed));
    }
    let batch = std::mem::take(&mut parsed.batch);
    let outcome = routes
        .store
        .record(batch, mode)
        .await
        .map_err(|error| store_problem(error, &parsed))?;
    parsed.refuse(&outcome.refused);
    Ok(json::answer(summary(&outcome, &parsed)))
}

async fn parse(
    routes: &ReadingRoutes,
    headers: &HeaderMap,
    body: Body,
    mode: RecordMode,
) -> Result<Parsed, Problem> {
    let limits = &routes.limits;
    let parser = BatchParser::new(format(headers)?, mode, limits.batch_bytes_max);
    let mut decoder = Decoder::new(encoding(headers)?, parser).map_err(|error| {
        Problem::new(ProblemKind::Internal, "a decoder could not be set up").with_source(error)
    })?;
    let mut share = routes.budget.share();
    let mut yielded_at = 0;
    let mut chunks = body::Chunks::new(body, limits.body_idle);
    while let Some(chunk) = chunks.next().await? {
        let mut rest = &chunk[..];
        loop {
            let more = decoder
                .step(&mut rest)
                .map_err(|error| body_problem(&error))?;
            share
                .grow_to(decoder.memory_bytes())
                .map_err(|OverBudget| over_budget())?;
            if !more {
                break;
            }
            if decoder.bytes() - yielded_at >= YIELD_BYTES {
                yielded_at = decoder.bytes();
                tokio::task::yield_now().await;
            }
        }
    }
    decoder.finish().map_err(|error| body_problem(&error))
}

fn over_budget() -> Problem {
    Problem::new(
        ProblemKind::Overloaded,
        "other batches fill the memory for batches; nothing of this batch was stored, send it again",
    )
    .retry_after_seconds(1)
}

fn format(headers: &HeaderMap) -> Result<Format, Problem> {
    let Some(media_type) = MediaType::of_body(headers) else {
        return Ok(Format::Undeclared);
    };
    if media_type.is("application/json") {
        Ok(Format::JsonArray)
    } else if media_type.is("application/x-ndjson") {
        Ok(Format::Ndjson)
    } else if media_type.is("text/csv") {
        Ok(Format::Csv)
    } else if media_type.is("text/plain") || media_type.is(URLENCODED_FORM) {
        // Programs send these types by default: curl calls every body a form.
        Ok(Format::Undeclared)
    } else {
        Err(Problem::new(ProblemKind::UnsupportedMediaType, FORMATS))
    }
}

fn encoding(headers: &HeaderMap) -> Result<ContentEncoding, Problem> {
    ContentEncoding::of_body(headers).ok_or_else(|| {
        Problem::new(
            ProblemKind::UnsupportedMediaType,
            "send a batch uncompressed, or with one content encoding: gzip or zstd",
        )
        .accept_encoding("gzip, zstd")
    })
}

/// `{"recorded":n,"unchanged":n,"replaced":n,"rejected":n}`, with a member `errors` if readings were rejected.
fn summary(outcome: &Outcome, parsed: &Parsed) -> Vec<u8> {
    let mut out = Vec::with_capacity(80);
    let counts = [
        ("recorded", outcome.recorded),
        ("unchanged", outcome.unchanged),
        ("replaced", outcome.replaced),
        ("rejected", parsed.rejected),
    ];
    out.push(b'{');
    let mut separator = Separator::default();
    for (name, count) in counts {
        separator.write(&mut out);
        write_key(&mut out, name);
        write_integer(&mut out, count);
    }
    if parsed.rejected > 0 {
        separator.write(&mut out);
        wire::write_list(&mut out, "errors", &parsed.rejections, |out, rejection| {
            write_rejection(out, parsed.position_kind, rejection);
        });
    }
    out.push(b'}');
    out
}

fn rejected_batch_problem(parsed: &Parsed) -> Problem {
    let errors = rejections(parsed.position_kind, &parsed.rejections);
    let more = if parsed.rejected > parsed.rejections.len() as u64 {
        format!(", of which the first {} are named", parsed.rejections.len())
    } else {
        String::new()
    };
    let detail = format!(
        "{} of the readings are not accepted{more}; nothing was stored. Send them corrected, or with ?partial=true to store \
         the others",
        parsed.rejected
    );
    Problem::new(ProblemKind::InvalidBatch, detail)
        .with_member("rejected", parsed.rejected.to_string().into_bytes())
        .with_member("errors", errors)
}

/// The problem for a failed batch. The store may have recorded a part of the batch. The problem names the readings that are not
/// known to be stored.
fn store_problem(error: StoreError, parsed: &Parsed) -> Problem {
    const NAMED_MAX: usize = 100;
    let unstored = error.unstored();
    if unstored.is_empty() {
        return Problem::from(error);
    }
    let named = unstored.iter().take(NAMED_MAX).map(|index| Rejection {
        position: parsed.position(*index),
        field: None,
        reason: "is not known to be stored".to_owned(),
    });
    let errors = rejections(parsed.position_kind, &named.collect::<Vec<_>>());
    let count = unstored.len().to_string().into_bytes();
    Problem::from(error)
        .with_member("unstored", count)
        .with_member("errors", errors)
}

/// The member `errors` of a problem.
fn rejections(position_kind: PositionKind, rejections: &[Rejection]) -> Vec<u8> {
    let mut out = Vec::new();
    write_array(&mut out, rejections, |out, rejection| {
        write_rejection(out, position_kind, rejection);
    });
    out
}

/// `{"line":3,"field":"temperature","reason":"…"}`
fn write_rejection(out: &mut Vec<u8>, position_kind: PositionKind, rejection: &Rejection) {
    out.push(b'{');
    write_key(out, position_name(position_kind));
    write_integer(out, rejection.position);
    if let Some(field) = rejection.field {
        out.push(b',');
        write_key(out, "field");
        write_string(out, field);
    }
    out.push(b',');
    write_key(out, "reason");
    write_string(out, &rejection.reason);
    out.push(b'}');
}

fn position_name(position_kind: PositionKind) -> &'static str {
    match position_kind {
        PositionKind::Index => "index",
        PositionKind::Line => "line",
    }
}

fn body_problem(error: &BodyError) -> Problem {
    let kind = match error.kind {
        BodyErrorKind::TooLarge => ProblemKind::BodyTooLarge,
        BodyErrorKind::Unreadable => ProblemKind::UnreadableBody,
        BodyErrorKind::Invalid => ProblemKind::InvalidBatch,
        BodyErrorKind::Unrecognized => {
            let detail = format!("the body is neither JSON nor CSV with a header; {FORMATS}");
            return Problem::new(ProblemKind::UnsupportedMediaType, detail);
        }
    };
    let Some((position_kind, position)) = error.position else {
        return Problem::new(kind, format!("{}; nothing was stored", error.reason));
    };
    let rejection = Rejection {
        position,
        field: error.field,
        reason: error.reason.clone(),
    };
    let errors = rejections(position_kind, &[rejection]);
    let (position_kind, reason) = (position_name(position_kind), &error.reason);
    let detail = match error.field {
        Some(field) => {
            format!("at {position_kind} {position}, {field} {reason}; nothing was stored")
        }
        None => format!("the item at {position_kind} {position} {reason}; nothing was stored"),
    };
    Problem::new(kind, detail).with_member("errors", errors)
}

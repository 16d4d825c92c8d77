//! Bodies of requests while they arrive: bounded in size, and cut off when the client stops sending.

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use http_body_util::BodyExt;

use super::{Problem, ProblemKind};

/// The pieces of a body.
#[derive(Debug)]
pub struct Chunks {
    body: Body,
    idle: Duration,
}

impl Chunks {
    /// The pieces of a body. Each may take as long as `idle` to arrive.
    pub fn new(body: Body, idle: Duration) -> Self {
        Self { body, idle }
    }

    /// The next piece, `None` after the last.
    ///
    /// # Errors
    /// 408 when the piece does not arrive in time, 400 when the body is cut off or malformed.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        loop {
            let frame = tokio::time::timeout(self.idle, self.body.frame())
                .await
                .map_err(|_| {
                    Problem::new(
                        ProblemKind::RequestTooSlow,
                        format!(
                            "nothing more of the body came for {} seconds",
                            self.idle.as_secs_f64()
                        ),
                    )
                })?;
            match frame {
                None => return Ok(None),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    } // Trailers are ignored.
                }
                Some(Err(error)) => {
                    return Err(Problem::new(
                        ProblemKind::UnreadableBody,
                        "the body ended early or is malformed",
                    )
                    .with_source(error));
                }
            }
        }
    }
}

/// Reads a whole body of at most `bytes_max` bytes.
///
/// # Errors
/// 413 when the body is larger, without reading the rest; and the errors of [`Chunks::next`].
pub async fn read(body: Body, bytes_max: usize, idle: Duration) -> Result<Bytes, Problem> {
    let too_large = || {
        Problem::new(
            ProblemKind::BodyTooLarge,
            format!("the body is larger than the {bytes_max} bytes that are accepted here"),
        )
    };
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(too_large());
    }
    let mut chunks = Chunks::new(body, idle);
    // Nearly every body arrives in a single piece. A single piece is not copied.
    let Some(first) = chunks.next().await? else {
        return Ok(Bytes::new());
    };
    if first.len() > bytes_max {
        return Err(too_large());
    }
    let Some(second) = chunks.next().await? else {
        return Ok(first);
    };
    let mut whole = BytesMut::from(&first[..]);
    let mut next = Some(second);
    while let Some(chunk) = next {
        if whole.len() + chunk.len() > bytes_max {
            return Err(too_large());
        }
        whole.extend_from_slice(&chunk);
        next = chunks.next().await?;
    }
    Ok(whole.freeze())
}

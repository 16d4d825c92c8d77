//! The destination of an import: a server or a data directory.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use reqwest::Request;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use serde::Deserialize;

use super::pieces::{Piece, Rejection};
use crate::cli::client::Client;
use crate::readings::embedded::EmbeddedStore;
use crate::readings::encode;
use crate::readings::{ReadingStore, RecordMode};

/// Records readings, and reports the result of each batch.
pub(super) enum Sink {
    /// A running server.
    Server(Client),
    /// A data directory.
    Directory(EmbeddedStore),
}

/// The result of recording a piece.
#[derive(Debug, Default)]
pub(super) struct Recorded {
    pub(super) recorded: u64,
    pub(super) unchanged: u64,
    pub(super) replaced: u64,
    /// The readings that the store refused, in the order of the lines.
    pub(super) rejections: Vec<Rejection>,
    /// The number of attempts that were repeated.
    pub(super) retries: u64,
}

/// A server's answer to a batch.
#[derive(Debug, Default, Deserialize)]
struct BatchAnswer {
    recorded: u64,
    unchanged: u64,
    replaced: u64,
    rejected: u64,
    #[serde(default)]
    errors: Vec<BatchError>,
}

#[derive(Debug, Deserialize)]
struct BatchError {
    /// A line of the request, from 1.
    line: u64,
    field: Option<String>,
    reason: String,
}

impl Sink {
    /// Records a piece. Repeats the request while the server is busy or unavailable. The result accounts for every reading.
    ///
    /// # Errors
    /// The piece was not recorded, or only in part. Recording it again is safe.
    pub(super) async fn record(
        &self,
        piece: &mut Piece,
        notify: &mut dyn FnMut(&str),
    ) -> Result<Recorded> {
        if piece.batch.is_empty() {
            return Ok(Recorded::default());
        }
        match self {
            Self::Server(client) => send(client, piece, notify).await,
            Self::Directory(store) => store_directly(store, piece).await,
        }
    }

    /// Closes the data directory.
    ///
    /// # Errors
    /// The data directory cannot be written.
    pub(super) async fn close(&self) -> Result<()> {
        match self {
            Self::Server(_) => Ok(()),
            Self::Directory(store) => Ok(store.close().await?),
        }
    }
}

async fn store_directly(store: &EmbeddedStore, piece: &mut Piece) -> Result<Recorded> {
    let batch = std::mem::take(&mut piece.batch);
    let outcome = store.record(batch, RecordMode::Partial).await?;
    let rejections = outcome.refused.into_iter().map(|refusal| Rejection {
        line: piece.lines.get(refusal.index).copied().unwrap_or_default(),
        field: None,
        reason: refusal.reason,
    });
    Ok(Recorded {
        recorded: outcome.recorded,
        unchanged: outcome.unchanged,
        replaced: outcome.replaced,
        rejections: rejections.collect(),
        retries: 0,
    })
}

async fn send(client: &Client, piece: &Piece, notify: &mut dyn FnMut(&str)) -> Result<Recorded> {
    let mut text = bytes::Bytes::from(encode::ndjson(&piece.batch));
    let mut url = client.server().at(&["api", "readings"]);
    url.set_query(Some("partial=true"));
    let mut total = Recorded::default();
    // The number of lines before `text`. A server names only the first rejected lines, so the lines after the last named line
    // are sent again. No reading is counted twice.
    let mut skipped = 0;
    loop {
        let mut request = Request::new(reqwest::Method::POST, url.clone());
        request.headers_mut().insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/x-ndjson"),
        );
        *request.body_mut() = Some(text.clone().into());
        let answer = client.call(&request, |notice| notify(notice)).await?;
        total.retries += u64::from(answer.retries);
        let answer: BatchAnswer = serde_json::from_slice(&answer.value)
            .with_context(|| format!("{} does not answer as expected", client.server()))?;
        let sent = piece.batch.len() - skipped;
        let accounted = answer.recorded + answer.unchanged + answer.replaced + answer.rejected;
        if accounted != sent as u64 {
            bail!(
                "{} accounts for {accounted} of {sent} readings",
                client.server()
            );
        }
        total.recorded += answer.recorded;
        if skipped == 0 {
            total.unchanged = answer.unchanged;
            total.replaced = answer.replaced;
        }
        let named = answer.errors.len() as u64;
        let mut last = 0;
        for error in answer.errors {
            last = usize::try_from(error.line).unwrap_or(usize::MAX);
            let line = last
                .checked_sub(1)
                .and_then(|index| piece.lines.get(skipped.checked_add(index)?));
            let Some(&line) = line else {
                bail!("{} names line {last} of {sent}", client.server());
            };
            total.rejections.push(Rejection {
                line,
                field: error.field,
                reason: error.reason,
            });
        }
        if named >= answer.rejected {
            return Ok(total);
        }
        if named == 0 {
            bail!(
                "{} rejects {} readings and names none",
                client.server(),
                answer.rejected
            );
        }
        skipped += last;
        text = after_lines(&text, last);
    }
}

/// The text after the first `lines` lines.
fn after_lines(text: &bytes::Bytes, lines: usize) -> bytes::Bytes {
    let end = text
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte == b'\n')
        .nth(lines.saturating_sub(1))
        .map_or(text.len(), |(at, _)| at + 1);
    text.slice(end..)
}

/// The time limit for one batch.
pub(super) const BATCH_TIMEOUT: Duration = Duration::from_secs(120);

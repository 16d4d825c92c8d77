//! One connection: takes readings from its queue, sends them one by one and in batches, and tells the recount.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use parking_lot::Mutex;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Request, Url};
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::fleet::Fleet;
use super::recount::Recount;
use super::schedule::Traffic;
use super::waiting::{FollowUp, Kind, Sending};
use crate::cli::client::{Answer, Client};
use crate::cli::wire;

/// How long a connection waits for a batch to fill.
const GATHER: Duration = Duration::from_millis(50);

/// What was sent and acknowledged.
#[derive(Default)]
pub(super) struct Counters {
    /// Sendings that were acknowledged, whatever they were.
    pub(super) acknowledged: AtomicU64,
    pub(super) repeated: AtomicU64,
    pub(super) corrected: AtomicU64,
    /// Requests that were acknowledged.
    pub(super) requests: AtomicU64,
    /// Tries without an answer, or with "try again later".
    pub(super) retried: AtomicU64,
}

/// What the connections have in common.
pub(super) struct Shared {
    pub(super) client: Client,
    pub(super) fleet: Arc<Fleet>,
    pub(super) traffic: Arc<Traffic>,
    pub(super) recount: Mutex<Recount>,
    pub(super) counters: Counters,
    /// The most readings in a batch.
    pub(super) batch_readings_max: usize,
}

/// A server's answer to a batch.
#[derive(Deserialize)]
struct BatchAnswer {
    recorded: u64,
    unchanged: u64,
    replaced: u64,
}

/// Sends what comes, now a single reading, now a batch, until the queue is closed.
///
/// # Errors
/// A reading was refused, or there was no answer for too long.
pub(super) async fn run(
    number: usize,
    mut queue: mpsc::Receiver<Sending>,
    shared: Arc<Shared>,
) -> Result<()> {
    let url = |path: &[&str]| shared.client.server().at(path);
    let single_url = url(&["api", "temperature"]);
    let batch_url = url(&["api", "readings"]);
    let mut turn = number;
    let mut sendings = Vec::new();
    while let Some(first) = queue.recv().await {
        sendings.push(first);
        let answer = if turn.is_multiple_of(2) {
            send_one(&shared, &single_url, &first).await?
        } else {
            let deadline = Instant::now() + GATHER;
            while sendings.len() < shared.batch_readings_max {
                match timeout_at(deadline, queue.recv()).await {
                    Ok(Some(sending)) => sendings.push(sending),
                    Ok(None) | Err(_) => break,
                }
            }
            send_batch(&shared, &batch_url, &sendings).await?
        };
        acknowledge(&shared, &sendings, &answer);
        sendings.clear();
        turn = turn.wrapping_add(1);
    }
    Ok(())
}

async fn send_one(shared: &Shared, url: &Url, sending: &Sending) -> Result<Answer> {
    let mut body = Vec::new();
    wire::write_object(
        &mut body,
        shared.fleet.json_id(sending.sensor),
        sending.point,
    );
    send(shared, Method::PUT, url, "application/json", body).await
}

async fn send_batch(shared: &Shared, url: &Url, sendings: &[Sending]) -> Result<Answer> {
    let mut body = Vec::new();
    for sending in sendings {
        wire::write_line(
            &mut body,
            shared.fleet.json_id(sending.sensor),
            sending.point,
        );
    }
    let answer = send(shared, Method::POST, url, "application/x-ndjson", body).await?;
    let counts: BatchAnswer = serde_json::from_slice(&answer.body)
        .with_context(|| format!("{} does not answer as expected", shared.client.server()))?;
    let accounted = counts.recorded + counts.unchanged + counts.replaced;
    if accounted != sendings.len() as u64 {
        bail!(
            "{} accounts for {accounted} of {} readings",
            shared.client.server(),
            sendings.len()
        );
    }
    Ok(answer)
}

async fn send(
    shared: &Shared,
    method: Method,
    url: &Url,
    content_type: &'static str,
    body: Vec<u8>,
) -> Result<Answer> {
    let mut request = Request::new(method, url.clone());
    request
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    *request.body_mut() = Some(body.into());
    let retried = &shared.counters.retried;
    let answer = shared
        .client
        .call(&request, |_| {
            retried.fetch_add(1, Ordering::Relaxed);
        })
        .await?;
    Ok(answer)
}

fn acknowledge(shared: &Shared, sendings: &[Sending], answer: &Answer) {
    let counters = &shared.counters;
    {
        let mut recount = shared.recount.lock();
        for sending in sendings {
            recount.acknowledge(sending.sensor, sending.point);
        }
    }
    for sending in sendings {
        match sending.kind {
            Kind::New => {}
            Kind::Repeated => {
                counters.repeated.fetch_add(1, Ordering::Relaxed);
            }
            Kind::Corrected => {
                counters.corrected.fetch_add(1, Ordering::Relaxed);
            }
        }
        match sending.then {
            // A try whose answer was lost may still be on its way, and would undo the correction if it came after it.
            Some((FollowUp::Correct, _)) if answer.uncertain => {}
            Some((follow_up, after)) => {
                let waiting = &shared.traffic.waiting;
                waiting.follow(follow_up, after, sending.sensor, sending.point);
            }
            None => {}
        }
    }
    let count = sendings.len() as u64;
    counters.acknowledged.fetch_add(count, Ordering::Relaxed);
    counters.requests.fetch_add(1, Ordering::Relaxed);
    shared.traffic.under_way.fetch_sub(count, Ordering::SeqCst);
}

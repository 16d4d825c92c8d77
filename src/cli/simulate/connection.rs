//! A connection: takes readings from its queue, sends them alone and in batches, and counts the acknowledged readings.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use parking_lot::Mutex;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Request, Url};
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::due_queue::{Delivery, FollowUp, Kind};
use super::fleet::Fleet;
use super::recount::Recount;
use super::schedule::Traffic;
use crate::cli::client::Client;
use crate::cli::retry::Retried;
use crate::readings::encode;

/// How long a connection waits for a batch to fill.
const LINGER: Duration = Duration::from_millis(50);

/// Counts of all connections.
#[derive(Default)]
pub(super) struct Counters {
    /// Acknowledged deliveries of every kind.
    pub(super) acknowledged: AtomicU64,
    pub(super) repeated: AtomicU64,
    pub(super) corrected: AtomicU64,
    /// Acknowledged requests.
    pub(super) requests: AtomicU64,
    /// Repeated attempts.
    pub(super) retried: AtomicU64,
}

/// The state that all connections share.
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

/// Sends the deliveries of a queue, alone and in batches in turn, until the queue is closed.
///
/// # Errors
/// A reading was refused, or the server did not answer after all attempts.
pub(super) async fn run(
    number: usize,
    mut queue: mpsc::Receiver<Delivery>,
    shared: Arc<Shared>,
) -> Result<()> {
    let url = |path: &[&str]| shared.client.server().at(path);
    let single_url = url(&["api", "temperature"]);
    let batch_url = url(&["api", "readings"]);
    let mut turn = number;
    let mut deliveries = Vec::new();
    while let Some(first) = queue.recv().await {
        deliveries.push(first);
        let answer = if turn.is_multiple_of(2) {
            send_one(&shared, &single_url, &first).await?
        } else {
            let deadline = Instant::now() + LINGER;
            while deliveries.len() < shared.batch_readings_max {
                match timeout_at(deadline, queue.recv()).await {
                    Ok(Some(delivery)) => deliveries.push(delivery),
                    Ok(None) | Err(_) => break,
                }
            }
            send_batch(&shared, &batch_url, &deliveries).await?
        };
        acknowledge(&shared, &deliveries, &answer);
        deliveries.clear();
        turn = turn.wrapping_add(1);
    }
    Ok(())
}

async fn send_one(shared: &Shared, url: &Url, delivery: &Delivery) -> Result<Retried<Bytes>> {
    let mut body = Vec::new();
    encode::write_object(
        &mut body,
        shared.fleet.json_id(delivery.sensor),
        delivery.point,
    );
    send(shared, Method::PUT, url, "application/json", body).await
}

async fn send_batch(shared: &Shared, url: &Url, deliveries: &[Delivery]) -> Result<Retried<Bytes>> {
    let mut body = Vec::new();
    for delivery in deliveries {
        encode::write_line(
            &mut body,
            shared.fleet.json_id(delivery.sensor),
            delivery.point,
        );
    }
    let answer = send(shared, Method::POST, url, "application/x-ndjson", body).await?;
    let counts: BatchAnswer = serde_json::from_slice(&answer.value)
        .with_context(|| format!("{} does not answer as expected", shared.client.server()))?;
    let accounted = counts.recorded + counts.unchanged + counts.replaced;
    if accounted != deliveries.len() as u64 {
        bail!(
            "{} accounts for {accounted} of {} readings",
            shared.client.server(),
            deliveries.len()
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
) -> Result<Retried<Bytes>> {
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

fn acknowledge(shared: &Shared, deliveries: &[Delivery], answer: &Retried<Bytes>) {
    let counters = &shared.counters;
    {
        let mut recount = shared.recount.lock();
        for delivery in deliveries {
            recount.acknowledge(delivery.sensor, delivery.point);
        }
    }
    for delivery in deliveries {
        match delivery.kind {
            Kind::New => {}
            Kind::Repeated => {
                counters.repeated.fetch_add(1, Ordering::Relaxed);
            }
            Kind::Corrected => {
                counters.corrected.fetch_add(1, Ordering::Relaxed);
            }
        }
        match delivery.follow_up {
            // An earlier attempt may still be on its way, and would undo the correction if it arrived after the correction.
            Some((FollowUp::Correct, _)) if answer.may_have_applied => {}
            Some((follow_up, after)) => {
                let due_queue = &shared.traffic.due_queue;
                due_queue.follow(follow_up, after, delivery.sensor, delivery.point);
            }
            None => {}
        }
    }
    let count = deliveries.len() as u64;
    counters.acknowledged.fetch_add(count, Ordering::Relaxed);
    counters.requests.fetch_add(1, Ordering::Relaxed);
    shared.traffic.in_flight.fetch_sub(count, Ordering::SeqCst);
}

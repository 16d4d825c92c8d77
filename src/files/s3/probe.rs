//! Tests whether a bucket has everything for the store: writes, reads, removals, and conditional writes.
//!
//! A file is published by a write with `If-None-Match: *` or `If-Match`. If an S3 server ignored these headers, a server would overwrite
//! the newly acknowledged file of another server, and no request would fail. So the server tests the bucket with a test object before the
//! server accepts the first file: at the start, or as soon as S3 is available.

use std::sync::Arc;
use std::time::{Duration, Instant};

use object_store::path::Path;
use object_store::{
    Error, ObjectStore as _, ObjectStoreExt, PutMode, PutOptions, PutPayload, UpdateVersion,
};

use super::client::{Leftover, S3Client};
use super::errors::is_not_implemented;
use super::key;
use super::timeouts::TimeBudget;
use crate::error::{StoreError, StoreErrorKind};

/// How long a denial is reported again without another probe.
const DENIED_FOR: Duration = Duration::from_secs(1);
/// The same for a missing feature of S3.
const UNSUPPORTED_FOR: Duration = Duration::from_secs(60);

/// The consequence of an S3 server without conditional writes.
const CONSEQUENCE: &str = "without that, servers that change a file at the same time undo each other's acknowledged changes, \
                           so no file is accepted; use an S3 that has conditional writes";

/// An entity tag that no object has.
const UNUSED_TAG: &str = "\"00000000000000000000000000000000\"";

/// Why a probe failed.
enum ProbeError {
    /// S3 lacks a feature.
    Unsupported(&'static str),
    /// A request failed.
    Request(StoreError),
}

impl From<StoreError> for ProbeError {
    fn from(error: StoreError) -> Self {
        Self::Request(error)
    }
}

/// Probes the bucket, unless the result of the last probe is still valid.
///
/// # Errors
/// [`StoreErrorKind::Unavailable`] when S3 fails, or lacks a feature; [`StoreErrorKind::Denied`] when S3 refuses.
pub(super) async fn ensure(client: &Arc<S3Client>) -> Result<(), StoreError> {
    match client.status.current() {
        Some(result) => result,
        None => run(client, false).await,
    }
}

/// Probes the bucket, even when the result of the last probe is still valid.
///
/// # Errors
/// Those of [`ensure`].
pub(super) async fn check(client: &Arc<S3Client>) -> Result<(), StoreError> {
    run(client, true).await
}

/// Runs a probe in a separate task, so that the probe ends even when the caller is gone.
async fn run(client: &Arc<S3Client>, always: bool) -> Result<(), StoreError> {
    let start = Instant::now();
    let client = Arc::clone(client);
    let probe = tokio::spawn(async move {
        let status = &client.status;
        let _turn = status.lock_probe().await;
        // Another caller may have run a probe meanwhile.
        if let Some(error) = status.error_since(start) {
            return Err(error);
        }
        match status.current() {
            Some(result) if !always => result,
            _ => record(probe(&client).await, &client),
        }
    });
    probe.await.unwrap_or_else(|error| {
        let message = "the test of the bucket was interrupted";
        Err(StoreError::new(StoreErrorKind::Internal, message).with_source(error))
    })
}

fn record(result: Result<(), ProbeError>, client: &S3Client) -> Result<(), StoreError> {
    let (error, valid_for) = match result {
        Ok(()) => {
            client.status.set_proven();
            return Ok(());
        }
        Err(ProbeError::Unsupported(feature)) => {
            let error = unsupported(feature);
            client.record_failure(&error);
            (error, UNSUPPORTED_FOR)
        }
        Err(ProbeError::Request(error)) => {
            let valid_for = match error.kind() {
                StoreErrorKind::Denied => DENIED_FOR,
                _ => Duration::ZERO,
            };
            (error, valid_for)
        }
    };
    client.status.set_failed(&error, valid_for);
    Err(error)
}

fn unsupported(feature: &str) -> StoreError {
    StoreError::new(
        StoreErrorKind::Unavailable,
        format!("this S3 cannot keep files safely: {feature}; {CONSEQUENCE}"),
    )
}

/// Tests every operation with an object, and removes the object.
async fn probe(client: &Arc<S3Client>) -> Result<(), ProbeError> {
    let path = key::probe(&crate::random::timed_name());
    let mut budget = TimeBudget::new();
    let result = probe_conditions(client, &mut budget, &path).await;
    budget.reset();
    match result {
        Ok(()) => Ok(client.delete(&mut budget, &path).await?),
        // Nobody knows whether the object exists, and S3 may be unavailable.
        Err(error) => {
            client.clean_up(Leftover::Object(path));
            Err(error)
        }
    }
}

async fn probe_conditions(
    client: &S3Client,
    budget: &mut TimeBudget,
    path: &Path,
) -> Result<(), ProbeError> {
    let only_over = |tag: &str| {
        PutMode::Update(UpdateVersion {
            e_tag: Some(tag.to_owned()),
            version: None,
        })
    };
    // No other server knows the name. An existing object comes from a repeated request.
    put(client, budget, path, "1", PutMode::Create).await?;
    if put(client, budget, path, "2", PutMode::Create).await? == PutResult::Done {
        return Err(ProbeError::Unsupported(
            "it overwrites an object although it is asked not to (If-None-Match)",
        ));
    }
    let (tag, _) = get(client, budget, path).await?;
    let Some(tag) = tag else {
        return Err(ProbeError::Unsupported("its objects have no ETag"));
    };
    if put(client, budget, path, "3", only_over(UNUSED_TAG)).await? == PutResult::Done {
        return Err(ProbeError::Unsupported(
            "it overwrites an object whose ETag is not the requested one (If-Match)",
        ));
    }
    if put(client, budget, path, "4", only_over(&tag)).await? == PutResult::ConditionFailed {
        // A repeated request is refused when the first request succeeded and only the answer was lost.
        let (_, body) = get(client, budget, path).await?;
        if body != "4" {
            return Err(ProbeError::Unsupported(
                "it does not overwrite an object whose ETag is the requested one (If-Match)",
            ));
        }
    }
    Ok(())
}

#[derive(Debug, PartialEq, Eq)]
enum PutResult {
    Done,
    ConditionFailed,
}

async fn put(
    client: &S3Client,
    budget: &mut TimeBudget,
    path: &Path,
    body: &'static str,
    mode: PutMode,
) -> Result<PutResult, ProbeError> {
    let options = PutOptions {
        mode,
        ..PutOptions::default()
    };
    let payload = PutPayload::from_static(body.as_bytes());
    let request = async {
        match client.store.put_opts(path, payload, options).await {
            Ok(_) => Ok(Ok(PutResult::Done)),
            Err(Error::Precondition { .. } | Error::AlreadyExists { .. }) => {
                Ok(Ok(PutResult::ConditionFailed))
            }
            Err(error) if is_not_implemented(&error) => Ok(Err(ProbeError::Unsupported(
                "it does not know conditional writes (If-None-Match, If-Match)",
            ))),
            Err(error) => Err(error),
        }
    };
    // Each request has the full time: a slow network is no reason to refuse files.
    budget.reset();
    client
        .request(budget, "write to the bucket", request)
        .await?
}

async fn get(
    client: &S3Client,
    budget: &mut TimeBudget,
    path: &Path,
) -> Result<(Option<String>, String), ProbeError> {
    let request = async {
        let found = client.store.get(path).await?;
        let tag = found.meta.e_tag.clone();
        let body = found.bytes().await?;
        Ok((tag, String::from_utf8_lossy(&body).into_owned()))
    };
    budget.reset();
    Ok(client
        .request(budget, "read from the bucket", request)
        .await?)
}

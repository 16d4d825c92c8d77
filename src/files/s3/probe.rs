//! Whether a bucket can do what files need: writes, reads and removals, and writes on a condition.
//!
//! A file is published by a write with `If-None-Match: *` or `If-Match`. Something that speaks S3 and ignores these would
//! let one of two servers overwrite what the other has just acknowledged, and nobody would notice. So it is tried, with an
//! object of the server's own, before the first file is taken: at the start, or when S3 is there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use object_store::path::Path;
use object_store::{
    Error, ObjectStore as _, ObjectStoreExt, PutMode, PutOptions, PutPayload, UpdateVersion,
};
use parking_lot::Mutex;

use super::client::S3Client;
use super::failure::is_unknown_to_it;
use super::key;
use super::patience::Patience;
use crate::error::{StoreError, StoreErrorKind};

/// A refusal is good for so long: whoever asks meanwhile gets the same answer, and S3 is not asked.
const DENIED_FOR: Duration = Duration::from_secs(1);
const LACKING_FOR: Duration = Duration::from_secs(60);

/// What is lost without conditions.
const LOSS: &str = "without that, servers that change a file at the same time undo each other's acknowledged changes, so no \
                    file is taken; use an S3 that has conditional writes";

/// An entity tag that no object has.
const NO_TAG: &str = "\"00000000000000000000000000000000\"";

/// What is known of the bucket.
#[derive(Debug, Default)]
pub(super) struct Probe {
    state: Mutex<State>,
    /// Held by the one who tries; the others wait for what comes of it.
    trying: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    is_proven: bool,
    failure: Option<Failure>,
}

#[derive(Clone, Debug)]
struct Failure {
    at: Instant,
    kind: StoreErrorKind,
    message: String,
    /// How long it is taken for granted.
    good_for: Duration,
}

impl Failure {
    fn error(&self) -> StoreError {
        StoreError::new(self.kind, self.message.clone())
    }
}

/// How a trial failed.
enum Fault {
    /// S3 does not do what it has to.
    Lacking(&'static str),
    Failed(StoreError),
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

impl Probe {
    /// Whether the bucket has shown what it can.
    pub(super) fn is_proven(&self) -> bool {
        self.state.lock().is_proven
    }

    /// S3 has refused something: what it lets us do is to be found out anew.
    pub(super) fn forget(&self) {
        self.state.lock().is_proven = false;
    }

    /// Tries the bucket if that has not been done, in a task of its own, so that it ends in whatever way its caller does.
    pub(super) async fn ensure(&self, client: &Arc<S3Client>) -> Result<(), StoreError> {
        if let Some(known) = self.known() {
            return known;
        }
        self.run(client, false).await
    }

    /// Tries the bucket, whatever is known of it.
    pub(super) async fn look(&self, client: &Arc<S3Client>) -> Result<(), StoreError> {
        self.run(client, true).await
    }

    async fn run(&self, client: &Arc<S3Client>, always: bool) -> Result<(), StoreError> {
        let asked = Instant::now();
        let client = Arc::clone(client);
        let turn = tokio::spawn(async move {
            let probe = &client.probe;
            let _turn = probe.trying.lock().await;
            // Somebody else may have tried meanwhile.
            if let Some(failure) = probe.failure_since(asked) {
                return Err(failure.error());
            }
            match probe.known() {
                Some(known) if !always => known,
                _ => probe.settle(attempt(&client).await, &client),
            }
        });
        turn.await
            .unwrap_or_else(|error| Err(StoreError::cut_off("a look at S3", error)))
    }

    /// What was found out a moment ago.
    fn known(&self) -> Option<Result<(), StoreError>> {
        let state = self.state.lock();
        if state.is_proven {
            return Some(Ok(()));
        }
        let failure = state.failure.as_ref()?;
        (failure.at.elapsed() < failure.good_for).then(|| Err(failure.error()))
    }

    fn failure_since(&self, moment: Instant) -> Option<Failure> {
        let state = self.state.lock();
        let failure = state.failure.as_ref()?;
        (failure.at >= moment).then(|| failure.clone())
    }

    fn settle(&self, result: Result<(), Fault>, client: &Arc<S3Client>) -> Result<(), StoreError> {
        let (error, good_for) = match result {
            Ok(()) => {
                *self.state.lock() = State {
                    is_proven: true,
                    failure: None,
                };
                return Ok(());
            }
            Err(Fault::Lacking(what)) => {
                let error = lacking(what);
                client.in_trouble(&error);
                (error, LACKING_FOR)
            }
            Err(Fault::Failed(error)) => {
                let good_for = match error.kind() {
                    StoreErrorKind::Denied => DENIED_FOR,
                    _ => Duration::ZERO,
                };
                (error, good_for)
            }
        };
        let mut state = self.state.lock();
        // One that is away has not lost what it can.
        state.is_proven &= good_for.is_zero();
        state.failure = Some(Failure {
            at: Instant::now(),
            kind: error.kind(),
            message: error.message().to_owned(),
            good_for,
        });
        Err(error)
    }
}

fn lacking(what: &str) -> StoreError {
    StoreError::new(
        StoreErrorKind::Unavailable,
        format!("this S3 cannot keep files safely: {what}; {LOSS}"),
    )
}

/// Tries everything with one object, and removes it.
async fn attempt(client: &Arc<S3Client>) -> Result<(), Fault> {
    let path = key::probe(&crate::random::timed_name());
    let mut patience = Patience::new();
    let tried = try_conditions(client, &mut patience, &path).await;
    patience.renew();
    match tried {
        Ok(()) => Ok(client.delete(&mut patience, &path).await?),
        // It may be there or not, and S3 may be away.
        Err(fault) => {
            client.discard(path);
            Err(fault)
        }
    }
}

async fn try_conditions(
    client: &Arc<S3Client>,
    patience: &mut Patience,
    path: &Path,
) -> Result<(), Fault> {
    let only_over = |tag: &str| {
        PutMode::Update(UpdateVersion {
            e_tag: Some(tag.to_owned()),
            version: None,
        })
    };
    // Nobody else knows the name: what is there already is there because this was sent twice.
    put(client, patience, path, "1", PutMode::Create).await?;
    if put(client, patience, path, "2", PutMode::Create).await? == Put::Done {
        return Err(Fault::Lacking(
            "it overwrites an object although it is asked not to (If-None-Match)",
        ));
    }
    let (tag, _) = get(client, patience, path).await?;
    let Some(tag) = tag else {
        return Err(Fault::Lacking("its objects have no ETag"));
    };
    if put(client, patience, path, "3", only_over(NO_TAG)).await? == Put::Done {
        return Err(Fault::Lacking(
            "it overwrites an object that is not the one that is meant (If-Match)",
        ));
    }
    if put(client, patience, path, "4", only_over(&tag)).await? == Put::Refused {
        // Or it was done at once, and asked for again because the answer was lost.
        let (_, body) = get(client, patience, path).await?;
        if body != "4" {
            return Err(Fault::Lacking(
                "it does not overwrite an object that is the one that is meant (If-Match)",
            ));
        }
    }
    Ok(())
}

#[derive(Debug, PartialEq, Eq)]
enum Put {
    Done,
    Refused,
}

async fn put(
    client: &Arc<S3Client>,
    patience: &mut Patience,
    path: &Path,
    body: &'static str,
    mode: PutMode,
) -> Result<Put, Fault> {
    let options = PutOptions {
        mode,
        ..PutOptions::default()
    };
    let payload = PutPayload::from_static(body.as_bytes());
    let request = async {
        match client.store.put_opts(path, payload, options).await {
            Ok(_) => Ok(Ok(Put::Done)),
            Err(Error::Precondition { .. } | Error::AlreadyExists { .. }) => Ok(Ok(Put::Refused)),
            Err(error) if is_unknown_to_it(&error) => Ok(Err(Fault::Lacking(
                "it does not know writes on a condition (If-None-Match, If-Match)",
            ))),
            Err(error) => Err(error),
        }
    };
    // A network that is slow, and does what it should, is no reason to take no files.
    patience.renew();
    patience.ask(client, "write to the bucket", request).await?
}

async fn get(
    client: &Arc<S3Client>,
    patience: &mut Patience,
    path: &Path,
) -> Result<(Option<String>, String), Fault> {
    let request = async {
        let found = client.store.get(path).await?;
        let tag = found.meta.e_tag.clone();
        let body = found.bytes().await?;
        Ok((tag, String::from_utf8_lossy(&body).into_owned()))
    };
    patience.renew();
    Ok(patience
        .ask(client, "read from the bucket", request)
        .await?)
}

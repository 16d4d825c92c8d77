//! A file on its way to S3: in one request when it is small, in parts otherwise.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use object_store::{
    MultipartUpload, ObjectStore as _, ObjectStoreExt, PutMultipartOptions, PutPayload,
};
use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;

use super::client::{S3Client, give_up};
use super::patience::Patience;
use super::{index, key};
use crate::error::{StoreError, StoreErrorKind};
use crate::files::{Condition, DeviceId, NewFile, Publication, Upload};
use crate::random;

/// The smallest part that S3 takes, but for the last. There may be 10,000.
const PART_BYTES: usize = 5 << 20;

/// How many parts may be in memory at a time, over all uploads: 30 MiB.
pub(super) const PARTS_MAX: usize = 6;

/// What an upload may hold without a place among the parts, so that small and slow ones never wait for large ones.
const PLACELESS_BYTES: usize = 512 << 10;

/// How long an upload may take until a record names it: well below the age at which a sweep of another server takes a blob that no
/// record names for left over. S3 dates what comes in parts from their beginning.
const UPLOAD_TIME_MAX: Duration = Duration::from_secs(20 * 3600);

/// How long a request that has failed waits for what it has left in the bucket to be removed; that goes on without it.
const GIVING_UP_MAX: Duration = Duration::from_millis(500);

/// An upload. A part is sent while the next one arrives.
pub(super) struct S3Upload {
    device: DeviceId,
    client: Arc<S3Client>,
    blob: String,
    pieces: Vec<Bytes>,
    waiting_bytes: usize,
    /// In parts, sent or under way.
    sent_bytes: u64,
    place: Option<OwnedSemaphorePermit>,
    beginning: Option<JoinHandle<Result<Box<dyn MultipartUpload>, StoreError>>>,
    multipart: Option<Box<dyn MultipartUpload>>,
    sending: Option<JoinHandle<Result<(), StoreError>>>,
    is_stored: bool,
    patience: Patience,
    began: Instant,
}

impl S3Upload {
    pub(super) fn new(device: DeviceId, client: Arc<S3Client>, patience: Patience) -> Self {
        Self {
            device,
            client,
            blob: random::timed_name(),
            pieces: Vec::new(),
            waiting_bytes: 0,
            sent_bytes: 0,
            place: None,
            beginning: None,
            multipart: None,
            sending: None,
            is_stored: false,
            patience,
            began: Instant::now(),
        }
    }

    fn path(&self) -> object_store::path::Path {
        key::content(&self.device, &self.blob)
    }

    async fn push(&mut self, piece: Bytes) -> Result<(), StoreError> {
        self.waiting_bytes += piece.len();
        self.pieces.push(piece);
        if self.waiting_bytes > PLACELESS_BYTES && self.place.is_none() {
            let place = Arc::clone(&self.client.parts).acquire_owned();
            let place = self.patience.wait(Duration::ZERO, place).await;
            self.place = Some(place.and_then(Result::ok).ok_or_else(|| {
                StoreError::new(
                    StoreErrorKind::Overloaded,
                    "too many files are on their way to S3 at once; try again",
                )
            })?);
        }
        Ok(())
    }

    /// Sends what waits as the next part.
    async fn send_part(&mut self) -> Result<(), StoreError> {
        self.sent().await?;
        let multipart = match self.multipart.take() {
            Some(multipart) => multipart,
            None => self.begun().await?,
        };
        let multipart = self.multipart.insert(multipart);
        self.sent_bytes += self.waiting_bytes as u64;
        self.waiting_bytes = 0;
        let payload: PutPayload = std::mem::take(&mut self.pieces).into_iter().collect();
        let part = multipart.put_part(payload);
        let place = self.place.take();
        let client = Arc::clone(&self.client);
        // The client may take its time with what comes next, so this has a time of its own.
        let mut patience = self.patience.copy();
        self.sending = Some(tokio::spawn(async move {
            let sent = patience.ask(&client, "store a part of a file", part).await;
            drop(place);
            sent
        }));
        Ok(())
    }

    /// Begins an upload in parts. In a task of its own, which is kept until it has ended: whoever waits for this may go away,
    /// and what S3 has begun has to be given up.
    async fn begun(&mut self) -> Result<Box<dyn MultipartUpload>, StoreError> {
        let (client, path) = (Arc::clone(&self.client), self.path());
        let mut patience = self.patience.copy();
        let beginning = self.beginning.insert(tokio::spawn(async move {
            let options = PutMultipartOptions::default();
            let begun = client.patient.put_multipart_opts(&path, options);
            patience.ask(&client, "begin a file", begun).await
        }));
        let waiting = Instant::now();
        let begun = beginning.await;
        self.beginning = None;
        self.patience.spend(waiting.elapsed());
        begun.map_err(cut_off)?
    }

    /// Waits for the part under way, which is kept until it has arrived.
    async fn sent(&mut self) -> Result<(), StoreError> {
        let Some(sending) = &mut self.sending else {
            return Ok(());
        };
        let sent = sending.await;
        self.sending = None;
        sent.map_err(cut_off)??;
        self.patience.renew();
        Ok(())
    }

    /// Removes what is in the bucket, and lets somebody else try again if S3 does not.
    async fn give_up(mut self: Box<Self>) {
        // What it failed with does not matter any more; that no part arrives after the end does.
        let _ = self.sent().await;
        if let Some(mut multipart) = self.multipart.take() {
            let mut patience = Patience::new();
            let end = give_up(&self.client, &mut patience, multipart.as_mut());
            if end.await.is_err() {
                self.client.abort(multipart);
            }
        }
    }

    /// Everything that was written is an object from here on, which nobody knows of.
    async fn store(&mut self) -> Result<(), StoreError> {
        if self.multipart.is_none() {
            let payload: PutPayload = std::mem::take(&mut self.pieces).into_iter().collect();
            let path = self.path();
            // Whether it is there is known only when there is an answer.
            self.is_stored = true;
            let put = self.client.store.put(&path, payload);
            self.patience.ask(&self.client, "store a file", put).await?;
        } else {
            if self.waiting_bytes > 0 {
                self.send_part().await?;
            }
            self.sent().await?;
            let path = self.path();
            if let Some(multipart) = &mut self.multipart {
                let patience = &mut self.patience;
                self.client
                    .complete(patience, multipart.as_mut(), &path, self.sent_bytes)
                    .await?;
            }
            self.multipart = None;
            self.is_stored = true;
        }
        self.place = None;
        Ok(())
    }

    async fn publish(
        mut self: Box<Self>,
        file: NewFile,
        condition: Condition,
    ) -> Result<Publication, StoreError> {
        self.store().await?;
        if self.began.elapsed() > UPLOAD_TIME_MAX {
            return Err(StoreError::new(
                StoreErrorKind::Overloaded,
                "the file took longer than the 20 hours that there are for one; nothing was stored",
            ));
        }
        let published = index::publish(
            &self.client,
            &mut self.patience,
            &self.device,
            &self.blob,
            file,
            &condition,
        )
        .await;
        match published {
            Ok((Publication::Refused, _)) => Ok(Publication::Refused),
            Ok((stored, replaced)) => {
                self.is_stored = false; // It is not ours to remove any more.
                if let Some(replaced) = replaced {
                    self.client.discard(key::content(&self.device, &replaced));
                }
                Ok(stored)
            }
            Err(error) => {
                // Nobody knows whether the record names it: it stays, and a sweep decides.
                self.is_stored = false;
                Err(error)
            }
        }
    }
}

/// Whatever is left of an upload that was not published goes.
impl Drop for S3Upload {
    fn drop(&mut self) {
        if let Some(sending) = self.sending.take() {
            sending.abort();
        }
        if let (Some(beginning), Ok(runtime)) = (self.beginning.take(), Handle::try_current()) {
            let client = Arc::clone(&self.client);
            runtime.spawn(async move {
                if let Ok(Ok(multipart)) = beginning.await {
                    client.abort(multipart);
                }
            });
        }
        if let Some(multipart) = self.multipart.take() {
            self.client.abort(multipart);
        }
        if self.is_stored {
            self.client.discard(self.path());
        }
    }
}

#[async_trait]
impl Upload for S3Upload {
    async fn write(&mut self, pieces: Vec<Bytes>) -> Result<(), StoreError> {
        for mut piece in pieces {
            while self.waiting_bytes + piece.len() > PART_BYTES {
                // Some that speak S3 want all parts to be of one size.
                let head = piece.split_to(PART_BYTES - self.waiting_bytes);
                if !head.is_empty() {
                    self.push(head).await?;
                }
                self.send_part().await?;
            }
            self.push(piece).await?;
        }
        Ok(())
    }

    async fn finish(
        self: Box<Self>,
        file: NewFile,
        condition: Condition,
    ) -> Result<Publication, StoreError> {
        // A task of its own, so that a client that goes away does not cut it in the middle.
        tokio::spawn(self.publish(file, condition))
            .await
            .map_err(cut_off)?
    }

    async fn abort(self: Box<Self>) {
        // A task of its own as well, which ends in its own time. It has no result.
        let end = tokio::spawn(self.give_up());
        let _ = tokio::time::timeout(GIVING_UP_MAX, end).await;
    }
}

fn cut_off(error: tokio::task::JoinError) -> StoreError {
    StoreError::cut_off("sending a file to S3", error)
}

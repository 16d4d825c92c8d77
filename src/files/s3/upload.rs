//! Sends a file to S3: a small file in a single request, a larger file in parts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use object_store::{
    MultipartUpload, ObjectStore as _, ObjectStoreExt, PutMultipartOptions, PutPayload,
};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;

use super::client::{Leftover, MultipartStart, S3Client};
use super::timeouts::TimeBudget;
use super::{index, key};
use crate::error::{StoreError, StoreErrorKind};
use crate::files::{Condition, DeviceId, NewFile, Publication, Upload};
use crate::random;

/// The minimum of S3 for the size of a part, except for the last part of a file. A file may have 10,000 parts.
const PART_BYTES: usize = 5 << 20;

/// An upload may hold this number of bytes without a part permit, so that small and slow uploads never wait for large uploads.
const BYTES_WITHOUT_PERMIT: usize = 512 << 10;

/// The longest time from the beginning of an upload until a record names the blob. A sweep removes a blob without a record when the blob is
/// older than a day, and S3 dates an upload in parts from the beginning of the upload.
const UPLOAD_TIME_MAX: Duration = Duration::from_secs(20 * 3600);

/// How long a failed request waits for the removal of the parts. The removal continues without the request.
const ABORT_WAIT_MAX: Duration = Duration::from_millis(500);

/// An upload. A part is sent while the next part arrives.
pub(super) struct S3Upload {
    device: DeviceId,
    client: Arc<S3Client>,
    blob: String,
    /// Bytes received and not sent yet.
    pieces: Vec<Bytes>,
    pending_bytes: usize,
    /// Bytes in sent parts, and in the part under way.
    sent_bytes: u64,
    permit: Option<OwnedSemaphorePermit>,
    starting: Option<MultipartStart>,
    multipart: Option<Box<dyn MultipartUpload>>,
    sending: Option<JoinHandle<Result<(), StoreError>>>,
    /// Whether there may be an object without a record.
    has_object: bool,
    budget: TimeBudget,
    began_at: Instant,
}

impl S3Upload {
    pub(super) fn new(device: DeviceId, client: Arc<S3Client>, budget: TimeBudget) -> Self {
        Self {
            device,
            client,
            blob: random::timed_name(),
            pieces: Vec::new(),
            pending_bytes: 0,
            sent_bytes: 0,
            permit: None,
            starting: None,
            multipart: None,
            sending: None,
            has_object: false,
            budget,
            began_at: Instant::now(),
        }
    }

    fn path(&self) -> object_store::path::Path {
        key::content(&self.device, &self.blob)
    }

    async fn push(&mut self, piece: Bytes) -> Result<(), StoreError> {
        self.pending_bytes += piece.len();
        self.pieces.push(piece);
        if self.pending_bytes > BYTES_WITHOUT_PERMIT && self.permit.is_none() {
            let permit = Arc::clone(&self.client.part_permits).acquire_owned();
            let permit = self.budget.wait(Duration::ZERO, permit).await;
            self.permit = Some(permit.and_then(Result::ok).ok_or_else(|| {
                StoreError::new(
                    StoreErrorKind::Overloaded,
                    "too many files are being sent to S3 at once; try again",
                )
            })?);
        }
        Ok(())
    }

    /// Starts to send the pending bytes as the next part.
    async fn send_part(&mut self) -> Result<(), StoreError> {
        self.wait_for_part().await?;
        let multipart = match self.multipart.take() {
            Some(multipart) => multipart,
            None => self.start_multipart().await?,
        };
        let multipart = self.multipart.insert(multipart);
        self.sent_bytes += self.pending_bytes as u64;
        self.pending_bytes = 0;
        let payload: PutPayload = std::mem::take(&mut self.pieces).into_iter().collect();
        let part = multipart.put_part(payload);
        let permit = self.permit.take();
        let client = Arc::clone(&self.client);
        // The next bytes of the client may come much later, so the task has a separate budget.
        let mut budget = self.budget.clone();
        self.sending = Some(tokio::spawn(async move {
            let sent = client
                .request(&mut budget, "store a part of a file", part)
                .await;
            drop(permit);
            sent
        }));
        Ok(())
    }

    /// Starts an upload in parts, in a separate task. The task is kept until the end of the task: the caller may be dropped, and then the
    /// started upload has to be aborted in S3.
    async fn start_multipart(&mut self) -> Result<Box<dyn MultipartUpload>, StoreError> {
        let (client, path) = (Arc::clone(&self.client), self.path());
        let mut budget = self.budget.clone();
        let starting = self.starting.insert(tokio::spawn(async move {
            let options = PutMultipartOptions::default();
            let start = client.multipart_store.put_multipart_opts(&path, options);
            client.request(&mut budget, "begin a file", start).await
        }));
        let wait_start = Instant::now();
        let started = starting.await;
        self.starting = None;
        self.budget.spend(wait_start.elapsed());
        started.map_err(interrupted)?
    }

    /// Waits until S3 has the part under way. Keeps the task when the caller is dropped.
    async fn wait_for_part(&mut self) -> Result<(), StoreError> {
        let Some(sending) = &mut self.sending else {
            return Ok(());
        };
        let sent = sending.await;
        self.sending = None;
        sent.map_err(interrupted)??;
        self.budget.reset();
        Ok(())
    }

    /// Removes the parts in the bucket. When the removal fails, the client tries again in the background.
    async fn remove_parts(mut self: Box<Self>) {
        // The result of the last part does not matter, but no part may arrive after the abort.
        let _ = self.wait_for_part().await;
        if let Some(mut multipart) = self.multipart.take() {
            let mut budget = TimeBudget::new();
            let abort = self
                .client
                .abort_multipart(&mut budget, multipart.as_mut())
                .await;
            if abort.is_err() {
                self.client.clean_up(Leftover::Upload(multipart));
            }
        }
    }

    /// Joins all bytes to a single object. No record names the object yet.
    async fn store(&mut self) -> Result<(), StoreError> {
        if self.multipart.is_none() {
            let payload: PutPayload = std::mem::take(&mut self.pieces).into_iter().collect();
            let path = self.path();
            // After an error, nobody knows whether the object exists.
            self.has_object = true;
            let put = self.client.store.put(&path, payload);
            self.client
                .request(&mut self.budget, "store a file", put)
                .await?;
        } else {
            if self.pending_bytes > 0 {
                self.send_part().await?;
            }
            self.wait_for_part().await?;
            let path = self.path();
            if let Some(multipart) = &mut self.multipart {
                let budget = &mut self.budget;
                self.client
                    .complete_multipart(budget, multipart.as_mut(), &path, self.sent_bytes)
                    .await?;
            }
            self.multipart = None;
            self.has_object = true;
        }
        self.permit = None;
        Ok(())
    }

    async fn publish(
        mut self: Box<Self>,
        file: NewFile,
        condition: Condition,
    ) -> Result<Publication, StoreError> {
        self.store().await?;
        if self.began_at.elapsed() > UPLOAD_TIME_MAX {
            return Err(StoreError::new(
                StoreErrorKind::Overloaded,
                "the upload took longer than the 20 hours that an upload may take; nothing was stored",
            ));
        }
        let published = index::publish(
            &self.client,
            &mut self.budget,
            &self.device,
            &self.blob,
            file,
            &condition,
        )
        .await;
        match published {
            Ok((Publication::Refused, _)) => Ok(Publication::Refused),
            Ok((stored, replaced)) => {
                self.has_object = false;
                if let Some(replaced) = replaced {
                    let path = key::content(&self.device, &replaced);
                    self.client.clean_up(Leftover::Object(path));
                }
                Ok(stored)
            }
            Err(error) => {
                // Nobody knows whether the record names the object. A sweep finds out.
                self.has_object = false;
                Err(error)
            }
        }
    }
}

/// Removes everything in the bucket from an unpublished upload.
impl Drop for S3Upload {
    fn drop(&mut self) {
        if let Some(sending) = self.sending.take() {
            sending.abort();
        }
        let starting = self.starting.take().map(Leftover::StartingUpload);
        let multipart = self.multipart.take().map(Leftover::Upload);
        let object = self.has_object.then(|| Leftover::Object(self.path()));
        for leftover in [starting, multipart, object].into_iter().flatten() {
            self.client.clean_up(leftover);
        }
    }
}

#[async_trait]
impl Upload for S3Upload {
    async fn write(&mut self, pieces: Vec<Bytes>) -> Result<(), StoreError> {
        for mut piece in pieces {
            while self.pending_bytes + piece.len() > PART_BYTES {
                // Some S3 servers require the same size for all parts except the last part.
                let head = piece.split_to(PART_BYTES - self.pending_bytes);
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
        // In a separate task, so that the end of the client's connection does not interrupt the publication.
        tokio::spawn(self.publish(file, condition))
            .await
            .map_err(interrupted)?
    }

    async fn abort(self: Box<Self>) {
        // In a separate task, because the removal continues after the wait. The task has no result.
        let removal = tokio::spawn(self.remove_parts());
        let _ = tokio::time::timeout(ABORT_WAIT_MAX, removal).await;
    }
}

fn interrupted(error: tokio::task::JoinError) -> StoreError {
    StoreError::cut_off("sending a file to S3", error)
}

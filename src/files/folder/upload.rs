//! A file on its way into the folder.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::task::JoinHandle;

use super::blobs::{Blobs, Staged, blocking};
use super::catalog::Catalog;
use super::room::Room;
use crate::error::{StoreError, StoreErrorKind};
use crate::files::{Condition, DeviceId, NewFile, Publication, Upload};

/// After how many bytes the disk is told to begin: the last flush then finds little to do whatever the size, and no more
/// than twice this waits in the memory of the system.
const FLUSH_EVERY_BYTES: u64 = 16 << 20;

/// An upload. Bytes are written while the next ones arrive, and flushed while more are written.
pub(super) struct FolderUpload {
    device: DeviceId,
    staged: Arc<Staged>,
    blobs: Arc<Blobs>,
    catalog: Catalog,
    room: Room,
    writing: Work,
    flushing: Work,
    unflushed_bytes: u64,
}

/// Something that a thread is doing, if anything.
type Work = Option<JoinHandle<Result<(), StoreError>>>;

impl FolderUpload {
    pub(super) fn new(device: DeviceId, blobs: Arc<Blobs>, catalog: Catalog, room: Room) -> Self {
        Self {
            device,
            staged: Arc::new(blobs.stage()),
            blobs,
            catalog,
            room,
            writing: None,
            flushing: None,
            unflushed_bytes: 0,
        }
    }

    /// Makes what was written durable, under the name of the blob.
    async fn complete(&mut self) -> Result<(), StoreError> {
        done(&mut self.writing).await?;
        done(&mut self.flushing).await?;
        let staged = Arc::clone(&self.staged);
        blocking(move || staged.complete()).await
    }

    async fn publish(
        mut self,
        file: NewFile,
        condition: Condition,
    ) -> Result<Publication, StoreError> {
        self.complete()
            .await
            .map_err(|error| self.room.explain(error))?;
        let blob = Arc::clone(self.staged.name());
        let published = self
            .catalog
            .publish(self.device.clone(), blob, file, condition)
            .await;
        match published {
            Ok((publication, replaced)) => {
                if publication != Publication::Refused {
                    self.staged.keep();
                }
                if let Some(replaced) = replaced {
                    self.blobs.discard(replaced);
                }
                Ok(publication)
            }
            Err(error) => {
                // Past a failure of the disk nobody knows whether the row is there: the blob stays, and a sweep decides.
                if error.kind() != StoreErrorKind::StorageFull {
                    self.staged.keep();
                }
                Err(error)
            }
        }
    }
}

#[async_trait]
impl Upload for FolderUpload {
    async fn write(&mut self, pieces: Vec<Bytes>) -> Result<(), StoreError> {
        let bytes: u64 = pieces.iter().map(|piece| piece.len() as u64).sum();
        let explain = |error| self.room.explain(error);
        done(&mut self.writing).await.map_err(explain)?;
        if self.unflushed_bytes >= FLUSH_EVERY_BYTES {
            done(&mut self.flushing).await.map_err(explain)?;
            let staged = Arc::clone(&self.staged);
            self.flushing = Some(tokio::task::spawn_blocking(move || staged.flush()));
            self.unflushed_bytes = 0;
        }
        self.unflushed_bytes += bytes;
        let staged = Arc::clone(&self.staged);
        self.writing = Some(tokio::task::spawn_blocking(move || staged.write(&pieces)));
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

    async fn abort(mut self: Box<Self>) {
        // What they failed with does not matter any more; that they are done does.
        let _ = done(&mut self.writing).await;
        let _ = done(&mut self.flushing).await;
        let staged = self.staged;
        let _ = tokio::task::spawn_blocking(move || staged.remove()).await;
    }
}

async fn done(work: &mut Work) -> Result<(), StoreError> {
    match work.take() {
        None => Ok(()),
        Some(work) => work.await.map_err(cut_off)?,
    }
}

fn cut_off(error: tokio::task::JoinError) -> StoreError {
    StoreError::cut_off("writing a file", error)
}

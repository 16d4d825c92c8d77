//! Writes a file into the folder.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::task::JoinHandle;

use super::blobs::{Blobs, StagedBlob, blocking};
use super::catalog::Catalog;
use super::disk::FolderDisk;
use crate::error::{StoreError, StoreErrorKind};
use crate::files::{Condition, DeviceId, NewFile, Publication, Upload};

/// The number of bytes between two flushes. So the last flush is short for any size of file, and at most twice as many bytes wait in
/// the memory of the system.
const FLUSH_EVERY_BYTES: u64 = 16 << 20;

/// An upload. The next bytes arrive while these bytes are written, and more bytes are written during a flush.
pub(super) struct FolderUpload {
    device: DeviceId,
    staged: Arc<StagedBlob>,
    blobs: Arc<Blobs>,
    catalog: Catalog,
    disk: FolderDisk,
    writing: Work,
    flushing: Work,
    unflushed_bytes: u64,
}

/// Work on another thread, if there is any.
type Work = Option<JoinHandle<Result<(), StoreError>>>;

impl FolderUpload {
    pub(super) fn new(
        device: DeviceId,
        blobs: Arc<Blobs>,
        catalog: Catalog,
        disk: FolderDisk,
    ) -> Self {
        Self {
            device,
            staged: Arc::new(blobs.stage()),
            blobs,
            catalog,
            disk,
            writing: None,
            flushing: None,
            unflushed_bytes: 0,
        }
    }

    /// Makes the blob complete and durable.
    async fn complete(&mut self) -> Result<(), StoreError> {
        wait_for(&mut self.writing).await?;
        wait_for(&mut self.flushing).await?;
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
            .map_err(|error| self.disk.explain(error))?;
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
                // After a failure of the disk nobody knows whether the row exists. The blob stays, and a sweep finds out.
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
        let explain = |error| self.disk.explain(error);
        wait_for(&mut self.writing).await.map_err(explain)?;
        if self.unflushed_bytes >= FLUSH_EVERY_BYTES {
            wait_for(&mut self.flushing).await.map_err(explain)?;
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
        // In a separate task, so that the end of the client's connection does not interrupt the publication.
        tokio::spawn(self.publish(file, condition))
            .await
            .map_err(interrupted)?
    }

    async fn abort(mut self: Box<Self>) {
        // The results do not matter, but both must end before the removal.
        let _ = wait_for(&mut self.writing).await;
        let _ = wait_for(&mut self.flushing).await;
        let staged = self.staged;
        let _ = tokio::task::spawn_blocking(move || staged.remove()).await;
    }
}

async fn wait_for(work: &mut Work) -> Result<(), StoreError> {
    match work.take() {
        None => Ok(()),
        Some(work) => work.await.map_err(interrupted)?,
    }
}

fn interrupted(error: tokio::task::JoinError) -> StoreError {
    StoreError::cut_off("writing a file", error)
}

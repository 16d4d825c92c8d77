//! Receives a file from the body of a request into the store, and calculates the digest.

use bytes::Bytes;

use super::digester::{Batches, Digester};
use super::digests::{Digests, ExpectedDigests};
use crate::files::{Condition, ContentType, FileName, NewFile, Publication, Upload};
use crate::http::{Problem, ProblemKind};
use crate::timestamp::Timestamp;

/// Receives a file: collects the pieces into batches, and hands each batch to the digester and to the store.
pub(super) struct Receiver {
    upload: Box<dyn Upload>,
    digester: Digester,
    batches: Batches,
    size_bytes: u64,
    bytes_max: u64,
}

/// A received file: all bytes are in the store, and the file is not published yet.
pub(super) struct Received {
    upload: Box<dyn Upload>,
    size_bytes: u64,
    pub(super) digests: Digests,
}

impl Receiver {
    /// A receiver of at most `bytes_max` bytes.
    pub(super) fn new(
        upload: Box<dyn Upload>,
        expected_digests: &ExpectedDigests,
        bytes_max: u64,
    ) -> Self {
        Self {
            upload,
            digester: Digester::new(expected_digests.hashers()),
            batches: Batches::default(),
            size_bytes: 0,
            bytes_max,
        }
    }

    pub(super) fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Receives the next bytes.
    ///
    /// # Errors
    /// 413 when the file is larger than the limit, and the errors of the store.
    pub(super) async fn push(&mut self, piece: Bytes) -> Result<(), Problem> {
        self.size_bytes += piece.len() as u64;
        if self.size_bytes > self.bytes_max {
            return Err(too_large(self.bytes_max));
        }
        if let Some(batch) = self.batches.push(piece) {
            self.digester.update(batch.clone()).await?;
            self.upload.write(batch).await?;
        }
        Ok(())
    }

    /// Ends the file.
    ///
    /// # Errors
    /// When the store fails; the receiver is returned so that the caller can abort.
    pub(super) async fn complete(mut self) -> Result<Received, (Self, Problem)> {
        let rest = self.batches.take();
        if !rest.is_empty()
            && let Err(error) = self.upload.write(rest.clone()).await
        {
            return Err((self, error.into()));
        }
        let hashers = ExpectedDigests::default().hashers();
        let digester = std::mem::replace(&mut self.digester, Digester::new(hashers));
        match digester.finish(&rest).await {
            Ok(digests) => Ok(Received {
                upload: self.upload,
                size_bytes: self.size_bytes,
                digests,
            }),
            Err(error) => Err((self, error.into())),
        }
    }

    /// Removes the received bytes from the store.
    pub(super) async fn abort(self) {
        self.upload.abort().await;
    }
}

impl Received {
    /// Publishes the file as the device's file, if the condition holds.
    pub(super) async fn publish(
        self,
        content_type: ContentType,
        name: Option<FileName>,
        condition: Condition,
    ) -> Result<Publication, Problem> {
        let file = NewFile {
            size_bytes: self.size_bytes,
            content_type,
            name,
            digest: self.digests.sha256,
            time: Timestamp::now(),
        };
        Ok(self.upload.finish(file, condition).await?)
    }

    /// Removes the received bytes from the store.
    pub(super) async fn abort(self) {
        self.upload.abort().await;
    }
}

pub(super) fn too_large(bytes_max: u64) -> Problem {
    Problem::new(
        ProblemKind::BodyTooLarge,
        format!(
            "the file is larger than the {bytes_max} bytes that are accepted here; nothing was stored"
        ),
    )
}

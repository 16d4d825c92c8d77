//! A file on its way from the body of a request into the store, with its digest.

use bytes::Bytes;

use super::digests::{Digester, Digests, ExpectedDigests};
use crate::files::{Condition, ContentType, FileName, NewFile, Publication, Upload};
use crate::http::{Problem, ProblemKind};
use crate::timestamp::Timestamp;

/// How much is handed to the store at a time: enough that a hand-over between threads costs little beside it.
const BATCH_BYTES: usize = 256 * 1024;

/// Receives one file.
pub(super) struct Receiver {
    upload: Box<dyn Upload>,
    digester: Digester,
    pieces: Vec<Bytes>,
    waiting_bytes: usize,
    size_bytes: u64,
    bytes_max: u64,
}

/// A file all of whose bytes are in the store.
pub(super) struct Received {
    upload: Box<dyn Upload>,
    size_bytes: u64,
    pub(super) digests: Digests,
}

impl Receiver {
    /// Receives at most `bytes_max` bytes.
    pub(super) fn new(
        upload: Box<dyn Upload>,
        expected_digests: &ExpectedDigests,
        bytes_max: u64,
    ) -> Self {
        Self {
            upload,
            digester: Digester::new(expected_digests.hashers()),
            pieces: Vec::new(),
            waiting_bytes: 0,
            size_bytes: 0,
            bytes_max,
        }
    }

    pub(super) fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Takes the next bytes.
    pub(super) async fn push(&mut self, piece: Bytes) -> Result<(), Problem> {
        self.size_bytes += piece.len() as u64;
        if self.size_bytes > self.bytes_max {
            return Err(too_large(self.bytes_max));
        }
        self.digester.push(piece.clone()).await?;
        self.waiting_bytes += piece.len();
        self.pieces.push(piece);
        if self.waiting_bytes >= BATCH_BYTES {
            self.hand_over().await?;
        }
        Ok(())
    }

    /// Everything has come.
    pub(super) async fn complete(mut self) -> Result<Received, (Self, Problem)> {
        if let Err(problem) = self.hand_over().await {
            return Err((self, problem));
        }
        let hashers = ExpectedDigests::default().hashers();
        let digester = std::mem::replace(&mut self.digester, Digester::new(hashers));
        match digester.finish().await {
            Ok(digests) => Ok(Received {
                upload: self.upload,
                size_bytes: self.size_bytes,
                digests,
            }),
            Err(error) => Err((self, error.into())),
        }
    }

    /// Removes what was received.
    pub(super) async fn abort(self) {
        self.upload.abort().await;
    }

    async fn hand_over(&mut self) -> Result<(), Problem> {
        if self.pieces.is_empty() {
            return Ok(());
        }
        self.waiting_bytes = 0;
        let pieces = std::mem::take(&mut self.pieces);
        Ok(self.upload.write(pieces).await?)
    }
}

impl Received {
    /// Makes it the device's file.
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

    /// Removes what was received.
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

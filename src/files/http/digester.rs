//! Digests of a stream of bytes, calculated on another thread while the stream goes on.

use bytes::Bytes;
use tokio::task::JoinHandle;

use super::digests::{Digests, Hashers};
use crate::error::{StoreError, StoreErrorKind};

/// The least bytes of a batch: a hand-over to another thread costs little compared with the work on so many bytes.
const BATCH_BYTES: usize = 256 * 1024;

/// Collects the pieces of a stream into batches for other threads. The pieces are not copied.
#[derive(Debug, Default)]
pub(super) struct Batches {
    pieces: Vec<Bytes>,
    bytes: usize,
}

impl Batches {
    /// Adds a piece. Returns the pieces since the last batch as soon as they have [`BATCH_BYTES`].
    pub(super) fn push(&mut self, piece: Bytes) -> Option<Vec<Bytes>> {
        self.bytes += piece.len();
        self.pieces.push(piece);
        (self.bytes >= BATCH_BYTES).then(|| self.take())
    }

    /// Removes the pieces since the last batch.
    pub(super) fn take(&mut self) -> Vec<Bytes> {
        self.bytes = 0;
        std::mem::take(&mut self.pieces)
    }
}

/// Calculates digests, one batch at a time.
#[derive(Debug)]
pub(super) struct Digester {
    /// `None` while a thread has the hashers.
    hashers: Option<Hashers>,
    hashing: Option<JoinHandle<Hashers>>,
}

impl Digester {
    pub(super) fn new(hashers: Hashers) -> Self {
        Self {
            hashers: Some(hashers),
            hashing: None,
        }
    }

    /// Adds the next bytes, once the batch before has been hashed.
    ///
    /// # Errors
    /// When the thread that hashed the batch before has panicked.
    pub(super) async fn update(&mut self, batch: Vec<Bytes>) -> Result<(), StoreError> {
        let mut hashers = self.idle().await?;
        self.hashing = Some(tokio::task::spawn_blocking(move || {
            hashers.update(&batch);
            hashers
        }));
        Ok(())
    }

    /// Adds the last bytes, fewer than a batch, and returns the digests.
    ///
    /// # Errors
    /// As [`Digester::update`].
    pub(super) async fn finish(mut self, rest: &[Bytes]) -> Result<Digests, StoreError> {
        let mut hashers = self.idle().await?;
        hashers.update(rest);
        Ok(hashers.finish())
    }

    async fn idle(&mut self) -> Result<Hashers, StoreError> {
        let lost = || {
            StoreError::new(
                StoreErrorKind::Internal,
                "calculating the digest was cut off",
            )
        };
        match self.hashing.take() {
            Some(hashing) => hashing.await.map_err(|error| lost().with_source(error)),
            None => self.hashers.take().ok_or_else(lost),
        }
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest as _, Sha256};

    use super::super::digests::ExpectedDigests;
    use super::*;

    #[tokio::test]
    async fn every_byte_is_hashed_once_in_order() {
        let mut digester = Digester::new(ExpectedDigests::default().hashers());
        let mut batches = Batches::default();
        let bytes: Bytes = (0..3 * BATCH_BYTES).map(|n| (n * 7 / 3) as u8).collect();
        let mut pieces = 0;
        for piece in [
            &bytes[..5],
            &bytes[5..BATCH_BYTES - 1],
            &bytes[BATCH_BYTES - 1..BATCH_BYTES],
            &bytes[BATCH_BYTES..BATCH_BYTES * 2 + 9],
            &bytes[BATCH_BYTES * 2 + 9..],
        ] {
            if let Some(batch) = batches.push(bytes.slice_ref(piece)) {
                pieces += batch.len();
                digester.update(batch).await.unwrap();
            }
        }
        assert_eq!(pieces, 4);
        let digest = digester.finish(&batches.take()).await.unwrap().sha256;
        assert_eq!(digest.0, <[u8; 32]>::from(Sha256::digest(&bytes)));
        assert!(batches.take().is_empty());
    }
}

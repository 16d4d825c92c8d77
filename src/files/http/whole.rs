//! Sends a whole file, and withholds the last bytes unless the digest is right.

use bytes::Bytes;
use futures_util::{StreamExt, stream};

use super::digester::{Batches, Digester};
use super::digests::ExpectedDigests;
use crate::error::{StoreError, StoreErrorKind};
use crate::files::{ContentStream, DeviceId, Digest, FileInfo};

/// This number of bytes is read before the head of the answer is sent. Damage to a smaller file is found before the answer begins.
const HEAD_BYTES: usize = 256 * 1024;

/// The bytes of a file, in order. The digest is calculated on the way, and the stream fails before the last piece if the digest is wrong.
/// The client then has fewer bytes than announced, and does not take these bytes for the file.
///
/// # Errors
/// When the beginning cannot be read, or a small file differs from the stored file.
pub(super) async fn checked(
    content: ContentStream,
    info: &FileInfo,
) -> Result<ContentStream, StoreError> {
    let mut checking = Checking {
        content,
        device: info.device.clone(),
        digest: info.file.digest,
        digester: Some(Digester::new(ExpectedDigests::default().hashers())),
        batches: Batches::default(),
        left_bytes: info.file.size_bytes,
    };
    let mut head = Vec::new();
    let mut head_bytes = 0;
    while head_bytes < HEAD_BYTES {
        let Some(piece) = checking.next().await? else {
            break;
        };
        head_bytes += piece.len();
        head.push(Ok(piece));
    }
    let rest = stream::try_unfold(checking, async |mut checking| {
        let piece = checking.next().await?;
        Ok(piece.map(|piece| (piece, checking)))
    });
    Ok(Box::pin(stream::iter(head).chain(rest)))
}

struct Checking {
    content: ContentStream,
    device: DeviceId,
    digest: Digest,
    /// `None` once the digest is calculated.
    digester: Option<Digester>,
    batches: Batches,
    left_bytes: u64,
}

impl Checking {
    async fn next(&mut self) -> Result<Option<Bytes>, StoreError> {
        let Some(piece) = self.content.next().await.transpose()? else {
            return match self.left_bytes {
                0 => Ok(None),
                _ => Err(self.damaged("the file is shorter")),
            };
        };
        let left_bytes = self.left_bytes.checked_sub(piece.len() as u64);
        self.left_bytes = left_bytes.ok_or_else(|| self.damaged("the file is longer"))?;
        if let Some(digester) = &mut self.digester
            && let Some(batch) = self.batches.push(piece.clone())
        {
            digester.update(batch).await?;
        }
        if self.left_bytes == 0
            && let Some(digester) = self.digester.take()
            && digester.finish(&self.batches.take()).await?.sha256 != self.digest
        {
            return Err(self.damaged("its SHA-256 is another one"));
        }
        Ok(Some(piece))
    }

    fn damaged(&self, why: &str) -> StoreError {
        StoreError::new(
            StoreErrorKind::Damaged,
            format!(
                "the file of the device `{}` is not what was stored: {why}; send the file again, or remove it",
                self.device
            ),
        )
    }
}

#[cfg(test)]
mod tests {
    use futures_util::TryStreamExt;
    use proptest::prelude::*;
    use sha2::{Digest as _, Sha256};

    use super::*;
    use crate::files::{ContentType, NewFile};
    use crate::timestamp::Timestamp;

    fn info(stored: &[u8]) -> FileInfo {
        FileInfo {
            device: DeviceId::new("202").unwrap(),
            file: NewFile {
                size_bytes: stored.len() as u64,
                content_type: ContentType::new("text/plain").unwrap(),
                name: None,
                digest: Digest(Sha256::digest(stored).into()),
                time: Timestamp::now(),
            },
        }
    }

    /// Sends bytes in pieces. Returns the arrived bytes, and whether the stream ended without an error.
    fn sent(bytes: &[u8], piece: usize, stored: &[u8]) -> (Vec<u8>, Result<(), StoreError>) {
        let pieces: Vec<_> = bytes
            .chunks(piece)
            .map(|piece| Ok(Bytes::copy_from_slice(piece)))
            .collect();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let content = Box::pin(stream::iter(pieces));
            let mut arrived = Vec::new();
            let ended = async {
                let mut checked = checked(content, &info(stored)).await?;
                while let Some(piece) = checked.try_next().await? {
                    arrived.extend_from_slice(&piece);
                }
                Ok(())
            };
            let ended = ended.await;
            (arrived, ended)
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn what_was_stored_arrives_and_what_was_not_never_looks_whole(
            length in 1..2 * HEAD_BYTES,
            piece in prop::sample::select(vec![1000, 100_000, HEAD_BYTES]),
            at in any::<prop::sample::Index>(),
            change in 0..3,
        ) {
            let stored: Vec<u8> = (0..length).map(|n| (n * 7 / 3) as u8).collect();
            let (arrived, ended) = sent(&stored, piece, &stored);
            prop_assert!(ended.is_ok());
            prop_assert_eq!(&arrived, &stored);
            let mut damaged = stored.clone();
            match change {
                0 => damaged[at.index(length)] ^= 1,
                1 => drop(damaged.pop()),
                _ => damaged.push(0),
            }
            let (arrived, ended) = sent(&damaged, piece, &stored);
            let error = ended.unwrap_err();
            prop_assert_eq!(error.kind(), StoreErrorKind::Damaged);
            prop_assert!(error.message().contains("`202`"), "{}", error);
            prop_assert!(arrived.len() < length, "{} of {}", arrived.len(), length);
        }
    }
}

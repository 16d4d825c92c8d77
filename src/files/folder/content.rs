//! Reading a blob: a piece ahead of the client, in threads that may wait for the disk.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream;
use tokio::task::JoinHandle;

use super::blobs::{blocking, failed};
use crate::error::{StoreError, StoreErrorKind};
use crate::files::{Content, ContentStream};

/// How much is read at a time: enough that a hand-over between threads costs little beside it.
const PIECE_BYTES: u64 = 256 * 1024;

/// A blob that is open, and stays readable when it is replaced or removed.
pub(super) struct FolderContent {
    file: File,
}

impl FolderContent {
    pub(super) fn new(file: File) -> Self {
        Self { file }
    }
}

#[async_trait]
impl Content for FolderContent {
    async fn read(self: Box<Self>, range: Range<u64>) -> Result<Option<ContentStream>, StoreError> {
        let mut file = self.file;
        let reader = blocking(move || {
            file.seek(SeekFrom::Start(range.start))
                .map_err(|error| failed("read a file", error))?;
            Reader {
                file,
                left_bytes: range.end.saturating_sub(range.start),
            }
            .next()
        })
        .await?;
        let pieces = stream::try_unfold(Next::Read(reader), async |next| {
            let (piece, reader) = match next {
                Next::Read(read) => read,
                Next::Reading(reading) => joined(reading).await?,
            };
            if piece.is_empty() {
                return Ok(None);
            }
            let reading = tokio::task::spawn_blocking(move || reader.next());
            Ok(Some((piece, Next::Reading(reading))))
        });
        Ok(Some(Box::pin(pieces)))
    }
}

type Read1 = (Bytes, Reader);

enum Next {
    Read(Read1),
    Reading(JoinHandle<Result<Read1, StoreError>>),
}

async fn joined(reading: JoinHandle<Result<Read1, StoreError>>) -> Result<Read1, StoreError> {
    let done = reading.await;
    done.map_err(|error| StoreError::cut_off("reading a file", error))?
}

struct Reader {
    file: File,
    left_bytes: u64,
}

impl Reader {
    /// The next piece; an empty one at the end.
    fn next(mut self) -> Result<Read1, StoreError> {
        let length = self.left_bytes.min(PIECE_BYTES);
        // Of exactly the length, so that it is neither zeroed first nor grown.
        let mut piece = Vec::with_capacity(length as usize);
        let read = (&self.file)
            .take(length)
            .read_to_end(&mut piece)
            .map_err(|error| failed("read a file", error))?;
        if read as u64 != length {
            return Err(StoreError::new(
                StoreErrorKind::Damaged,
                "a file is shorter than it was when it was stored",
            ));
        }
        self.left_bytes -= length;
        Ok((piece.into(), self))
    }
}

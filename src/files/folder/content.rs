//! Reads a blob, one piece ahead of the client, on threads for blocking work.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream;
use tokio::task::JoinHandle;

use super::blobs::{blocking, io_error};
use crate::error::{StoreError, StoreErrorKind};
use crate::files::{Content, ContentStream};

/// The size of a piece: large enough that the switch between threads costs little.
const PIECE_BYTES: u64 = 256 * 1024;

/// An open blob. The blob stays readable after it was replaced or removed.
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
                .map_err(|error| io_error("read a file", error))?;
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

type PieceAndReader = (Bytes, Reader);

/// The next piece of the stream: read already, or being read.
enum Next {
    Read(PieceAndReader),
    Reading(JoinHandle<Result<PieceAndReader, StoreError>>),
}

async fn joined(
    reading: JoinHandle<Result<PieceAndReader, StoreError>>,
) -> Result<PieceAndReader, StoreError> {
    let done = reading.await;
    done.map_err(|error| StoreError::cut_off("reading a file", error))?
}

struct Reader {
    file: File,
    left_bytes: u64,
}

impl Reader {
    /// Reads the next piece. The piece is empty at the end of the range.
    fn next(mut self) -> Result<PieceAndReader, StoreError> {
        let length = self.left_bytes.min(PIECE_BYTES);
        // The exact capacity avoids both zeroing and growing the buffer.
        let mut piece = Vec::with_capacity(length as usize);
        let read = (&self.file)
            .take(length)
            .read_to_end(&mut piece)
            .map_err(|error| io_error("read a file", error))?;
        if read as u64 != length {
            return Err(StoreError::new(
                StoreErrorKind::Damaged,
                "a file is shorter than the file that was stored",
            ));
        }
        self.left_bytes -= length;
        Ok((piece.into(), self))
    }
}

//! Files that are there after a power cut, and what the errors on the way mean.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::error::{StoreError, StoreErrorKind};

/// How much is read at a time.
const PIECE_BYTES: usize = 256 * 1024;

/// After how many bytes the disk is told to begin.
const FLUSH_EVERY_BYTES: u64 = 16 << 20;

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Content {
    /// Its length.
    pub(crate) bytes: u64,
    /// Its SHA-256.
    pub(crate) sha256: [u8; 32],
}

/// Copies a file under a name that is not taken; the content is durable when this returns, the name once the directory is
/// flushed. `progress` is told how many bytes more are copied.
pub(crate) fn copy(
    source: &mut impl Read,
    target: &Path,
    progress: &mut dyn FnMut(u64),
) -> io::Result<Content> {
    let mut copy = File::options().write(true).create_new(true).open(target)?;
    let mut unflushed_bytes = 0;
    let content = read(source, &mut |piece| {
        copy.write_all(piece)?;
        unflushed_bytes += piece.len() as u64;
        if unflushed_bytes >= FLUSH_EVERY_BYTES {
            copy.sync_data()?;
            unflushed_bytes = 0;
        }
        progress(piece.len() as u64);
        Ok(())
    })?;
    copy.sync_all()?;
    Ok(content)
}

/// Reads a file for its digest.
pub(crate) fn content(source: &mut impl Read) -> io::Result<Content> {
    content_with(source, &mut |_| {})
}

/// [`content`], with `progress` told how many bytes more were read.
pub(crate) fn content_with(
    source: &mut impl Read,
    progress: &mut dyn FnMut(u64),
) -> io::Result<Content> {
    read(source, &mut |piece| {
        progress(piece.len() as u64);
        Ok(())
    })
}

fn read(
    source: &mut impl Read,
    take: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<Content> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; PIECE_BYTES];
    let mut bytes = 0;
    loop {
        let length = match source.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let piece = buffer.get(..length).unwrap_or_default();
        hasher.update(piece);
        take(piece)?;
        bytes += length as u64;
    }
    Ok(Content {
        bytes,
        sha256: hasher.finalize().into(),
    })
}

/// Makes what was named in a directory stay named.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// An error of the file system while doing something.
pub(crate) fn failed(what: &str, error: io::Error) -> StoreError {
    StoreError::new(kind_of(&error), format!("could not {what}")).with_source(error)
}

/// What a caller can act on, of an error of the file system.
pub(crate) fn kind_of(error: &io::Error) -> StoreErrorKind {
    use io::ErrorKind::{FileTooLarge, OutOfMemory, QuotaExceeded, StorageFull};
    match (error.kind(), error.raw_os_error()) {
        (StorageFull | QuotaExceeded | FileTooLarge, _) => StoreErrorKind::StorageFull,
        // No more files may be open in this process, or on this machine.
        (OutOfMemory, _) | (_, Some(libc::EMFILE | libc::ENFILE)) => StoreErrorKind::Overloaded,
        _ => StoreErrorKind::Internal,
    }
}

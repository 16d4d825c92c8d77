//! Files with protection against a power cut, and the meaning of errors of the file system.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::error::{StoreError, StoreErrorKind};

/// How many bytes are read at a time.
const PIECE_BYTES: usize = 256 * 1024;

/// A copy is flushed each time after this number of bytes, so that the last flush is short.
const FLUSH_EVERY_BYTES: u64 = 16 << 20;

/// The content of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Content {
    /// The length.
    pub(crate) bytes: u64,
    /// The SHA-256 digest.
    pub(crate) sha256: [u8; 32],
}

/// Copies into a new file. The content is durable when this returns; the name is durable once the directory is flushed. Calls `progress`
/// with the number of newly copied bytes.
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

/// Reads a file to the end, for the length and the digest.
pub(crate) fn content(source: &mut impl Read) -> io::Result<Content> {
    content_with(source, &mut |_| {})
}

/// Does what [`content`] does, and calls `progress` with the number of newly read bytes.
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

/// Makes the names in a directory durable.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Creates a directory and the parents of the directory, and flushes the parent of each.
pub(crate) fn create_directory(path: &Path) -> io::Result<()> {
    let parent = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    if path.is_dir() {
        // Another process may have created the directory, and may have been killed before the flush.
        return match sync_directory(parent) {
            Err(error) if error.raw_os_error() == Some(libc::EIO) => Err(error),
            // This process need not have the right to open the parent, and the parent may be read-only.
            _ => Ok(()),
        };
    }
    create_directory(parent)?;
    match fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    sync_directory(parent)
}

/// An error of the file system. `what` completes "could not".
pub(crate) fn io_error(what: &str, error: io::Error) -> StoreError {
    StoreError::new(kind_of(&error), format!("could not {what}")).with_source(error)
}

/// The kind of an error of the file system.
pub(crate) fn kind_of(error: &io::Error) -> StoreErrorKind {
    use io::ErrorKind::{FileTooLarge, OutOfMemory, QuotaExceeded, StorageFull};
    match (error.kind(), error.raw_os_error()) {
        (StorageFull | QuotaExceeded | FileTooLarge, _) => StoreErrorKind::StorageFull,
        // Too many files are open in this process or on this machine.
        (OutOfMemory, _) | (_, Some(libc::EMFILE | libc::ENFILE)) => StoreErrorKind::Overloaded,
        _ => StoreErrorKind::Internal,
    }
}

//! The folder with the blobs, each under a unique name.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions, ReadDir};
use std::io::{self, IoSlice, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use parking_lot::Mutex;
use tracing::warn;

use crate::error::{StoreError, StoreErrorKind};
use crate::random;
use crate::storage::durable_file;

/// The suffix of an incomplete blob.
const PARTIAL: &str = ".part";

/// The name of a blob: 32 hexadecimal digits.
pub(super) type BlobName = Arc<str>;

/// The folder.
#[derive(Debug)]
pub(super) struct Blobs {
    path: PathBuf,
    /// Blobs of running uploads. These blobs have no row yet. A sweep skips these blobs.
    in_progress: Mutex<HashSet<BlobName>>,
}

impl Blobs {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            in_progress: Mutex::default(),
        }
    }

    /// Starts a blob. The first write creates the file.
    pub(super) fn stage(self: &Arc<Self>) -> StagedBlob {
        let name: BlobName = random::timed_name().into();
        self.in_progress.lock().insert(Arc::clone(&name));
        StagedBlob {
            blobs: Arc::clone(self),
            name,
            file: OnceLock::new(),
            is_renamed: AtomicBool::new(false),
            is_kept: AtomicBool::new(false),
        }
    }

    /// Opens a blob, and returns the file and the length in bytes; `None` when the blob does not exist.
    pub(super) fn open(&self, name: &str) -> Result<Option<(File, u64)>, StoreError> {
        let opened = File::open(self.path.join(name)).and_then(|file| {
            let bytes = file.metadata()?.len();
            Ok((file, bytes))
        });
        match opened {
            Ok(opened) => Ok(Some(opened)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io_error("open a file", error)),
        }
    }

    /// Removes a blob without a row, in the background: removing gigabytes takes a while. After a crash or an error a sweep removes the
    /// blob.
    pub(super) fn discard(self: &Arc<Self>, name: BlobName) {
        let blobs = Arc::clone(self);
        tokio::task::spawn_blocking(move || blobs.remove_all(&[name]));
    }

    /// Lists the folder.
    pub(super) fn entries(&self) -> Result<ReadDir, StoreError> {
        fs::read_dir(&self.path).map_err(|error| io_error("list the files", error))
    }

    /// The next names in the listing, at most `count_max`. Blobs of running uploads are skipped.
    pub(super) fn idle_names(
        &self,
        entries: &mut ReadDir,
        count_max: usize,
    ) -> Result<Vec<BlobName>, StoreError> {
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| io_error("list the files", error))?;
            let file_name = entry.file_name();
            // Files with other names belong to other programs.
            let Some(text) = file_name.to_str().filter(|text| is_file_name(text)) else {
                continue;
            };
            let blob = text.strip_suffix(PARTIAL).unwrap_or(text);
            if !self.in_progress.lock().contains(blob) {
                names.push(text.into());
            }
            if names.len() == count_max {
                break;
            }
        }
        Ok(names)
    }

    /// Removes files. Returns the number of removed files.
    pub(super) fn remove_all(&self, names: &[BlobName]) -> Result<u64, StoreError> {
        let mut removed = 0;
        for name in names {
            match fs::remove_file(self.path.join(&**name)) {
                Ok(()) => removed += 1,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    warn!(%error, %name, "cannot remove a file that is no longer used");
                    return Err(io_error("remove a file", error));
                }
            }
        }
        Ok(removed)
    }
}

/// A blob during an upload. Dropping the last reference removes the blob, unless [`StagedBlob::keep`] was called.
#[derive(Debug)]
pub(super) struct StagedBlob {
    blobs: Arc<Blobs>,
    name: BlobName,
    file: OnceLock<File>,
    is_renamed: AtomicBool,
    is_kept: AtomicBool,
}

impl StagedBlob {
    pub(super) fn name(&self) -> &BlobName {
        &self.name
    }

    fn partial_path(&self) -> PathBuf {
        self.blobs.path.join(format!("{}{PARTIAL}", self.name))
    }

    fn file(&self) -> io::Result<&File> {
        if let Some(file) = self.file.get() {
            return Ok(file);
        }
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(self.partial_path())?;
        Ok(self.file.get_or_init(|| file))
    }

    /// Appends bytes. Only one thread may write at a time.
    pub(super) fn write(&self, pieces: &[Bytes]) -> Result<(), StoreError> {
        let mut slices: Vec<_> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
        self.file()
            .and_then(|file| write_all(file, &mut slices))
            .map_err(|error| write_error("write a file", error))
    }

    /// Flushes the bytes written so far, so that the last flush is short.
    pub(super) fn flush(&self) -> Result<(), StoreError> {
        self.file()
            .and_then(File::sync_data)
            .map_err(|error| write_error("flush a file", error))
    }

    /// Flushes the blob and gives the blob the final name. The bytes and the name are durable when this returns `Ok`.
    pub(super) fn complete(&self) -> Result<(), StoreError> {
        let complete = || {
            self.file()?.sync_all()?;
            fs::rename(self.partial_path(), self.blobs.path.join(&*self.name))?;
            self.is_renamed.store(true, Ordering::Release);
            File::open(&self.blobs.path)?.sync_all()
        };
        complete().map_err(|error| write_error("make a file durable", error))
    }

    /// Keeps the blob: a row names the blob, or may name the blob.
    pub(super) fn keep(&self) {
        self.is_kept.store(true, Ordering::Release);
    }

    /// Removes the blob now. No thread may be writing to the blob.
    pub(super) fn remove(&self) {
        let was_kept = self.is_kept.swap(true, Ordering::AcqRel);
        if !was_kept && self.file.get().is_some() {
            remove_unfinished(&self.path());
        }
    }

    /// The present path of the file.
    fn path(&self) -> PathBuf {
        if self.is_renamed.load(Ordering::Acquire) {
            self.blobs.path.join(&*self.name)
        } else {
            self.partial_path()
        }
    }
}

impl Drop for StagedBlob {
    fn drop(&mut self) {
        self.blobs.in_progress.lock().remove(&self.name);
        if *self.is_kept.get_mut() || self.file.get().is_none() {
            return;
        }
        let path = self.path();
        // Removing gigabytes takes a while, and would delay the requests of this thread.
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(move || remove_unfinished(&path))),
            Err(_) => remove_unfinished(&path),
        }
    }
}

fn remove_unfinished(path: &Path) {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            warn!(%error, "cannot remove a file that was not received completely; the next start removes it");
        }
        _ => {}
    }
}

fn write_all(mut file: &File, mut slices: &mut [IoSlice<'_>]) -> io::Result<()> {
    IoSlice::advance_slices(&mut slices, 0);
    while !slices.is_empty() {
        match file.write_vectored(slices) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut slices, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Whether this program makes files with such a name.
fn is_file_name(file_name: &str) -> bool {
    is_name(file_name.strip_suffix(PARTIAL).unwrap_or(file_name))
}

/// Whether a text is the name of a blob. Such a text is never a path to another folder.
pub(super) fn is_name(name: &str) -> bool {
    name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Runs `work` on a thread for blocking work, because `work` waits for the disk.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| StoreError::cut_off("work on a file", error))?
}

/// Translates an error of the disk. `action` completes "could not". A client may see the message, so the message has no path.
pub(super) fn io_error(action: &str, error: io::Error) -> StoreError {
    let kind = durable_file::kind_of(&error);
    let message = match kind {
        StoreErrorKind::StorageFull => {
            "the disk is full; nothing of this file was stored".to_owned()
        }
        StoreErrorKind::Overloaded => format!(
            "could not {action}: the server has too many open files, or no memory, at the moment"
        ),
        _ => format!("could not {action}"),
    };
    StoreError::new(kind, message).with_source(error)
}

/// Translates an error of the disk while storing a file. Nothing of the file is stored, so the client may send the file again.
fn write_error(action: &str, error: io::Error) -> StoreError {
    match durable_file::kind_of(&error) {
        StoreErrorKind::Internal => StoreError::new(
            StoreErrorKind::Unavailable,
            format!("could not {action}: the disk failed; nothing of this file was stored"),
        )
        .with_source(error),
        _ => io_error(action, error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(blobs: &Blobs) -> Vec<String> {
        let entries = fs::read_dir(&blobs.path).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    #[test]
    fn a_complete_blob_that_is_kept_stays() {
        let directory = tempfile::tempdir().unwrap();
        let blobs = Arc::new(Blobs::new(directory.path().to_owned()));
        let staged = blobs.stage();
        assert!(names(&blobs).is_empty());
        let pieces = [Bytes::from("ab"), Bytes::new(), Bytes::from("c")];
        staged.write(&pieces).unwrap();
        staged.flush().unwrap();
        assert!(blobs.open(staged.name()).unwrap().is_none());
        let mut entries = blobs.entries().unwrap();
        assert!(blobs.idle_names(&mut entries, 9).unwrap().is_empty());
        staged.complete().unwrap();
        staged.keep();
        let name = Arc::clone(staged.name());
        drop(staged);
        assert_eq!(names(&blobs), [&*name]);
        assert_eq!(fs::read(blobs.path.join(&*name)).unwrap(), b"abc");
        let mut entries = blobs.entries().unwrap();
        assert_eq!(blobs.idle_names(&mut entries, 9).unwrap(), [name]);
    }

    #[test]
    fn a_blob_that_is_not_kept_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let blobs = Arc::new(Blobs::new(directory.path().to_owned()));
        drop(blobs.stage());
        let staged = blobs.stage();
        staged.write(&[Bytes::from("x")]).unwrap();
        drop(staged);
        assert!(names(&blobs).is_empty());
        let staged = blobs.stage();
        staged.complete().unwrap();
        assert_eq!(names(&blobs).len(), 1);
        drop(staged);
        assert!(names(&blobs).is_empty());
    }

    #[test]
    fn new_names_are_unique_and_other_names_are_not_blobs() {
        let names: HashSet<_> = (0..1000).map(|_| random::timed_name()).collect();
        assert_eq!(names.len(), 1000);
        assert!(names.iter().all(|name| is_file_name(name)));
        for other in [
            "",
            "lost+found",
            ".part",
            "0123456789abcdef.part",
            "..",
            "x",
        ] {
            assert!(!is_file_name(other), "{other}");
        }
    }
}

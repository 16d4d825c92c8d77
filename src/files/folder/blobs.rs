//! The folder and the files in it, by names of their own.

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

/// What the name of a blob that is not complete ends in.
const PARTIAL: &str = ".part";

/// The name of a blob: 32 hexadecimal digits.
pub(super) type BlobName = Arc<str>;

/// The folder.
#[derive(Debug)]
pub(super) struct Blobs {
    path: PathBuf,
    /// Blobs between their making and their row, which a sweep leaves alone.
    live: Mutex<HashSet<BlobName>>,
}

impl Blobs {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            live: Mutex::default(),
        }
    }

    /// A blob to write to. There is no file before the first write.
    pub(super) fn stage(self: &Arc<Self>) -> Staged {
        let name: BlobName = random::timed_name().into();
        self.live.lock().insert(Arc::clone(&name));
        Staged {
            blobs: Arc::clone(self),
            name,
            file: OnceLock::new(),
            is_renamed: AtomicBool::new(false),
            is_kept: AtomicBool::new(false),
        }
    }

    /// Opens a blob, and says how many bytes it has; `None` when it is gone.
    pub(super) fn open(&self, name: &str) -> Result<Option<(File, u64)>, StoreError> {
        let opened = File::open(self.path.join(name)).and_then(|file| {
            let bytes = file.metadata()?.len();
            Ok((file, bytes))
        });
        match opened {
            Ok(opened) => Ok(Some(opened)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("open a file", error)),
        }
    }

    /// Removes a blob that no row names any more, whenever there is time: unlinking gigabytes takes a moment. What stays, by a
    /// crash or an error, is swept.
    pub(super) fn discard(self: &Arc<Self>, name: BlobName) {
        let blobs = Arc::clone(self);
        tokio::task::spawn_blocking(move || blobs.remove_all(&[name]));
    }

    pub(super) fn entries(&self) -> Result<ReadDir, StoreError> {
        fs::read_dir(&self.path).map_err(|error| failed("list the files", error))
    }

    /// The next names that nobody is writing to.
    pub(super) fn idle_names(
        &self,
        entries: &mut ReadDir,
        count_max: usize,
    ) -> Result<Vec<BlobName>, StoreError> {
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| failed("list the files", error))?;
            let file_name = entry.file_name();
            // What is not named as we name things is not ours.
            let Some(text) = file_name.to_str().filter(|text| is_ours(text)) else {
                continue;
            };
            let blob = text.strip_suffix(PARTIAL).unwrap_or(text);
            if !self.live.lock().contains(blob) {
                names.push(text.into());
            }
            if names.len() == count_max {
                break;
            }
        }
        Ok(names)
    }

    /// Removes files; says how many there were.
    pub(super) fn remove_all(&self, names: &[BlobName]) -> Result<u64, StoreError> {
        let mut removed = 0;
        for name in names {
            match fs::remove_file(self.path.join(&**name)) {
                Ok(()) => removed += 1,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    warn!(%error, %name, "cannot remove a file that is no longer used");
                    return Err(failed("remove a file", error));
                }
            }
        }
        Ok(removed)
    }
}

/// A blob that is being written. Unless it is kept, dropping the last reference to it removes it.
#[derive(Debug)]
pub(super) struct Staged {
    blobs: Arc<Blobs>,
    name: BlobName,
    file: OnceLock<File>,
    is_renamed: AtomicBool,
    is_kept: AtomicBool,
}

impl Staged {
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

    /// Appends. One thread at a time.
    pub(super) fn write(&self, pieces: &[Bytes]) -> Result<(), StoreError> {
        let mut slices: Vec<_> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
        self.file()
            .and_then(|file| write_all(file, &mut slices))
            .map_err(|error| not_stored("write a file", error))
    }

    /// Moves what was written towards the disk, so that the last flush finds little to do.
    pub(super) fn flush(&self) -> Result<(), StoreError> {
        self.file()
            .and_then(File::sync_data)
            .map_err(|error| not_stored("flush a file", error))
    }

    /// Makes it complete and durable under its own name.
    pub(super) fn complete(&self) -> Result<(), StoreError> {
        let complete = || {
            self.file()?.sync_all()?;
            fs::rename(self.partial_path(), self.blobs.path.join(&*self.name))?;
            self.is_renamed.store(true, Ordering::Release);
            File::open(&self.blobs.path)?.sync_all()
        };
        complete().map_err(|error| not_stored("make a file durable", error))
    }

    /// Leaves it where it is: a row names it, or may.
    pub(super) fn keep(&self) {
        self.is_kept.store(true, Ordering::Release);
    }

    /// Removes it now; nobody may be writing to it.
    pub(super) fn remove(&self) {
        let was_kept = self.is_kept.swap(true, Ordering::AcqRel);
        if !was_kept && self.file.get().is_some() {
            remove_unfinished(&self.path());
        }
    }

    /// Where it is at the moment.
    fn path(&self) -> PathBuf {
        if self.is_renamed.load(Ordering::Acquire) {
            self.blobs.path.join(&*self.name)
        } else {
            self.partial_path()
        }
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        self.blobs.live.lock().remove(&self.name);
        if *self.is_kept.get_mut() || self.file.get().is_none() {
            return;
        }
        let path = self.path();
        // Unlinking gigabytes takes a moment, and the threads that serve requests have none to spare.
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(move || remove_unfinished(&path))),
            Err(_) => remove_unfinished(&path),
        }
    }
}

fn remove_unfinished(path: &Path) {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            warn!(%error, "cannot remove a file that was not received whole; the next start does");
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

fn is_ours(file_name: &str) -> bool {
    is_name(file_name.strip_suffix(PARTIAL).unwrap_or(file_name))
}

/// Whether a text is the name of a blob, and so never a path to anywhere else.
pub(super) fn is_name(name: &str) -> bool {
    name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Runs work that waits for the disk on a thread that may wait.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| StoreError::cut_off("work on a file", error))?
}

/// An error of the disk while doing something. The message may be shown to a client, so it holds no path.
pub(super) fn failed(what: &str, error: io::Error) -> StoreError {
    let kind = durable_file::kind_of(&error);
    let message = match kind {
        StoreErrorKind::StorageFull => {
            "the disk is full; nothing of this file was stored".to_owned()
        }
        StoreErrorKind::Overloaded => format!(
            "could not {what}: the server may open no more files, or has no memory, at the moment"
        ),
        _ => format!("could not {what}"),
    };
    StoreError::new(kind, message).with_source(error)
}

/// An error of the disk while storing a file, of which nothing is stored then. It may be sent again.
fn not_stored(what: &str, error: io::Error) -> StoreError {
    match durable_file::kind_of(&error) {
        StoreErrorKind::Internal => StoreError::new(
            StoreErrorKind::Unavailable,
            format!("could not {what}: the disk failed; nothing of this file was stored"),
        )
        .with_source(error),
        _ => failed(what, error),
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
    fn a_blob_is_there_when_it_is_complete_and_kept() {
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
    fn a_blob_that_is_not_kept_is_removed_complete_or_not() {
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
    fn names_never_repeat_and_nothing_else_is_ours() {
        let names: HashSet<_> = (0..1000).map(|_| random::timed_name()).collect();
        assert_eq!(names.len(), 1000);
        assert!(names.iter().all(|name| is_ours(name)));
        for other in [
            "",
            "lost+found",
            ".part",
            "0123456789abcdef.part",
            "..",
            "x",
        ] {
            assert!(!is_ours(other), "{other}");
        }
    }
}

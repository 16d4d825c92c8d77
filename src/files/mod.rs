//! Device files: one file per device, replaced as a whole, streamed in and out.

mod condition;
pub mod folder;
pub mod http;
mod model;
#[cfg(feature = "cloud")]
pub mod s3;

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;

pub use condition::{Condition, TagList};
pub use model::{ContentType, DeviceId, DeviceIdError, Digest, FileInfo, FileName, NewFile, Page};

use crate::backend_url::BackendUrl;
use crate::error::StoreError;
use crate::storage::app_database::AppDatabase;
use crate::storage::data_directory::DataDirectory;

/// The bytes of a file, in order, in pieces of some hundred KiB at most.
pub type ContentStream = BoxStream<'static, Result<Bytes, StoreError>>;

/// What became of a file that was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Publication {
    /// It is the device's file from now on.
    Stored(FileInfo),
    /// The condition did not hold any more, and nothing was changed.
    Refused,
}

/// What became of a request to remove a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// It is gone.
    Removed,
    /// There was none.
    Missing,
    /// The condition did not hold, and nothing was changed.
    Refused,
}

/// A file as it was when it was opened.
pub struct OpenFile {
    /// What is known of it.
    pub info: FileInfo,
    /// Its bytes.
    pub content: Box<dyn Content>,
}

/// Where files live. A device has one file or none; sending another replaces it.
///
/// What every backend promises, and the conformance suite checks:
/// * A file is published at one moment: every read sees the whole old one or the whole new one, and one that begins after
///   [`Upload::finish`] returned sees the new one, on every replica. It is durable by then.
/// * A reader that has begun keeps reading the file that it began with, or fails; it never sees parts of two.
/// * An upload that is not finished, for whatever reason, changes nothing and leaves nothing behind; what a crash leaves
///   is never visible and goes with a [`FileStore::sweep`].
/// * An id is never a path: whatever characters it has, it names one file in the store and nothing outside it.
/// * Memory for a transfer does not depend on the size of the file.
#[async_trait]
pub trait FileStore: Send + Sync {
    /// Begins an upload. Nothing of it is visible before [`Upload::finish`].
    async fn begin(&self, device: &DeviceId) -> Result<Box<dyn Upload>, StoreError>;

    /// What is known of a device's file; `None` when it has none.
    async fn info(&self, device: &DeviceId) -> Result<Option<FileInfo>, StoreError>;

    /// Opens a device's file for reading; `None` when it has none.
    async fn open(&self, device: &DeviceId) -> Result<Option<OpenFile>, StoreError>;

    /// The devices that have a file, in order of their ids (as bytes of UTF-8), beginning after `after`, at most `limit`.
    async fn list(
        &self,
        after: Option<&DeviceId>,
        limit: usize,
    ) -> Result<Page<DeviceId>, StoreError>;

    /// Removes a device's file if the condition holds. It is durable when this returns.
    async fn remove(&self, device: &DeviceId, condition: &Condition)
    -> Result<Removal, StoreError>;

    /// Removes what uploads that a crash cut off have left. Safe beside requests and other replicas. Returns how many files
    /// were removed.
    async fn sweep(&self) -> Result<u64, StoreError>;

    /// What kind of store it is, in a word.
    fn backend(&self) -> &'static str;

    /// Whether an upload would be taken now. Cheap enough to be asked every second.
    async fn ready(&self) -> Result<(), StoreError>;

    /// What an operator should know of the backend although it works: each a sentence that says what to do.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }
}

/// A file on its way in. Dropping it is as good as [`Upload::abort`], only that nobody learns when it is done.
#[async_trait]
pub trait Upload: Send {
    /// Takes the next bytes, in order, some hundred KiB at a time. They may still be on their way when this returns; whether
    /// they arrived is known by [`Upload::finish`].
    async fn write(&mut self, pieces: Vec<Bytes>) -> Result<(), StoreError>;

    /// Publishes the file if the condition holds at that moment. After an error with
    /// [`crate::error::StoreErrorKind::Unavailable`] it may or may not be published, and sending it again is safe; after
    /// any other it is not. It goes on to its end even when nobody waits for it any more.
    async fn finish(
        self: Box<Self>,
        file: NewFile,
        condition: Condition,
    ) -> Result<Publication, StoreError>;

    /// Removes everything that was written.
    async fn abort(self: Box<Self>);
}

/// The bytes of a file that was opened.
#[async_trait]
pub trait Content: Send {
    /// Reads a part of it. `None` when it has been replaced or removed since, and its bytes are no longer to be had: open the
    /// file again.
    async fn read(self: Box<Self>, range: Range<u64>) -> Result<Option<ContentStream>, StoreError>;
}

/// Opens the backend that a URL's scheme picks. Blocks until it is ready. `directory` and `station` are called only for a
/// backend that lives in the data directory.
///
/// # Errors
/// When the scheme or the rest of the URL is none of ours ([`crate::error::StoreErrorKind::Unsupported`]), or the backend cannot be opened.
pub fn open(
    url: &BackendUrl,
    directory: impl FnOnce() -> Result<Arc<DataDirectory>, StoreError>,
    app_database: impl FnOnce() -> Result<Arc<AppDatabase>, StoreError>,
) -> Result<Arc<dyn FileStore>, StoreError> {
    match (url.scheme(), url.rest()) {
        ("file", "") => {
            let store = folder::FolderStore::open(directory()?, app_database()?)?;
            Ok(Arc::new(store))
        }
        ("file", _) => Err(url.path_not_taken("the store of files")),
        #[cfg(feature = "cloud")]
        ("s3", _) => Ok(Arc::new(s3::S3Store::open(url)?)),
        #[cfg(not(feature = "cloud"))]
        ("s3", _) => Err(url.feature_missing()),
        _ => Err(url.unknown_scheme("files", "file: and s3://bucket/prefix")),
    }
}

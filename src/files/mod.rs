//! Device files: one file for each device, replaced as a whole, streamed in and out.

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

/// The bytes of a file, in order, in pieces of at most a few hundred KiB.
pub type ContentStream = BoxStream<'static, Result<Bytes, StoreError>>;

/// The outcome of a publication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Publication {
    /// The file is the device's file from now on.
    Stored(FileInfo),
    /// The condition did not hold. Nothing was changed.
    Refused,
}

/// The outcome of a removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// The file was removed.
    Removed,
    /// The device had no file.
    Missing,
    /// The condition did not hold. Nothing was changed.
    Refused,
}

/// An open file.
pub struct OpenFile {
    /// The metadata.
    pub info: FileInfo,
    /// The bytes.
    pub content: Box<dyn Content>,
}

/// A store of device files. A device has one file or none. A new file replaces the old one.
///
/// Every backend keeps these promises, and the conformance suite checks the promises:
/// * Success: a file is durable when [`Upload::finish`] returns `Ok`. A read started afterwards sees the new file, on every server. The
///   same holds for a removal.
/// * Failure: an unfinished upload changes nothing and leaves nothing in the store, whatever the reason. After a crash the remains of an
///   upload are never visible, and [`FileStore::sweep`] removes the remains.
/// * Concurrent readers: a file is replaced at a single moment, so a read sees the complete old file or the complete new file. A running
///   read continues with the same file, or fails. A read never returns parts of two files.
/// * Concurrent writers: a condition holds at the moment of the publication. If several conditional publications name the same version of a
///   file, exactly one succeeds.
/// * An id is never a path: an id with any characters names one file in the store, and nothing outside the store.
/// * The memory of a transfer does not depend on the size of the file.
#[async_trait]
pub trait FileStore: Send + Sync {
    /// Begins an upload. The file is not visible before [`Upload::finish`].
    async fn begin(&self, device: &DeviceId) -> Result<Box<dyn Upload>, StoreError>;

    /// The metadata of a device's file; `None` when the device has no file.
    async fn info(&self, device: &DeviceId) -> Result<Option<FileInfo>, StoreError>;

    /// Opens a device's file for reading; `None` when the device has no file.
    async fn open(&self, device: &DeviceId) -> Result<Option<OpenFile>, StoreError>;

    /// At most `limit` devices with a file, in order of their ids (as bytes of UTF-8), beginning after `after`.
    async fn list(
        &self,
        after: Option<&DeviceId>,
        limit: usize,
    ) -> Result<Page<DeviceId>, StoreError>;

    /// Removes a device's file if the condition holds. The removal is durable when this returns `Ok`.
    async fn remove(&self, device: &DeviceId, condition: &Condition)
    -> Result<Removal, StoreError>;

    /// Removes the remains of uploads that a crash interrupted. Safe beside requests and other servers. Returns the number of removed
    /// files.
    async fn sweep(&self) -> Result<u64, StoreError>;

    /// The name of the backend, in one word.
    fn backend(&self) -> &'static str;

    /// Whether the store accepts uploads now. Cheap enough for a call every second.
    ///
    /// # Errors
    /// The reason why the store accepts no uploads.
    async fn ready(&self) -> Result<(), StoreError>;

    /// Warnings for the operator while the store works. Each warning is a sentence with advice.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }
}

/// An upload. Dropping an upload aborts it in the background; [`Upload::abort`] waits for the end.
#[async_trait]
pub trait Upload: Send {
    /// Writes the next bytes, in order, a few hundred KiB at a time. The bytes may not be written yet when this returns. A later call
    /// reports an error.
    async fn write(&mut self, pieces: Vec<Bytes>) -> Result<(), StoreError>;

    /// Publishes the file if the condition holds at the moment of the publication. The publication runs to the end even when the caller is
    /// gone.
    ///
    /// # Errors
    /// After [`StoreErrorKind::Unavailable`](crate::error::StoreErrorKind::Unavailable) nobody knows whether the file is published, and sending the file again is safe. After any
    /// other error the file is not published.
    async fn finish(
        self: Box<Self>,
        file: NewFile,
        condition: Condition,
    ) -> Result<Publication, StoreError>;

    /// Removes all written bytes, and waits a short time for the removal.
    async fn abort(self: Box<Self>);
}

/// The bytes of an open file.
#[async_trait]
pub trait Content: Send {
    /// Reads a range of the file. `None` when the file was replaced or removed since, and the bytes are gone. Then open the file again.
    async fn read(self: Box<Self>, range: Range<u64>) -> Result<Option<ContentStream>, StoreError>;
}

/// Opens the backend for the scheme of a URL, on the runtime of the caller. `directory` and `app_database` are called only for the backend
/// in the data directory.
///
/// # Errors
/// [`StoreErrorKind::Unsupported`](crate::error::StoreErrorKind::Unsupported) when this program has no backend for the URL; otherwise the error of the backend.
pub async fn open(
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
        ("s3", _) => Ok(Arc::new(s3::S3Store::open(url).await?)),
        #[cfg(not(feature = "cloud"))]
        ("s3", _) => Err(url.feature_missing()),
        _ => Err(url.unknown_scheme("files", "file: and s3://bucket/prefix")),
    }
}

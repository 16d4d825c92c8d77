//! Reads a blob from S3.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::StreamExt;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectStore as _};

use super::client::S3Client;
use super::errors::is_bucket_missing;
use super::timeouts::TimeBudget;
use crate::error::{StoreError, StoreErrorKind};
use crate::files::{Content, ContentStream};

/// The blob named by the record.
pub(super) struct S3Content {
    client: Arc<S3Client>,
    path: Path,
    size_bytes: u64,
    /// The remaining time after the look-up of the record.
    budget: TimeBudget,
}

impl S3Content {
    pub(super) fn new(
        client: Arc<S3Client>,
        path: Path,
        size_bytes: u64,
        budget: TimeBudget,
    ) -> Self {
        Self {
            client,
            path,
            size_bytes,
            budget,
        }
    }
}

#[async_trait]
impl Content for S3Content {
    async fn read(self: Box<Self>, range: Range<u64>) -> Result<Option<ContentStream>, StoreError> {
        if range.is_empty() {
            return Ok(Some(Box::pin(futures_util::stream::empty())));
        }
        let is_complete = range == (0..self.size_bytes);
        let options = GetOptions {
            range: (!is_complete).then_some(GetRange::Bounded(range)),
            ..GetOptions::default()
        };
        let Self {
            client,
            path,
            size_bytes,
            mut budget,
        } = *self;
        let request = async {
            match client.store.get_opts(&path, options).await {
                Ok(found) => Ok(Some(found)),
                Err(error @ object_store::Error::NotFound { .. }) if is_bucket_missing(&error) => {
                    Err(error)
                }
                Err(object_store::Error::NotFound { .. }) => Ok(None),
                Err(error) => Err(error),
            }
        };
        let found = client.request(&mut budget, "read a file", request).await?;
        let found_bytes = found.as_ref().map(|found| found.meta.size);
        if found_bytes.is_some_and(|bytes| bytes != size_bytes) {
            return Err(StoreError::new(
                StoreErrorKind::Damaged,
                "a file in the bucket does not have the length that was stored; send the file again, or remove it",
            ));
        }
        Ok(found.map(|found| -> ContentStream {
            let pieces = found.into_stream();
            Box::pin(pieces.then(move |piece| {
                let client = Arc::clone(&client);
                async move {
                    match piece {
                        Ok(piece) => Ok(piece),
                        Err(error) => Err(client.request_error("read a file", &error).await),
                    }
                }
            }))
        }))
    }
}

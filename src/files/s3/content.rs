//! Reading a blob from S3.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::StreamExt;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectStore as _};

use super::client::S3Client;
use super::errors::is_of_bucket;
use super::timeouts::Patience;
use crate::error::{StoreError, StoreErrorKind};
use crate::files::{Content, ContentStream};

/// A blob as a record named it.
pub(super) struct S3Content {
    client: Arc<S3Client>,
    path: Path,
    size_bytes: u64,
    /// What the look-up of the file has left.
    patience: Patience,
}

impl S3Content {
    pub(super) fn new(
        client: Arc<S3Client>,
        path: Path,
        size_bytes: u64,
        patience: Patience,
    ) -> Self {
        Self {
            client,
            path,
            size_bytes,
            patience,
        }
    }
}

#[async_trait]
impl Content for S3Content {
    async fn read(self: Box<Self>, range: Range<u64>) -> Result<Option<ContentStream>, StoreError> {
        if range.is_empty() {
            return Ok(Some(Box::pin(futures_util::stream::empty())));
        }
        let is_whole = range == (0..self.size_bytes);
        let options = GetOptions {
            range: (!is_whole).then_some(GetRange::Bounded(range)),
            ..GetOptions::default()
        };
        let Self {
            client,
            path,
            size_bytes,
            mut patience,
        } = *self;
        let request = async {
            match client.store.get_opts(&path, options).await {
                Ok(found) => Ok(Some(found)),
                Err(error @ object_store::Error::NotFound { .. }) if is_of_bucket(&error) => {
                    Err(error)
                }
                Err(object_store::Error::NotFound { .. }) => Ok(None),
                Err(error) => Err(error),
            }
        };
        let found = patience.ask(&client, "read a file", request).await?;
        let found_bytes = found.as_ref().map(|found| found.meta.size);
        if found_bytes.is_some_and(|bytes| bytes != size_bytes) {
            return Err(StoreError::new(
                StoreErrorKind::Damaged,
                "a file in the bucket is not as long as it was when it was stored; send it again, or remove it",
            ));
        }
        Ok(found.map(|found| -> ContentStream {
            let pieces = found.into_stream();
            Box::pin(pieces.then(move |piece| {
                let client = Arc::clone(&client);
                async move {
                    match piece {
                        Ok(piece) => Ok(piece),
                        Err(error) => Err(client.failed("read a file", &error).await),
                    }
                }
            }))
        }))
    }
}

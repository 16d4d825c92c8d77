//! Reading a blob from S3.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::TryStreamExt;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectStore as _};

use super::client::{S3Client, failed, in_time};
use crate::error::StoreError;
use crate::files::{Content, ContentStream};

/// A blob as a record named it.
pub(super) struct S3Content {
    client: Arc<S3Client>,
    path: Path,
    size_bytes: u64,
}

impl S3Content {
    pub(super) fn new(client: Arc<S3Client>, path: Path, size_bytes: u64) -> Self {
        Self {
            client,
            path,
            size_bytes,
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
        let found = in_time("read a file", async {
            match self.client.store.get_opts(&self.path, options).await {
                Ok(found) => Ok(Some(found)),
                Err(object_store::Error::NotFound { .. }) => Ok(None),
                Err(error) => Err(error),
            }
        })
        .await?;
        Ok(found.map(|found| -> ContentStream {
            let pieces = found.into_stream();
            Box::pin(pieces.map_err(|error| failed("read a file", error)))
        }))
    }
}

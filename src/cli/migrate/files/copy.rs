//! Copies a file.

use bytes::Bytes;
use futures_util::TryStreamExt;
use sha2::{Digest as _, Sha256};

use super::source::{Item, Source};
use super::tally::{Outcome, Tally};
use crate::cli::retry::retry_store;
use crate::error::{StoreError, StoreErrorKind};
use crate::files::s3::older::{OlderBucket, OlderObject};
use crate::files::{
    Condition, ContentStream, ContentType, DeviceId, Digest, FileInfo, FileStore, NewFile,
    Publication, TagList,
};

/// The number of bytes in each piece for the target.
const BATCH_BYTES: usize = 256 * 1024;

/// The content type of S3 for objects stored without a content type.
const NO_TYPE: &str = "binary/octet-stream";

pub(super) struct Copying<'a> {
    pub(super) source: &'a Source,
    pub(super) target: &'a dyn FileStore,
    pub(super) tally: &'a Tally,
}

/// A file to write. The digest may be unknown until the file is read.
struct Wanted {
    device: DeviceId,
    file: NewFile,
    is_digest_known: bool,
}

impl Copying<'_> {
    /// Copies a file, and counts the result.
    pub(super) async fn copy(&self, item: Item) {
        let name = match &item {
            Item::Device(device) => device.as_str().to_owned(),
            Item::Object(object) => object.key.clone(),
        };
        let copied = retry_store(
            || self.attempt(&item),
            |notice| self.tally.announce(&format!("{name:?}: {notice}")),
        )
        .await;
        let outcome = copied.unwrap_or_else(|error| Outcome::Failed(crate::error::chain(&error)));
        self.tally.note(&name, outcome);
    }

    async fn attempt(&self, item: &Item) -> Result<Outcome, StoreError> {
        match (item, self.source) {
            (Item::Device(device), Source::Store(store)) => {
                self.copy_device(&**store, device).await
            }
            (Item::Object(object), Source::Bucket(bucket, _)) => {
                self.copy_object(bucket, object).await
            }
            _ => Err(StoreError::new(
                StoreErrorKind::Internal,
                "a file is not from this source",
            )),
        }
    }

    async fn copy_device(
        &self,
        store: &dyn FileStore,
        device: &DeviceId,
    ) -> Result<Outcome, StoreError> {
        let Some(open) = store.open(device).await? else {
            return Ok(Outcome::Changed);
        };
        let FileInfo { device, file } = open.info;
        let there = self.target.info(&device).await?;
        if let Some(there) = there.as_ref().filter(|there| there.file == file) {
            return Ok(Outcome::Same(device, file, there.file.clone()));
        }
        if let Some(kept) = kept(there.as_ref(), &file) {
            return Ok(kept);
        }
        let size_bytes = file.size_bytes;
        let Some(content) = open.content.read(0..size_bytes).await? else {
            return Ok(Outcome::Changed);
        };
        let wanted = Wanted {
            device,
            file,
            is_digest_known: true,
        };
        self.send(content, wanted, there).await
    }

    async fn copy_object(
        &self,
        bucket: &OlderBucket,
        object: &OlderObject,
    ) -> Result<Outcome, StoreError> {
        let device = match DeviceId::new(&object.key) {
            Ok(device) if device.as_str() == object.key => device,
            Ok(_) => {
                return Ok(Outcome::Refused(
                    "begins or ends with white space, which no id does".to_owned(),
                ));
            }
            Err(error) => return Ok(Outcome::Refused(error.to_string())),
        };
        let open = match bucket.read(object).await {
            Ok(Some(open)) => open,
            Ok(None) => return Ok(Outcome::Changed),
            Err(error) if error.kind() == StoreErrorKind::Unsupported => {
                return Ok(Outcome::Refused(error.message().to_owned()));
            }
            Err(error) => return Err(error),
        };
        let content_type = open
            .content_type
            .filter(|kind| kind.as_str() != NO_TYPE)
            .unwrap_or_default();
        let mut file = new_file(object, content_type);
        let there = self.target.info(&device).await?;
        let mut content = open.content;
        // Files of the same length may be the same. The file is read to compare the digests, and sent only if they differ.
        if let Some(there) = &there
            && there.file.size_bytes == object.size_bytes
        {
            let Some(digest) = digest_of(content, object.size_bytes).await? else {
                return Ok(Outcome::Changed);
            };
            file.digest = digest;
            if there.file.digest == digest && there.file.content_type == file.content_type {
                return Ok(Outcome::Same(device, file, there.file.clone()));
            }
            if let Some(kept) = kept(Some(there), &file) {
                return Ok(kept);
            }
            let Some(again) = bucket.read(object).await? else {
                return Ok(Outcome::Changed);
            };
            content = again.content;
        } else if let Some(kept) = kept(there.as_ref(), &file) {
            return Ok(kept);
        }
        let wanted = Wanted {
            device,
            file,
            is_digest_known: false,
        };
        self.send(content, wanted, there).await
    }

    /// Sends a file if the target still has `there`, and checks the stored file.
    async fn send(
        &self,
        mut content: ContentStream,
        wanted: Wanted,
        there: Option<FileInfo>,
    ) -> Result<Outcome, StoreError> {
        let Wanted {
            device,
            mut file,
            is_digest_known,
        } = wanted;
        let mut upload = self.target.begin(&device).await?;
        let mut hasher = Sha256::new();
        let mut size_bytes = 0;
        let mut waiting: Vec<Bytes> = Vec::new();
        let mut waiting_bytes = 0;
        loop {
            let piece = match content.try_next().await {
                Ok(piece) => piece,
                Err(error) => {
                    upload.abort().await;
                    return Err(error);
                }
            };
            let is_end = piece.is_none();
            if let Some(piece) = piece {
                hasher.update(&piece);
                size_bytes += piece.len() as u64;
                waiting_bytes += piece.len();
                waiting.push(piece);
            }
            if waiting_bytes >= BATCH_BYTES || (is_end && waiting_bytes > 0) {
                self.tally.progress(waiting_bytes);
                waiting_bytes = 0;
                let batch = std::mem::take(&mut waiting);
                if let Err(error) = upload.write(batch).await {
                    upload.abort().await;
                    return Err(error);
                }
            }
            if is_end {
                break;
            }
        }
        let digest = Digest(hasher.finalize().into());
        if size_bytes != file.size_bytes || (is_digest_known && digest != file.digest) {
            upload.abort().await;
            return Ok(if is_digest_known {
                Outcome::Failed("its bytes are not those of its digest: it is damaged".to_owned())
            } else {
                Outcome::Changed
            });
        }
        file.digest = digest;
        let condition = match &there {
            Some(there) => Condition {
                if_match: Some(TagList::These(vec![there.tag()])),
                if_none_match: None,
            },
            None => Condition {
                if_match: None,
                if_none_match: Some(TagList::Any),
            },
        };
        match upload.finish(file.clone(), condition).await? {
            Publication::Refused => Ok(Outcome::Kept),
            Publication::Stored(_) => {
                let stored = self.target.info(&device).await?;
                Ok(match stored {
                    Some(stored) => Outcome::Copied(device, file, stored.file),
                    None => Outcome::Changed,
                })
            }
        }
    }
}

fn new_file(object: &OlderObject, content_type: ContentType) -> NewFile {
    NewFile {
        size_bytes: object.size_bytes,
        content_type,
        name: None,
        digest: Digest([0; 32]),
        time: object.time,
    }
}

/// Keeps a newer file of the target.
fn kept(there: Option<&FileInfo>, file: &NewFile) -> Option<Outcome> {
    let there = there?;
    (there.file.time > file.time).then_some(Outcome::Kept)
}

/// The digest of a content; `None` if the length differs from the expected length.
async fn digest_of(
    mut content: ContentStream,
    size_bytes: u64,
) -> Result<Option<Digest>, StoreError> {
    let mut hasher = Sha256::new();
    let mut received = 0;
    while let Some(piece) = content.try_next().await? {
        received += piece.len() as u64;
        hasher.update(&piece);
    }
    Ok((received == size_bytes).then(|| Digest(hasher.finalize().into())))
}

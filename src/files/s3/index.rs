//! The records: which blob is a device's file, and what is known of it.

use std::sync::Arc;

use bytes::Bytes;
use object_store::{ObjectStoreExt, PutMode, PutOptions, UpdateVersion};
use serde::{Deserialize, Serialize};

use super::client::S3Client;
use super::errors::is_of_bucket;
use super::key;
use super::timeouts::Patience;
use crate::error::{StoreError, StoreErrorKind};
use crate::files::{
    Condition, ContentType, DeviceId, Digest, FileInfo, FileName, NewFile, Publication,
};

/// How often a publication is tried when others publish for the same device at the same time.
const ATTEMPTS_MAX: usize = 20;

/// No record is larger: ids are not in it, and the longest type and name are.
pub(super) const RECORD_BYTES_MAX: u64 = 8192;

/// What a record holds, as JSON.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    blob: String,
    size: u64,
    #[serde(rename = "type")]
    content_type: String,
    name: Option<String>,
    sha256: String,
    time: String,
}

/// A device's record.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) info: FileInfo,
    pub(super) blob: String,
    /// Which record it is, so that it is replaced only while it is this one.
    version: UpdateVersion,
}

/// The record of a device.
pub(super) async fn find(
    client: &Arc<S3Client>,
    patience: &mut Patience,
    device: &DeviceId,
) -> Result<Option<Entry>, StoreError> {
    let path = key::index(device);
    let request = async {
        match client.store.get(&path).await {
            // A bucket that is missing shows the same way, and is no device without a file.
            Err(error @ object_store::Error::NotFound { .. }) if !is_of_bucket(&error) => Ok(None),
            Err(error) => Err(error),
            Ok(found) => {
                let version = UpdateVersion {
                    e_tag: found.meta.e_tag.clone(),
                    version: None,
                };
                Ok(Some((found.bytes().await?, version)))
            }
        }
    };
    let found = patience.ask(client, "look up a file", request).await?;
    let Some((json, version)) = found else {
        return Ok(None);
    };
    let (info, blob) = parse(device, &json).ok_or_else(|| {
        StoreError::new(
            StoreErrorKind::Damaged,
            "the record of a file is not what this program writes",
        )
    })?;
    Ok(Some(Entry {
        info,
        blob,
        version,
    }))
}

/// Makes a blob a device's file if the condition holds. Returns the blob that was its file before.
pub(super) async fn publish(
    client: &Arc<S3Client>,
    patience: &mut Patience,
    device: &DeviceId,
    blob: &str,
    file: NewFile,
    condition: &Condition,
) -> Result<(Publication, Option<String>), StoreError> {
    let path = key::index(device);
    let json = Bytes::from(json(blob, &file)?);
    let info = FileInfo {
        device: device.clone(),
        file,
    };
    let mut replaced = None;
    for _ in 0..ATTEMPTS_MAX {
        let current = find(client, patience, device).await?;
        // A request whose answer was lost is sent again, and then finds what it did itself.
        if current.as_ref().is_some_and(|entry| entry.blob == blob) {
            return Ok((Publication::Stored(info), replaced));
        }
        let tag = current.as_ref().map(|entry| entry.info.tag());
        if !condition.holds(tag.as_deref()) {
            return Ok((Publication::Refused, None));
        }
        let mode = match &current {
            Some(entry) => PutMode::Update(entry.version.clone()),
            None => PutMode::Create,
        };
        replaced = current.map(|entry| entry.blob);
        let options = PutOptions {
            mode,
            ..PutOptions::default()
        };
        let request = async {
            use object_store::{Error, ObjectStore as _};
            let put = client.store.put_opts(&path, json.clone().into(), options);
            match put.await {
                Ok(_) => Ok(true),
                // Somebody else was faster.
                Err(Error::Precondition { .. } | Error::AlreadyExists { .. }) => Ok(false),
                Err(error) => Err(error),
            }
        };
        let is_published = patience.ask(client, "publish a file", request).await?;
        if is_published {
            return Ok((Publication::Stored(info), replaced));
        }
    }
    Err(StoreError::new(
        StoreErrorKind::Overloaded,
        "too many send files of this device at once; try again",
    ))
}

/// Whether these bytes are a record.
pub(super) fn is_record(json: &[u8]) -> bool {
    parsed(json).is_some()
}

fn json(blob: &str, file: &NewFile) -> Result<Vec<u8>, StoreError> {
    let record = Record {
        blob: blob.to_owned(),
        size: file.size_bytes,
        content_type: file.content_type.as_str().to_owned(),
        name: file.name.as_ref().map(|name| name.as_str().to_owned()),
        sha256: file.digest.to_string(),
        time: file.time.to_string(),
    };
    serde_json::to_vec(&record).map_err(|error| {
        StoreError::new(StoreErrorKind::Internal, "could not write a record").with_source(error)
    })
}

fn parse(device: &DeviceId, json: &[u8]) -> Option<(FileInfo, String)> {
    let (file, blob) = parsed(json)?;
    let device = device.clone();
    Some((FileInfo { device, file }, blob))
}

fn parsed(json: &[u8]) -> Option<(NewFile, String)> {
    let record: Record = serde_json::from_slice(json).ok()?;
    let file = NewFile {
        size_bytes: record.size,
        content_type: ContentType::new(&record.content_type)?,
        name: match record.name {
            None => None,
            Some(name) => Some(FileName::new(&name)?),
        },
        digest: Digest::from_hex(&record.sha256)?,
        time: record.time.parse().ok()?,
    };
    Some((file, record.blob))
}

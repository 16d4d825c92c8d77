//! The records: which object holds a device's file, with the metadata of the file.

use bytes::Bytes;
use object_store::{ObjectStoreExt, PutMode, PutOptions, UpdateVersion};
use serde::{Deserialize, Serialize};

use super::client::S3Client;
use super::errors::is_bucket_missing;
use super::key;
use super::timeouts::TimeBudget;
use crate::error::{StoreError, StoreErrorKind};
use crate::files::{
    Condition, ContentType, DeviceId, Digest, FileInfo, FileName, NewFile, Publication,
};

/// How often a publication is tried when other requests publish files of the same device at the same time.
const ATTEMPTS_MAX: usize = 20;

/// The largest size of a record. A record has no id, and the longest content type and file name fit.
pub(super) const RECORD_BYTES_MAX: u64 = 8192;

/// The JSON of a record.
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
    /// The version of the record. A replacement requires this version.
    version: UpdateVersion,
}

/// Reads the record of a device; `None` when the device has no file.
///
/// # Errors
/// [`StoreErrorKind::Damaged`] when the record is not valid; those of [`S3Client::request`].
pub(super) async fn find(
    client: &S3Client,
    budget: &mut TimeBudget,
    device: &DeviceId,
) -> Result<Option<Entry>, StoreError> {
    let path = key::index(device);
    let request = async {
        match client.store.get(&path).await {
            // A missing bucket is also "not found", and is an error.
            Err(error @ object_store::Error::NotFound { .. }) if !is_bucket_missing(&error) => {
                Ok(None)
            }
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
    let found = client.request(budget, "look up a file", request).await?;
    let Some((json, version)) = found else {
        return Ok(None);
    };
    let (file, blob) = parse(&json).ok_or_else(|| {
        StoreError::new(
            StoreErrorKind::Damaged,
            "the record of a file is not what this program writes",
        )
    })?;
    Ok(Some(Entry {
        info: FileInfo {
            device: device.clone(),
            file,
        },
        blob,
        version,
    }))
}

/// Makes a blob a device's file if the condition holds. Returns the blob of the replaced file.
///
/// # Errors
/// [`StoreErrorKind::Overloaded`] when other requests publish files of the device all the time; those of
/// [`S3Client::request`], after which nobody knows whether the file is published.
pub(super) async fn publish(
    client: &S3Client,
    budget: &mut TimeBudget,
    device: &DeviceId,
    blob: &str,
    file: NewFile,
    condition: &Condition,
) -> Result<(Publication, Option<String>), StoreError> {
    let path = key::index(device);
    let json = Bytes::from(to_json(blob, &file)?);
    let info = FileInfo {
        device: device.clone(),
        file,
    };
    let mut replaced = None;
    for _ in 0..ATTEMPTS_MAX {
        let current = find(client, budget, device).await?;
        // A request is repeated when its answer was lost. The repeated request is refused, and the record is already written.
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
                // Another request has changed the record since `find`.
                Err(Error::Precondition { .. } | Error::AlreadyExists { .. }) => Ok(false),
                Err(error) => Err(error),
            }
        };
        let is_published = client.request(budget, "publish a file", request).await?;
        if is_published {
            return Ok((Publication::Stored(info), replaced));
        }
    }
    Err(StoreError::new(
        StoreErrorKind::Overloaded,
        "too many requests send files of this device at once; try again",
    ))
}

/// Whether these bytes are a record.
pub(super) fn is_record(json: &[u8]) -> bool {
    parse(json).is_some()
}

fn to_json(blob: &str, file: &NewFile) -> Result<Vec<u8>, StoreError> {
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

fn parse(json: &[u8]) -> Option<(NewFile, String)> {
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

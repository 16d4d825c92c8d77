//! Removing the blobs that a crash left: those that no record names, after a day.
//!
//! Other replicas may be publishing meanwhile, so what is young is left alone. Blobs and records are listed side by side, in
//! the same order, and only a device that has more blobs than one, or no record, is looked at more closely.

use std::time::{Duration, SystemTime};

use futures_util::{StreamExt, TryStreamExt};
use object_store::{ObjectMeta, ObjectStore as _};

use super::client::{S3Client, failed};
use super::{index, key};
use crate::error::StoreError;
use crate::files::DeviceId;

/// Removes what is old and unnamed. Returns how many blobs there were.
pub(super) async fn sweep(client: &S3Client) -> Result<u64, StoreError> {
    let failed = |error| failed("list the files", error);
    let mut blobs = client
        .store
        .list(Some(&key::content_prefix()))
        .map_err(failed)
        .try_filter_map(async |object| {
            let found = key::device_and_blob(&object.location);
            Ok(found.map(|(device, blob)| Blob {
                device,
                name: blob.to_owned(),
                is_old: is_old(&object),
            }))
        })
        .boxed();
    let mut records = client
        .store
        .list(Some(&key::index_prefix()))
        .map_err(failed)
        .try_filter_map(async |object| Ok(key::device(&object.location)))
        .boxed();
    let mut record = next(&mut records).await?;
    let mut blob = next(&mut blobs).await?;
    let mut removed = 0;
    while let Some(first) = blob.take() {
        let device = first.device.clone();
        let mut group = vec![first];
        loop {
            match next(&mut blobs).await? {
                Some(same) if same.device == device && group.len() < GROUP_MAX => group.push(same),
                other => {
                    blob = other;
                    break;
                }
            }
        }
        while record.as_ref().is_some_and(|record| *record < device) {
            record = next(&mut records).await?;
        }
        let is_plain = group.len() == 1 && record.as_ref() == Some(&device);
        if !is_plain && group.iter().any(|blob| blob.is_old) {
            removed += remove_unnamed(client, &device, &group).await?;
        }
    }
    Ok(removed)
}

/// No upload takes so long between storing a blob and naming it.
const OLD: Duration = Duration::from_secs(24 * 3600);

fn is_old(object: &ObjectMeta) -> bool {
    SystemTime::now()
        .duration_since(object.last_modified.into())
        .is_ok_and(|age| age > OLD)
}

/// A device has one blob, and another one for a moment. The others of a longer group are looked at next.
const GROUP_MAX: usize = 1000;

struct Blob {
    device: DeviceId,
    name: String,
    is_old: bool,
}

async fn remove_unnamed(
    client: &S3Client,
    device: &DeviceId,
    group: &[Blob],
) -> Result<u64, StoreError> {
    let current = index::find(client, device).await?;
    let mut removed = 0;
    for blob in group {
        let is_named = current
            .as_ref()
            .is_some_and(|entry| entry.blob == blob.name);
        if blob.is_old && !is_named {
            client.delete(&key::content(device, &blob.name)).await?;
            removed += 1;
        }
    }
    Ok(removed)
}

async fn next<T>(
    items: &mut futures_util::stream::BoxStream<'_, Result<T, StoreError>>,
) -> Result<Option<T>, StoreError> {
    items.try_next().await
}

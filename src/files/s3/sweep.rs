//! Removing the blobs that a crash left: those that no record names, after a day.
//!
//! Other replicas may be publishing meanwhile, so what is young is left alone: young by the clock of S3 alone, which dates what
//! is there, and an object that is written for the purpose. The clocks of the servers have no part in it. Blobs and records
//! are listed side by side, in the same order, and only a device that has more blobs than one, or no record, is looked at more
//! closely.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::{StreamExt, TryStreamExt};
use object_store::{ObjectMeta, ObjectStore as _, ObjectStoreExt, PutPayload};

use super::client::S3Client;
use super::patience::Patience;
use super::{failure, index, key};
use crate::error::StoreError;
use crate::files::DeviceId;

/// Removes what is old and unnamed. Returns how many blobs there were.
pub(super) async fn sweep(client: &Arc<S3Client>) -> Result<u64, StoreError> {
    let failed = |error| failure::meaning("list the files", &error).error;
    let now = now(client).await?;
    remove_old_probes(client, now).await?;
    let mut blobs = client
        .store
        .list(Some(&key::content_prefix()))
        .map_err(failed)
        .try_filter_map(async |object| {
            let found = key::device_and_blob(&object.location);
            Ok(found.map(|(device, blob)| Blob {
                device,
                name: blob.to_owned(),
                is_old: is_old(&object, now),
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

/// No upload takes so long from its beginning until a record names it.
const OLD: Duration = Duration::from_secs(24 * 3600);

fn is_old(object: &ObjectMeta, now: SystemTime) -> bool {
    now.duration_since(object.last_modified.into())
        .is_ok_and(|age| age > OLD)
}

/// What time it is by the clock of S3: that of an object that has just been written.
async fn now(client: &Arc<S3Client>) -> Result<SystemTime, StoreError> {
    let path = key::probe(&crate::random::timed_name());
    let mut patience = Patience::new();
    let written = async {
        client.store.put(&path, PutPayload::default()).await?;
        client.store.head(&path).await
    };
    let written = patience.ask(client, "ask for the time", written).await;
    client.discard(path);
    Ok(written?.last_modified.into())
}

/// Removes what a killed server has tried the bucket with.
async fn remove_old_probes(client: &Arc<S3Client>, now: SystemTime) -> Result<(), StoreError> {
    let probes = client.store.list(Some(&key::probe_prefix()));
    let mut probes = probes.map_err(|error| failure::meaning("list the files", &error).error);
    while let Some(probe) = probes.try_next().await? {
        if is_old(&probe, now) {
            client.delete(&mut Patience::new(), &probe.location).await?;
        }
    }
    Ok(())
}

/// A device has one blob, and another one for a moment. The others of a longer group are looked at next.
const GROUP_MAX: usize = 1000;

struct Blob {
    device: DeviceId,
    name: String,
    is_old: bool,
}

async fn remove_unnamed(
    client: &Arc<S3Client>,
    device: &DeviceId,
    group: &[Blob],
) -> Result<u64, StoreError> {
    let current = index::find(client, &mut Patience::new(), device).await?;
    let mut removed = 0;
    for blob in group {
        let is_named = current
            .as_ref()
            .is_some_and(|entry| entry.blob == blob.name);
        if blob.is_old && !is_named {
            let path = key::content(device, &blob.name);
            client.delete(&mut Patience::new(), &path).await?;
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

//! Removes the blobs of crashed uploads: blobs without a record, after a day.
//!
//! Other servers may be publishing files meanwhile, so young blobs stay. Only the clock of S3 measures the age: S3 dates each object, and
//! an object written for this purpose gives the present time. The clocks of the servers do not matter.
//!
//! Blobs and records are listed side by side, in the same order. Only a device with several blobs, or with no record, needs a
//! closer look.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use object_store::{ObjectMeta, ObjectStore as _, ObjectStoreExt, PutPayload};

use super::client::{Leftover, S3Client};
use super::errors::store_error;
use super::timeouts::TimeBudget;
use super::{index, key};
use crate::error::StoreError;
use crate::files::DeviceId;

/// The age of a leftover. An upload takes less time until a record names the blob.
const AGE_MIN: Duration = Duration::from_secs(24 * 3600);

/// The number of blobs of a device in each check. A device has a single blob, and sometimes two. Further blobs are in the next group.
const GROUP_MAX: usize = 1000;

const LIST: &str = "list the files";

struct Blob {
    device: DeviceId,
    name: String,
    is_old: bool,
}

/// Removes the old blobs without a record. Returns the number of removed blobs.
///
/// # Errors
/// Those of requests to S3. Blobs removed before the error stay removed.
pub(super) async fn sweep(client: &Arc<S3Client>) -> Result<u64, StoreError> {
    let list_error = |error| store_error(LIST, &error);
    let now = now(client).await?;
    remove_old_probes(client, now).await?;
    let mut blobs = client
        .store
        .list(Some(&key::content_prefix()))
        .map_err(list_error)
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
        .map_err(list_error)
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

fn is_old(object: &ObjectMeta, now: SystemTime) -> bool {
    now.duration_since(object.last_modified.into())
        .is_ok_and(|age| age > AGE_MIN)
}

/// The present time by the clock of S3: the date of a newly written object.
async fn now(client: &Arc<S3Client>) -> Result<SystemTime, StoreError> {
    let path = key::probe(&crate::random::timed_name());
    let mut budget = TimeBudget::new();
    let write = async {
        client.store.put(&path, PutPayload::default()).await?;
        client.store.head(&path).await
    };
    let written = client.request(&mut budget, "ask for the time", write).await;
    client.clean_up(Leftover::Object(path));
    Ok(written?.last_modified.into())
}

/// Removes the probe objects of killed servers.
async fn remove_old_probes(client: &S3Client, now: SystemTime) -> Result<(), StoreError> {
    let probes = client.store.list(Some(&key::probe_prefix()));
    let mut probes = probes.map_err(|error| store_error(LIST, &error));
    while let Some(probe) = probes.try_next().await? {
        if is_old(&probe, now) {
            client
                .delete(&mut TimeBudget::new(), &probe.location)
                .await?;
        }
    }
    Ok(())
}

async fn remove_unnamed(
    client: &S3Client,
    device: &DeviceId,
    group: &[Blob],
) -> Result<u64, StoreError> {
    let current = index::find(client, &mut TimeBudget::new(), device).await?;
    let mut removed = 0;
    for blob in group {
        let is_named = current
            .as_ref()
            .is_some_and(|entry| entry.blob == blob.name);
        if blob.is_old && !is_named {
            let path = key::content(device, &blob.name);
            client.delete(&mut TimeBudget::new(), &path).await?;
            removed += 1;
        }
    }
    Ok(removed)
}

async fn next<T>(
    items: &mut BoxStream<'_, Result<T, StoreError>>,
) -> Result<Option<T>, StoreError> {
    items.try_next().await
}

//! The promises of every backend of device files.

mod concurrency;

use std::time::{Duration, Instant};

use bytes::Bytes;
use fieldstation::error::StoreErrorKind;
use fieldstation::files::{
    Condition, ContentType, DeviceId, Digest, FileInfo, FileName, FileStore, NewFile, Publication,
    Removal, TagList,
};
use fieldstation::timestamp::Timestamp;
use futures_util::TryStreamExt;
use sha2::{Digest as _, Sha256};

use crate::support::{FileBackend, FolderBackend, random_bytes};
#[cfg(feature = "cloud")]
use crate::support::{MinistackBackend, S3Backend};

use self::concurrency::{
    a_condition_is_checked_at_the_moment_of_publication, a_reader_continues_with_the_file_it_began,
    a_reader_never_sees_parts_of_two_files, of_concurrent_conditional_uploads_one_creates_the_file,
};

/// Makes a test of each promise and each backend, such as `s3::an_empty_file_can_be_stored`.
macro_rules! suite {
    ($($behaviour:ident),* $(,)?) => {
        suite!(@ folder, FolderBackend, $($behaviour),*);
        #[cfg(feature = "cloud")]
        suite!(@ s3, S3Backend, $($behaviour),*);
        #[cfg(feature = "cloud")]
        suite!(@ ministack, MinistackBackend, $($behaviour),*);
    };
    (@ $name:ident, $backend:ident, $($behaviour:ident),*) => {
        mod $name {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $behaviour() {
                    let backend = super::$backend::start().await;
                    super::$behaviour(&backend).await;
                }
            )*
        }
    };
}

suite![
    a_file_is_read_as_it_was_sent,
    an_empty_file_can_be_stored,
    any_range_of_a_file_can_be_read,
    a_second_file_replaces_the_first,
    an_unknown_device_has_no_file,
    any_id_names_its_own_file_and_is_listed_unchanged,
    devices_are_listed_in_pages_and_in_order,
    an_unfinished_upload_leaves_nothing,
    a_condition_is_checked_at_the_moment_of_publication,
    a_removed_file_cannot_be_read_or_listed,
    a_reader_continues_with_the_file_it_began,
    a_reader_never_sees_parts_of_two_files,
    of_concurrent_conditional_uploads_one_creates_the_file,
    a_sweep_removes_leftovers_and_no_file,
];

fn id(text: &str) -> DeviceId {
    DeviceId::new(text).unwrap()
}

fn metadata_of(bytes: &[u8]) -> NewFile {
    NewFile {
        size_bytes: bytes.len() as u64,
        content_type: ContentType::new("text/plain; charset=utf-8").unwrap(),
        name: FileName::new("日本 \"a\".txt"),
        digest: Digest(Sha256::digest(bytes).into()),
        time: Timestamp::now(),
    }
}

async fn try_send(
    store: &dyn FileStore,
    device: &DeviceId,
    bytes: &[u8],
    condition: Condition,
) -> Publication {
    let mut upload = store.begin(device).await.unwrap();
    for piece in bytes.chunks(100_000) {
        let (a, b) = piece.split_at(piece.len() / 3);
        let pieces = [a, b].map(Bytes::copy_from_slice);
        upload.write(pieces.to_vec()).await.unwrap();
    }
    upload.finish(metadata_of(bytes), condition).await.unwrap()
}

async fn send(store: &dyn FileStore, device: &DeviceId, bytes: &[u8]) -> FileInfo {
    match try_send(store, device, bytes, Condition::default()).await {
        Publication::Stored(info) => info,
        Publication::Refused => panic!("refused without a condition"),
    }
}

async fn read(store: &dyn FileStore, device: &DeviceId) -> Option<Vec<u8>> {
    let file = store.open(device).await.unwrap()?;
    let size = file.info.file.size_bytes;
    let stream = file.content.read(0..size).await.unwrap()?;
    let pieces: Vec<Bytes> = stream.try_collect().await.unwrap();
    let bytes = pieces.concat();
    assert_eq!(metadata_of(&bytes).digest, file.info.file.digest);
    Some(bytes)
}

async fn list_all(store: &dyn FileStore) -> Vec<String> {
    let page = store.list(None, 1000).await.unwrap();
    assert!(!page.more);
    page.items
        .iter()
        .map(|device| device.as_str().to_owned())
        .collect()
}

/// Waits until the backend holds exactly this number of blobs. A replaced blob is removed in the background.
async fn wait_for_blob_count(backend: &impl FileBackend, count: usize) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let blobs = backend.blobs();
        if blobs.len() == count {
            return;
        }
        assert!(Instant::now() < deadline, "{blobs:?} are not {count} blobs");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn a_file_is_read_as_it_was_sent(backend: &impl FileBackend) {
    let store = &*backend.store();
    store.ready().await.unwrap();
    const MIB: usize = 1 << 20;
    for length in [
        1,
        2,
        100_001,
        5 * MIB - 1,
        5 * MIB,
        5 * MIB + 1,
        11 * MIB + 7,
    ] {
        let (device, bytes) = (id(&format!("d{length}")), random_bytes(length));
        let sent = send(store, &device, &bytes).await;
        assert!(read(store, &device).await.unwrap() == bytes, "{length}");
        let info = store.info(&device).await.unwrap().unwrap();
        assert_eq!(info, sent);
        assert_eq!(info.device, device);
        assert_eq!(info.file.name.unwrap().as_str(), "日本 \"a\".txt");
        assert_eq!(info.file.content_type.as_str(), "text/plain; charset=utf-8");
    }
    wait_for_blob_count(backend, 7).await;
}

async fn an_empty_file_can_be_stored(backend: &impl FileBackend) {
    let store = &*backend.store();
    send(store, &id("a"), b"").await;
    assert_eq!(read(store, &id("a")).await, Some(Vec::new()));
    assert_eq!(list_all(store).await, ["a"]);
}

async fn any_range_of_a_file_can_be_read(backend: &impl FileBackend) {
    let store = &*backend.store();
    let bytes = random_bytes(700_000);
    send(store, &id("a"), &bytes).await;
    for range in [
        0..1,
        0..700_000,
        5..5,
        299_999..300_002,
        1..699_999,
        699_999..700_000,
    ] {
        let file = store.open(&id("a")).await.unwrap().unwrap();
        let part = range.start as u64..range.end as u64;
        let stream = file.content.read(part).await.unwrap().unwrap();
        let pieces: Vec<Bytes> = stream.try_collect().await.unwrap();
        assert!(pieces.concat() == bytes[range.clone()], "{range:?}");
    }
}

async fn a_second_file_replaces_the_first(backend: &impl FileBackend) {
    let store = &*backend.store();
    for length in [10, 6_000_000, 0, 7] {
        send(store, &id("a"), &random_bytes(length)).await;
        assert!(read(store, &id("a")).await.unwrap() == random_bytes(length));
        wait_for_blob_count(backend, 1).await;
    }
    assert_eq!(list_all(store).await, ["a"]);
}

async fn an_unknown_device_has_no_file(backend: &impl FileBackend) {
    let store = &*backend.store();
    assert!(store.info(&id("a")).await.unwrap().is_none());
    assert!(store.open(&id("a")).await.unwrap().is_none());
    assert!(list_all(store).await.is_empty());
    let removal = store.remove(&id("a"), &Condition::default()).await.unwrap();
    assert_eq!(removal, Removal::Missing);
}

async fn any_id_names_its_own_file_and_is_listed_unchanged(backend: &impl FileBackend) {
    let store = &*backend.store();
    let emoji = "💡".repeat(128);
    let mut ids = vec![
        "..",
        "../../etc/passwd",
        "/etc/passwd",
        "%2e%2e",
        "%2E%2E",
        ".",
        "a/b",
        "a\\b",
        "a",
        "A",
        "é",
        "e\u{301}",
        "CON",
        "nul.txt",
        "index",
        "content",
        "~",
        "a b",
        "a+b",
        "<&>\"'",
        "日本",
        "\u{202e}x",
        "-",
        "_",
        "=",
        "!",
        &emoji,
        "a.part",
        "*",
        "?x=1#y",
    ];
    for (number, text) in ids.iter().enumerate() {
        send(store, &id(text), &random_bytes(number + 1)).await;
    }
    ids.sort_unstable();
    assert_eq!(list_all(store).await, ids);
    wait_for_blob_count(backend, ids.len()).await;
    assert!(backend.outside().is_empty(), "{:?}", backend.outside());
    for (number, text) in ids.iter().enumerate() {
        let length = read(store, &id(text)).await.unwrap().len();
        let removal = store
            .remove(&id(text), &Condition::default())
            .await
            .unwrap();
        assert_eq!(removal, Removal::Removed, "{text}: {length}");
        assert_eq!(list_all(store).await, ids[number + 1..]);
    }
}

async fn devices_are_listed_in_pages_and_in_order(backend: &impl FileBackend) {
    let store = &*backend.store();
    for number in [3, 1, 4, 0, 2] {
        send(store, &id(&format!("d-{number}")), b"x").await;
    }
    let mut after = None;
    let mut seen = Vec::new();
    loop {
        let page = store.list(after.as_ref(), 2).await.unwrap();
        assert!(page.items.len() <= 2);
        seen.extend(page.items.iter().map(ToString::to_string));
        after = page.items.last().cloned();
        if !page.more {
            break;
        }
        assert_eq!(page.items.len(), 2);
    }
    assert_eq!(seen, ["d-0", "d-1", "d-2", "d-3", "d-4"]);
    // The file of the cursor may have been removed.
    let page = store.list(Some(&id("d-1x")), 9).await.unwrap();
    assert_eq!(page.items.len(), 3);
    let page = store.list(Some(&id("d-4")), 9).await.unwrap();
    assert!(page.items.is_empty() && !page.more);
}

async fn an_unfinished_upload_leaves_nothing(backend: &impl FileBackend) {
    let store = &*backend.store();
    send(store, &id("a"), b"before").await;
    for length in [0, 10, 300_000, 12_000_000] {
        for aborts in [true, false] {
            let mut upload = store.begin(&id("a")).await.unwrap();
            upload
                .write(vec![random_bytes(length).into()])
                .await
                .unwrap();
            if aborts {
                upload.abort().await;
            } else {
                drop(upload);
            }
            assert_eq!(read(store, &id("a")).await.unwrap(), b"before");
        }
    }
    wait_for_blob_count(backend, 1).await;
}

async fn a_removed_file_cannot_be_read_or_listed(backend: &impl FileBackend) {
    let store = &*backend.store();
    let info = send(store, &id("a"), b"1").await;
    let condition = |tag: &str| Condition {
        if_match: Some(TagList::These(vec![tag.to_owned()])),
        if_none_match: None,
    };
    let removal = store.remove(&id("a"), &condition("x")).await.unwrap();
    assert_eq!(removal, Removal::Refused);
    assert_eq!(read(store, &id("a")).await.unwrap(), b"1");
    let removal = store
        .remove(&id("a"), &condition(&info.tag()))
        .await
        .unwrap();
    assert_eq!(removal, Removal::Removed);
    assert!(store.info(&id("a")).await.unwrap().is_none());
    assert!(list_all(store).await.is_empty());
    wait_for_blob_count(backend, 0).await;
    let removal = store.remove(&id("a"), &condition("x")).await.unwrap();
    assert_eq!(removal, Removal::Refused);
}

async fn a_sweep_removes_leftovers_and_no_file(backend: &impl FileBackend) {
    let store = &*backend.store();
    for number in 0..5 {
        send(store, &id(&format!("d/{number}")), &[number]).await;
    }
    let mut upload = store.begin(&id("new")).await.unwrap();
    upload
        .write(vec![random_bytes(6_000_000).into()])
        .await
        .unwrap();
    backend.plant_leftover();
    let removed = store.sweep().await.unwrap();
    assert_eq!(removed, backend.leftovers_swept());
    assert_eq!(store.sweep().await.unwrap(), 0);
    let published = upload
        .finish(metadata_of(&random_bytes(6_000_000)), Condition::default())
        .await;
    assert!(published.is_ok(), "{published:?}");
    assert!(read(store, &id("new")).await.unwrap() == random_bytes(6_000_000));
    for number in 0..5 {
        let bytes = read(store, &id(&format!("d/{number}"))).await.unwrap();
        assert_eq!(bytes, [number]);
    }
}

#[tokio::test]
async fn a_closed_folder_refuses_uploads() {
    let backend = FolderBackend::start().await;
    let store = backend.store();
    backend.close().await;
    let error = store.begin(&id("a")).await.err().unwrap();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    assert!(store.ready().await.is_err());
}

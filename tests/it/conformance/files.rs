//! What every files backend promises.

use std::sync::Arc;
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

/// Each behaviour on each backend, as a test of its own: `s3::a_file_is_read_back`.
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
                    let backend = super::$backend::start();
                    super::$behaviour(&backend).await;
                }
            )*
        }
    };
}

suite![
    a_file_is_read_back_as_it_was_sent,
    an_empty_file_is_a_file,
    parts_of_a_file_are_read,
    another_file_replaces_the_first,
    unknown_devices_have_no_file,
    any_id_is_kept_apart_and_listed_as_it_is,
    devices_are_paged_in_order,
    an_upload_that_is_not_finished_leaves_nothing,
    a_condition_holds_at_the_moment_of_publication,
    a_removed_file_is_gone,
    a_reader_keeps_the_file_it_began_with,
    of_many_that_publish_at_once_each_is_whole,
    only_one_of_many_creates_a_file,
    a_sweep_removes_nothing_that_is_used,
];

fn id(text: &str) -> DeviceId {
    DeviceId::new(text).unwrap()
}

fn described(bytes: &[u8]) -> NewFile {
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
    upload.finish(described(bytes), condition).await.unwrap()
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
    assert_eq!(described(&bytes).digest, file.info.file.digest);
    Some(bytes)
}

async fn listed(store: &dyn FileStore) -> Vec<String> {
    let page = store.list(None, 1000).await.unwrap();
    assert!(!page.more);
    page.items
        .iter()
        .map(|device| device.as_str().to_owned())
        .collect()
}

/// Waits until what is there is so many files and nothing else: what is replaced goes a moment later.
async fn settles_at(backend: &impl FileBackend, files: usize) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let blobs = backend.blobs();
        if blobs.len() == files {
            return;
        }
        assert!(Instant::now() < deadline, "{files} files are {blobs:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn a_file_is_read_back_as_it_was_sent(backend: &impl FileBackend) {
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
    settles_at(backend, 7).await;
}

async fn an_empty_file_is_a_file(backend: &impl FileBackend) {
    let store = &*backend.store();
    send(store, &id("a"), b"").await;
    assert_eq!(read(store, &id("a")).await, Some(Vec::new()));
    assert_eq!(listed(store).await, ["a"]);
}

async fn parts_of_a_file_are_read(backend: &impl FileBackend) {
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

async fn another_file_replaces_the_first(backend: &impl FileBackend) {
    let store = &*backend.store();
    for length in [10, 6_000_000, 0, 7] {
        send(store, &id("a"), &random_bytes(length)).await;
        assert!(read(store, &id("a")).await.unwrap() == random_bytes(length));
        settles_at(backend, 1).await;
    }
    assert_eq!(listed(store).await, ["a"]);
}

async fn unknown_devices_have_no_file(backend: &impl FileBackend) {
    let store = &*backend.store();
    assert!(store.info(&id("a")).await.unwrap().is_none());
    assert!(store.open(&id("a")).await.unwrap().is_none());
    assert!(listed(store).await.is_empty());
    let removal = store.remove(&id("a"), &Condition::default()).await.unwrap();
    assert_eq!(removal, Removal::Missing);
}

async fn any_id_is_kept_apart_and_listed_as_it_is(backend: &impl FileBackend) {
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
    assert_eq!(listed(store).await, ids);
    settles_at(backend, ids.len()).await;
    assert!(backend.outside().is_empty(), "{:?}", backend.outside());
    for (number, text) in ids.iter().enumerate() {
        let length = read(store, &id(text)).await.unwrap().len();
        let removal = store
            .remove(&id(text), &Condition::default())
            .await
            .unwrap();
        assert_eq!(removal, Removal::Removed, "{text}: {length}");
        assert_eq!(listed(store).await, ids[number + 1..]);
    }
}

async fn devices_are_paged_in_order(backend: &impl FileBackend) {
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
    // A cursor may be of a file that is gone.
    let page = store.list(Some(&id("d-1x")), 9).await.unwrap();
    assert_eq!(page.items.len(), 3);
    let page = store.list(Some(&id("d-4")), 9).await.unwrap();
    assert!(page.items.is_empty() && !page.more);
}

async fn an_upload_that_is_not_finished_leaves_nothing(backend: &impl FileBackend) {
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
    settles_at(backend, 1).await;
}

async fn a_condition_holds_at_the_moment_of_publication(backend: &impl FileBackend) {
    let store = &*backend.store();
    let these = |tag: String| Some(TagList::These(vec![tag]));
    let is = |tag| Condition {
        is: these(tag),
        is_not: None,
    };
    let none = Condition {
        is: None,
        is_not: Some(TagList::Any),
    };
    let refused = try_send(store, &id("a"), b"1", is("x".to_owned())).await;
    assert_eq!(refused, Publication::Refused);
    let stored = try_send(store, &id("a"), b"1", none.clone()).await;
    let Publication::Stored(first) = stored else {
        panic!("refused, though there was none");
    };
    let refused = try_send(store, &id("a"), b"2", none).await;
    assert_eq!(refused, Publication::Refused);
    // The file changes while the upload is on its way.
    let upload = store.begin(&id("a")).await.unwrap();
    let second = send(store, &id("a"), b"3").await;
    let refused = upload
        .finish(described(b""), is(first.tag()))
        .await
        .unwrap();
    assert_eq!(refused, Publication::Refused);
    let stored = try_send(store, &id("a"), b"4", is(second.tag())).await;
    assert_ne!(stored, Publication::Refused);
    assert_eq!(read(store, &id("a")).await.unwrap(), b"4");
    settles_at(backend, 1).await;
}

async fn a_removed_file_is_gone(backend: &impl FileBackend) {
    let store = &*backend.store();
    let info = send(store, &id("a"), b"1").await;
    let condition = |tag: &str| Condition {
        is: Some(TagList::These(vec![tag.to_owned()])),
        is_not: None,
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
    assert!(listed(store).await.is_empty());
    settles_at(backend, 0).await;
    let removal = store.remove(&id("a"), &condition("x")).await.unwrap();
    assert_eq!(removal, Removal::Refused);
}

async fn a_reader_keeps_the_file_it_began_with(backend: &impl FileBackend) {
    let store = &*backend.store();
    let bytes = random_bytes(3_000_000);
    send(store, &id("a"), &bytes).await;
    let file = store.open(&id("a")).await.unwrap().unwrap();
    let late = store.open(&id("a")).await.unwrap().unwrap();
    let mut stream = file.content.read(0..3_000_000).await.unwrap().unwrap();
    let mut seen = stream.try_next().await.unwrap().unwrap().to_vec();
    send(store, &id("a"), b"new").await;
    while let Some(piece) = stream.try_next().await.unwrap() {
        seen.extend_from_slice(&piece);
    }
    assert!(seen == bytes);
    settles_at(backend, 1).await;
    // One that was opened and not begun gives the old file, or says that it is gone; nothing else.
    if let Some(stream) = late.content.read(0..3_000_000).await.unwrap() {
        let pieces: Vec<Bytes> = stream.try_collect().await.unwrap();
        assert!(pieces.concat() == bytes);
    }
    assert_eq!(read(store, &id("a")).await.unwrap(), b"new");
}

async fn of_many_that_publish_at_once_each_is_whole(backend: &impl FileBackend) {
    let store = backend.store();
    send(&*store, &id("a"), &[9; 1000]).await;
    let writers: Vec<_> = (0..6_u8)
        .map(|writer| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for round in 0..3 {
                    let bytes = vec![writer; 1000 + round];
                    send(&*store, &id("a"), &bytes).await;
                }
            })
        })
        .collect();
    for _ in 0..30 {
        // Replaced between the look-up and the reading is possible, a mixture is not.
        if let Some(bytes) = read(&*store, &id("a")).await {
            assert!(bytes.len() >= 1000 && bytes.iter().all(|byte| *byte == bytes[0]));
        }
    }
    for writer in writers {
        writer.await.unwrap();
    }
    settles_at(backend, 1).await;
    assert!(read(&*store, &id("a")).await.is_some());
}

async fn only_one_of_many_creates_a_file(backend: &impl FileBackend) {
    let store = backend.store();
    let none = Condition {
        is: None,
        is_not: Some(TagList::Any),
    };
    let writers: Vec<_> = (0..8_u8)
        .map(|writer| {
            let (store, none) = (Arc::clone(&store), none.clone());
            tokio::spawn(async move {
                let publication = try_send(&*store, &id("a"), &[writer], none).await;
                publication != Publication::Refused
            })
        })
        .collect();
    let mut created = 0;
    for writer in writers {
        created += u32::from(writer.await.unwrap());
    }
    assert_eq!(created, 1);
    settles_at(backend, 1).await;
}

async fn a_sweep_removes_nothing_that_is_used(backend: &impl FileBackend) {
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
        .finish(described(&random_bytes(6_000_000)), Condition::default())
        .await;
    assert!(published.is_ok(), "{published:?}");
    assert!(read(store, &id("new")).await.unwrap() == random_bytes(6_000_000));
    for number in 0..5 {
        let bytes = read(store, &id(&format!("d/{number}"))).await.unwrap();
        assert_eq!(bytes, [number]);
    }
}

#[tokio::test]
async fn a_folder_that_is_closed_refuses_uploads() {
    let backend = FolderBackend::start();
    let store = backend.store();
    backend.close().await;
    let error = store.begin(&id("a")).await.err().unwrap();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    assert!(store.ready().await.is_err());
}

//! Device files while several clients read and write them.

use std::sync::Arc;

use bytes::Bytes;
use fieldstation::files::{Condition, Publication, TagList};
use futures_util::TryStreamExt;

use super::{id, metadata_of, read, send, try_send, wait_for_blob_count};
use crate::support::{FileBackend, random_bytes};

pub(super) async fn a_condition_is_checked_at_the_moment_of_publication(
    backend: &impl FileBackend,
) {
    let store = &*backend.store();
    let these = |tag: String| Some(TagList::These(vec![tag]));
    let is = |tag| Condition {
        if_match: these(tag),
        if_none_match: None,
    };
    let none = Condition {
        if_match: None,
        if_none_match: Some(TagList::Any),
    };
    let refused = try_send(store, &id("a"), b"1", is("x".to_owned())).await;
    assert_eq!(refused, Publication::Refused);
    let stored = try_send(store, &id("a"), b"1", none.clone()).await;
    let Publication::Stored(first) = stored else {
        panic!("refused although there was no file");
    };
    let refused = try_send(store, &id("a"), b"2", none).await;
    assert_eq!(refused, Publication::Refused);
    // The file changes during the upload.
    let upload = store.begin(&id("a")).await.unwrap();
    let second = send(store, &id("a"), b"3").await;
    let refused = upload
        .finish(metadata_of(b""), is(first.tag()))
        .await
        .unwrap();
    assert_eq!(refused, Publication::Refused);
    let stored = try_send(store, &id("a"), b"4", is(second.tag())).await;
    assert_ne!(stored, Publication::Refused);
    assert_eq!(read(store, &id("a")).await.unwrap(), b"4");
    wait_for_blob_count(backend, 1).await;
}

pub(super) async fn a_reader_continues_with_the_file_it_began(backend: &impl FileBackend) {
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
    wait_for_blob_count(backend, 1).await;
    // This reader has opened the old file, but has read nothing yet. The reader gets the old file, or learns that the old file is gone.
    if let Some(stream) = late.content.read(0..3_000_000).await.unwrap() {
        let pieces: Vec<Bytes> = stream.try_collect().await.unwrap();
        assert!(pieces.concat() == bytes);
    }
    assert_eq!(read(store, &id("a")).await.unwrap(), b"new");
}

pub(super) async fn a_reader_never_sees_parts_of_two_files(backend: &impl FileBackend) {
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
        // The file may be replaced between the look-up and the reading. Then there is nothing to read.
        if let Some(bytes) = read(&*store, &id("a")).await {
            assert!(bytes.len() >= 1000 && bytes.iter().all(|byte| *byte == bytes[0]));
        }
    }
    for writer in writers {
        writer.await.unwrap();
    }
    wait_for_blob_count(backend, 1).await;
    assert!(read(&*store, &id("a")).await.is_some());
}

pub(super) async fn of_concurrent_conditional_uploads_one_creates_the_file(
    backend: &impl FileBackend,
) {
    let store = backend.store();
    let none = Condition {
        if_match: None,
        if_none_match: Some(TagList::Any),
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
    wait_for_blob_count(backend, 1).await;
}

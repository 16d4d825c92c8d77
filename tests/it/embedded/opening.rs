//! A server that listens during recovery. Another program locks the file, which imitates the long read of a large file.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fieldstation::error::StoreErrorKind;
use fieldstation::readings::embedded::{EmbeddedOptions, EmbeddedStore};
use fieldstation::readings::{ReadingStore, RecordMode, Selection};
use fieldstation::storage::data_directory::DataDirectory;
use rusqlite::Connection;
use tempfile::TempDir;

use super::{open, small};
use crate::conformance::oracle::batch;
use crate::support::Server;

/// A directory with a single reading.
async fn with_a_reading() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path(), small());
    let one = batch([("boiler", 1, 20_000_000)]);
    store.record(one, RecordMode::AllOrNothing).await.unwrap();
    store.close().await.unwrap();
    directory
}

/// Locks the readings until the connection is dropped.
fn hold(directory: &Path) -> Connection {
    let holder = Connection::open(directory.join("readings.db")).unwrap();
    holder
        .execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN IMMEDIATE")
        .unwrap();
    holder
}

/// Starts a store. The start returns at once.
fn start(directory: &Path) -> Arc<EmbeddedStore> {
    let options = EmbeddedOptions {
        start_timeout: Duration::ZERO,
        ..small()
    };
    let directory = Arc::new(DataDirectory::open(directory).unwrap());
    Arc::new(EmbeddedStore::start(directory, options).unwrap())
}

fn record(store: &Arc<EmbeddedStore>, at: i64) -> tokio::task::JoinHandle<Option<StoreErrorKind>> {
    let store = Arc::clone(store);
    tokio::spawn(async move {
        let one = batch([("boiler", at, 21_000_000)]);
        let outcome = store.record(one, RecordMode::AllOrNothing).await;
        outcome.err().map(|error| error.kind())
    })
}

#[tokio::test]
async fn while_the_store_is_being_read_writes_wait_and_reads_are_told_to_come_again() {
    let directory = with_a_reading().await;
    let holder = hold(directory.path());
    let store = start(directory.path());
    assert!(!store.is_open());
    let writing = record(&store, 2);
    for error in [
        store.ready().await.unwrap_err(),
        store.stats(&Selection::default()).await.unwrap_err(),
        store.sensors(None, 10).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), StoreErrorKind::Unavailable);
        assert!(error.message().contains("0 % so far"), "{error}");
    }
    assert!(!writing.is_finished());
    drop(holder);
    assert_eq!(writing.await.unwrap(), None);
    assert!(store.is_open());
    store.ready().await.unwrap();
    let stats = store.stats(&Selection::default()).await.unwrap();
    assert_eq!(stats.count(), 2);
}

#[tokio::test]
async fn a_store_that_turns_out_damaged_while_the_server_listens_has_failed() {
    let directory = with_a_reading().await;
    let holder = hold(directory.path());
    let store = start(directory.path());
    let writing = record(&store, 2);
    tokio::task::yield_now().await;
    holder
        .execute_batch("UPDATE ledger SET chunks = 7; COMMIT")
        .unwrap();
    drop(holder);
    let failure = store.failed().await;
    assert_eq!(failure.kind(), StoreErrorKind::Damaged);
    assert!(failure.message().contains("ledger"), "{failure}");
    assert!(!store.is_open());
    assert_eq!(writing.await.unwrap(), Some(StoreErrorKind::Unavailable));
    let refused = store.ready().await.unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Unavailable);
    assert_eq!(
        record(&store, 3).await.unwrap(),
        Some(StoreErrorKind::Unavailable)
    );
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_store_that_is_closed_before_it_is_open_refuses_what_waits_and_keeps_what_is_there() {
    let directory = with_a_reading().await;
    let holder = hold(directory.path());
    let store = start(directory.path());
    let writing = record(&store, 2);
    tokio::task::yield_now().await;
    let closing = Arc::clone(&store);
    let closing = tokio::spawn(async move { closing.close().await });
    while store.ready().await.is_ok() {
        tokio::task::yield_now().await;
    }
    drop(holder);
    closing.await.unwrap().unwrap();
    let refused = writing.await.unwrap();
    drop(store);
    let store = open(directory.path(), small());
    let stats = store.stats(&Selection::default()).await.unwrap();
    // The store had finished recovery, and stores the waiting readings.
    let stored = match refused {
        Some(kind) => {
            assert_eq!(kind, StoreErrorKind::Unavailable);
            1
        }
        None => 2,
    };
    assert_eq!(stats.count(), stored);
}

#[tokio::test]
async fn a_server_whose_readings_take_long_to_read_listens_and_says_so() {
    let server = Server::start();
    let client = server.client();
    let reading = r#"{"sensorId":"a","timestamp":"2026-11-20T13:00:00Z","temperature":1}"#;
    client.put(reading).await.with_status(200);
    let (directory, data) = (Arc::clone(server.directory()), server.data());
    assert_eq!(server.stop().code, Some(0));
    let holder = hold(&data);
    let server = Server::try_in(&directory, &[]).unwrap();
    let client = server.client();
    client.get("/livez").await.with_status(200);
    let words = ["has just started", "0 % so far"];
    let ready = client.get("/readyz").await;
    ready.problem_saying(503, "not-ready", &words);
    let health = client.get("/health").await.with_status(503).json();
    let reason = health["stores"]["readings"]["reason"].as_str().unwrap();
    assert!(reason.contains(words[1]), "{reason}");
    let stats = client.get("/api/stats").await;
    stats.problem_saying(503, "unavailable", &words);
    assert!(stats.header("retry-after").is_some());
    let another = r#"{"sensorId":"a","timestamp":"2026-11-20T13:00:01Z","temperature":3}"#;
    let (put, ()) = tokio::join!(client.put(another), async { drop(holder) });
    put.with_status(200);
    client.get("/readyz").await.with_status(200);
    assert!(
        client.stats("").await.contains("\"Average\":2"),
        "both count"
    );
}

#[tokio::test]
async fn a_server_that_finds_damage_after_it_has_begun_to_listen_ends_with_the_code_of_a_failed_start()
 {
    let server = Server::start();
    let (directory, data) = (Arc::clone(server.directory()), server.data());
    assert_eq!(server.stop().code, Some(0));
    let holder = hold(&data);
    let server = Server::try_in(&directory, &[]).unwrap();
    holder
        .execute_batch("UPDATE ledger SET chunks = 7; COMMIT")
        .unwrap();
    drop(holder);
    let exited = server.wait();
    assert_eq!(exited.code, Some(3), "{}", exited.output);
    assert!(exited.output.contains("ledger"), "{}", exited.output);
}

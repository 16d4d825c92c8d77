//! A file of an older version.

use std::path::Path;

use fieldstation::error::StoreErrorKind;
use fieldstation::readings::embedded::verify;
use fieldstation::readings::{ReadingStore, RecordMode, Timestamp, Window};
use rusqlite::Connection;
use tempfile::TempDir;

use super::properties::check;
use super::{open, small, try_open};
use crate::cli::fieldstation;
use crate::conformance::Oracle;
use crate::conformance::oracle::batch;

/// 2026-01-01T00:00:00Z.
const START: i64 = 1_767_225_600;

/// A data directory of schema version 1.
pub(super) fn version_1() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    database(directory.path())
        .execute_batch(include_str!("version-1.sql"))
        .unwrap();
    directory
}

fn database(directory: &Path) -> Connection {
    Connection::open(directory.join("readings.db")).unwrap()
}

fn schema_version(directory: &Path) -> i64 {
    database(directory)
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .unwrap()
}

/// The readings in the older store.
fn recorded() -> Oracle {
    let mut oracle = Oracle::default();
    let mut record = |sensor, at: i64, tenths: i64| {
        let reading = (sensor, (START + at) * 1_000_000, tenths * 100_000);
        oracle.record(&batch([reading]));
    };
    for (sensor, offset) in [("boiler", 0), ("roof", 1)] {
        for n in 0..70 {
            record(sensor, 10 + 10 * n + offset, 200 + 10 * (n * 7 % 11));
        }
    }
    for n in 0..5 {
        record("cellar", 10 * n, 70 + 10 * n);
    }
    record("roof", 5, -30);
    record("boiler", 10, 990);
    record("boiler", 10, 125);
    record("attic", 0, 10);
    record("boiler", 900, 310);
    oracle
}

fn windows() -> [Window; 2] {
    let at = |seconds| Timestamp::from_micros((START + seconds) * 1_000_000);
    [
        Window::ALL,
        Window {
            from: at(8),
            to: at(333),
        },
    ]
}

#[tokio::test]
async fn a_file_of_schema_version_1_goes_on_with_every_reading() {
    let directory = version_1();
    let mut oracle = recorded();
    let store = open(directory.path(), small());
    check(&store, &oracle, &windows()).await;
    let more = batch([
        ("boiler", (START + 15) * 1_000_000, 5),
        ("new", START * 1_000_000, 1),
    ]);
    let outcome = store
        .record(more.clone(), RecordMode::AllOrNothing)
        .await
        .unwrap();
    assert_eq!(outcome, oracle.record(&more));
    store.close().await.unwrap();
    drop(store);
    assert_eq!(schema_version(directory.path()), 2);
    let report = verify(directory.path(), &mut |_, _| {}).unwrap();
    assert!(report.is_sound(), "{report:?}");
    let store = open(directory.path(), small());
    check(&store, &oracle, &windows()).await;
}

#[tokio::test]
async fn a_copy_of_schema_version_1_is_checked_as_it_is_and_restored() {
    let parent = tempfile::tempdir().unwrap();
    let data = version_1();
    let run = |arguments: &[&str]| fieldstation(parent.path(), arguments);
    let data = data.path().to_str().unwrap();
    run(&["backup", "--data", data, "--to", "copy"]).with_code(0);
    assert_eq!(schema_version(Path::new(data)), 1);
    run(&["restore", "--from", "copy", "--data", "restored"]).with_code(0);
    let restored = parent.path().join("restored");
    assert_eq!(schema_version(&restored), 1);
    let store = open(&restored, small());
    check(&store, &recorded(), &windows()).await;
}

#[test]
fn damage_in_a_file_of_schema_version_1_is_named_after_the_move_too() {
    for (sql, named) in [
        (
            "UPDATE chunks SET sum = sum + 1 WHERE sensor = 1",
            "columns of a chunk of sensor number 1",
        ),
        ("DELETE FROM chunks WHERE sensor = 1", "ledger"),
        ("DELETE FROM log WHERE sequence = 5", "log row 5"),
        (
            "UPDATE sensors SET id = 'other' WHERE number = 0",
            "sensor number 0",
        ),
        ("CREATE TABLE another (x)", "tables"),
    ] {
        let directory = version_1();
        database(directory.path()).execute_batch(sql).unwrap();
        // The first start upgrades the file, the second start finds the upgraded file.
        for _ in 0..2 {
            let error = try_open(directory.path(), small()).unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Damaged, "{sql}");
            assert!(error.message().contains(named), "{sql}: {error}");
        }
    }
}

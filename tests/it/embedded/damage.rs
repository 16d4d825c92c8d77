//! A flipped bit on disk is detected and named, or changes nothing. No answer is ever silently wrong.

use std::fs;
use std::path::Path;

use fieldstation::error::{StoreError, StoreErrorKind};
use fieldstation::readings::embedded::{EmbeddedStore, verify};
use fieldstation::readings::{Point, ReadingStore, RecordMode, Selection, SensorId, Stats, Window};
use futures_util::TryStreamExt;

use super::{open, small, try_open};
use crate::conformance::oracle::batch;

/// All data that a client can read.
#[derive(Debug, PartialEq)]
struct Seen {
    stats: Stats,
    windows: Vec<Stats>,
    exported: Vec<(SensorId, Vec<Point>)>,
}

async fn look(store: &EmbeddedStore) -> Result<Seen, StoreError> {
    let mut windows = Vec::new();
    for (from, to) in [(0, 50), (37, 210), (100, 1000)] {
        let time = |at| fieldstation::readings::Timestamp::from_micros(at);
        let window = Window {
            from: time(from),
            to: time(to),
        };
        windows.push(
            store
                .stats(&Selection {
                    sensor: None,
                    window,
                })
                .await?,
        );
    }
    let mut exported: Vec<(SensorId, Vec<Point>)> = Vec::new();
    let blocks: Vec<_> = store
        .export(&Selection::default())
        .await?
        .try_collect()
        .await?;
    for block in blocks {
        match exported.last_mut() {
            Some((sensor, points)) if *sensor == block.sensor => points.extend(block.points),
            _ => exported.push((block.sensor, block.points)),
        }
    }
    Ok(Seen {
        stats: store.stats(&Selection::default()).await?,
        windows,
        exported,
    })
}

/// Fills a store: sealed chunks, and readings in the log.
async fn fill(directory: &Path) -> Seen {
    let store = open(directory, small());
    let names = ["boiler", "roof", "a sensor with a long name"];
    for (n, name) in names.iter().enumerate() {
        let readings = (0..90).map(|at| (*name, at * 3 + n as i64, (at * 37 % 23) * 1_000_003));
        store
            .record(batch(readings), RecordMode::AllOrNothing)
            .await
            .unwrap();
    }
    store.seal().await.unwrap();
    // Too few readings to seal, so the log carries these readings. A reading is late, and another reading is a replacement.
    let readings = [
        ("boiler", 1, 5_000_000),
        ("roof", 4, 1),
        ("cellar", 9, -7_000_000),
    ];
    store
        .record(batch(readings), RecordMode::AllOrNothing)
        .await
        .unwrap();
    let seen = look(&store).await.unwrap();
    store.close().await.unwrap();
    seen
}

fn copy_with_flipped_bit(from: &Path, at: usize, bit: u32) -> tempfile::TempDir {
    let to = tempfile::tempdir().unwrap();
    let mut bytes = fs::read(from.join("readings.db")).unwrap();
    bytes[at] ^= 1 << bit;
    fs::write(to.path().join("readings.db"), bytes).unwrap();
    to
}

pub fn assert_named(error: &StoreError, at: usize) {
    // A flipped bit in the schema version looks like a newer version.
    let is_named = matches!(
        error.kind(),
        StoreErrorKind::Damaged | StoreErrorKind::Unsupported
    );
    assert!(is_named, "byte {at}: {error}");
    assert!(
        error.message().contains("readings.db"),
        "byte {at}: {error}"
    );
}

#[tokio::test]
async fn any_flipped_bit_is_named_or_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let expected = fill(directory.path()).await;
    let length = fs::metadata(directory.path().join("readings.db"))
        .unwrap()
        .len() as usize;
    let (mut named, mut harmless) = (0, 0);
    // Each step flips another bit at another offset. A prime stride reaches every part of every page.
    for at in (0..length).step_by(61) {
        let damaged = copy_with_flipped_bit(directory.path(), at, (at % 8) as u32);
        let seen = match try_open(damaged.path(), small()) {
            Ok(store) => {
                let seen = look(&store).await;
                drop(store);
                seen
            }
            Err(error) => Err(error),
        };
        match seen {
            Ok(seen) => {
                assert_eq!(
                    seen, expected,
                    "byte {at} of {length} changed what is read, and nobody noticed"
                );
                harmless += 1;
            }
            Err(error) => {
                assert_named(&error, at);
                named += 1;
            }
        }
    }
    // Most bytes of a page are unused in so small a file. Flips in used bytes are detected.
    assert!(named > 40, "{named} named, {harmless} harmless");
}

#[tokio::test]
async fn verify_names_every_kind_of_damage() {
    let directory = tempfile::tempdir().unwrap();
    let expected = fill(directory.path()).await;
    let report = verify(directory.path(), &mut |_, _| {}).unwrap();
    assert!(report.is_sound(), "{report:?}");
    assert_eq!(report.stats, expected.stats);

    for (sql, named) in [
        (
            "UPDATE chunks SET sum = sum + 1 WHERE sensor = 1 AND first = (SELECT min(first) FROM chunks WHERE sensor = 1)",
            "columns of a chunk of sensor number 1",
        ),
        (
            "DELETE FROM chunks WHERE first = (SELECT max(first) FROM chunks)",
            "ledger",
        ),
        (
            "DELETE FROM chunk_data WHERE id = (SELECT max(id) FROM chunk_data)",
            "is missing",
        ),
        (
            "UPDATE chunk_data SET data = zeroblob(length(data)) WHERE id = (SELECT max(id) FROM chunk_data)",
            "checksum",
        ),
        (
            "UPDATE sensors SET id = 'other' WHERE number = 0",
            "name of sensor number 0",
        ),
        ("DELETE FROM sensors WHERE number = 3", "sensor number 3"),
        (
            "UPDATE log SET data = substr(data, 1, length(data) - 1)",
            "log row",
        ),
        ("UPDATE log SET sequence = sequence + 1", "missing"),
        ("UPDATE ledger SET chunks = chunks + 1", "ledger"),
        ("DELETE FROM ledger", "ledger"),
    ] {
        let damaged = tempfile::tempdir().unwrap();
        fs::copy(
            directory.path().join("readings.db"),
            damaged.path().join("readings.db"),
        )
        .unwrap();
        let connection = rusqlite::Connection::open(damaged.path().join("readings.db")).unwrap();
        assert!(
            connection.execute(sql, []).unwrap() > 0,
            "{sql} changed nothing"
        );
        drop(connection);
        let report = verify(damaged.path(), &mut |_, _| {}).unwrap();
        assert!(!report.is_sound(), "{sql}");
        assert!(
            report.problems.iter().any(|p| p.contains(named)),
            "{sql}: {:?}",
            report.problems
        );
    }
}

#[tokio::test]
async fn what_is_not_a_database_is_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(
        directory.path().join("readings.db"),
        "hello, I am not a database".repeat(500),
    )
    .unwrap();
    assert_named(&try_open(directory.path(), small()).unwrap_err(), 0);
    let other = tempfile::tempdir().unwrap();
    let connection = rusqlite::Connection::open(other.path().join("readings.db")).unwrap();
    connection
        .execute_batch("CREATE TABLE t (x); PRAGMA user_version = 7")
        .unwrap();
    drop(connection);
    let error = try_open(other.path(), small()).unwrap_err();
    assert!(
        error.message().contains("not a Fieldstation database"),
        "{error}"
    );
}

#[tokio::test]
async fn a_row_that_is_gone_is_found_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path()).await;
    for (sql, named) in [
        ("DELETE FROM sensors WHERE number = 0", "sensor number 0"),
        ("DELETE FROM sensors WHERE number = 3", "sensor number 3"),
        (
            "DELETE FROM chunks WHERE sensor = 0 AND first = (SELECT min(first) FROM chunks)",
            "ledger",
        ),
        (
            "DELETE FROM chunks WHERE sensor = 2 AND first = (SELECT max(first) FROM chunks WHERE sensor = 2)",
            "ledger",
        ),
        ("DELETE FROM log", "has lost its readings"),
        ("DELETE FROM ledger", "ledger"),
    ] {
        let damaged = tempfile::tempdir().unwrap();
        let file = damaged.path().join("readings.db");
        fs::copy(directory.path().join("readings.db"), &file).unwrap();
        let connection = rusqlite::Connection::open(&file).unwrap();
        assert!(
            connection.execute(sql, []).unwrap() > 0,
            "{sql} changed nothing"
        );
        drop(connection);
        let error = try_open(damaged.path(), small()).unwrap_err();
        assert_named(&error, 0);
        assert!(error.message().contains(named), "{sql}: {error}");
    }
}

//! Late readings: the order of arrival makes no difference to the stored data.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use fieldstation::error::StoreErrorKind;
use fieldstation::readings::embedded::{EmbeddedOptions, EmbeddedStore};
use fieldstation::readings::{
    Batch, ReadingStore, RecordMode, Selection, SensorId, Stats, Timestamp, Window,
};

use super::{open, small};
use crate::conformance::oracle::batch;

const SENSORS: [&str; 3] = ["boiler", "cellar", "roof"];
/// The length of the history of each sensor, in readings and in seconds.
const HISTORY: i64 = 1_500;
const SECOND: i64 = 1_000_000;

fn reading(sensor: &'static str, second: i64) -> (&'static str, i64, i64) {
    // Temperatures in no particular order.
    let noise = (second as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    (sensor, second * SECOND, (noise % 200) as i64 * 10_000)
}

/// Readings of all sensors in some seconds, by time.
fn all_sensors(seconds: impl IntoIterator<Item = i64>) -> Batch {
    batch(
        seconds
            .into_iter()
            .flat_map(|second| SENSORS.map(|sensor| reading(sensor, second))),
    )
}

/// Options for frequent sealing in small chunks.
fn options() -> EmbeddedOptions {
    EmbeddedOptions {
        tail_points_max: 300,
        chunk_points_max: 200,
        chunk_points_min: 10,
        ..EmbeddedOptions::default()
    }
}

/// The stored chunks of all sensors.
#[derive(Debug)]
struct OnDisk {
    chunks: i64,
    bytes: i64,
    readings: i64,
}

fn on_disk(directory: &Path) -> OnDisk {
    let connection = rusqlite::Connection::open(directory.join("readings.db")).unwrap();
    let number = |sql| connection.query_row(sql, [], |row| row.get(0)).unwrap();
    OnDisk {
        chunks: number("SELECT count(*) FROM chunks"),
        bytes: number("SELECT sum(length(data)) FROM chunk_data"),
        readings: number("SELECT sum(count) FROM chunks"),
    }
}

/// Sends batches in order, and closes the store.
async fn sent(batches: impl IntoIterator<Item = Batch>) -> (Stats, OnDisk) {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path(), options());
    for batch in batches {
        let outcome = store.record(batch.clone(), RecordMode::AllOrNothing).await;
        assert_eq!(outcome.unwrap().recorded, batch.len() as u64);
    }
    let stats = store.stats(&Selection::default()).await.unwrap();
    store.close().await.unwrap();
    drop(store);
    (stats, on_disk(directory.path()))
}

/// The seconds of history in batches of 25.
fn steps() -> Vec<Vec<i64>> {
    let seconds: Vec<_> = (0..HISTORY).collect();
    seconds.chunks(25).map(<[_]>::to_vec).collect()
}

/// A newer reading of each sensor, so the fleet is live.
fn live() -> Batch {
    all_sensors([HISTORY * 100])
}

async fn assert_like_in_order(what: &str, batches: Vec<Batch>) {
    let mut in_order: Vec<_> = steps().into_iter().map(all_sensors).collect();
    in_order.push(live());
    let (expected_stats, expected) = sent(in_order).await;
    let (stats, found) = sent(batches).await;
    assert_eq!(stats, expected_stats, "{what}");
    // The readings of the last cycle may still be in the log.
    let history = SENSORS.len() as i64 * HISTORY;
    assert!(found.readings * 10 >= history * 9, "{what}: {found:?}");
    assert!(
        found.chunks <= expected.chunks * 3 / 2 + SENSORS.len() as i64,
        "{what}: {found:?}, and in order {expected:?}"
    );
    assert!(
        found.bytes * expected.readings * 10 <= expected.bytes * found.readings * 12,
        "{what}: {found:?}, and in order {expected:?}"
    );
}

#[tokio::test]
async fn history_beside_live_readings_takes_no_more_room_than_in_order() {
    let mut batches = vec![live()];
    batches.extend(steps().into_iter().map(all_sensors));
    assert_like_in_order("in order", batches).await;
}

#[tokio::test]
async fn history_with_the_newest_day_first_takes_no_more_room_than_in_order() {
    for day in [1, 7, 30] {
        let mut batches = vec![live()];
        let steps = steps();
        let days = steps.chunks(day).rev();
        batches.extend(days.flatten().cloned().map(all_sensors));
        assert_like_in_order(&format!("days of {day} batches"), batches).await;
    }
}

#[tokio::test]
async fn history_in_random_order_of_days_takes_no_more_room_than_in_order() {
    for day in [1, 4, 12] {
        let mut batches = vec![live()];
        let steps = steps();
        let days: Vec<_> = steps.chunks(day).collect();
        // A step without a common divisor with the number of days visits each day once.
        let order = (0..days.len()).map(|at| days[at * 37 % days.len()]);
        batches.extend(order.flatten().cloned().map(all_sensors));
        assert_like_in_order(&format!("days of {day} batches"), batches).await;
    }
}

#[tokio::test]
async fn history_sensor_by_sensor_takes_no_more_room_than_in_order() {
    let mut batches = vec![live()];
    for sensor in SENSORS {
        let steps = steps().into_iter();
        batches.extend(steps.map(|seconds| batch(seconds.into_iter().map(|s| reading(sensor, s)))));
    }
    assert_like_in_order("sensor by sensor", batches).await;
}

#[tokio::test]
async fn history_of_which_every_second_reading_comes_later_takes_no_more_room_than_in_order() {
    let mut batches = vec![live()];
    for half in 0..2 {
        let steps = steps().into_iter();
        batches.extend(
            steps.map(|seconds| all_sensors(seconds.into_iter().filter(|s| s % 2 == half))),
        );
    }
    assert_like_in_order("every second one", batches).await;
}

#[tokio::test]
async fn what_is_sent_again_is_unchanged_and_rewrites_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path(), options());
    for seconds in steps() {
        let batch = all_sensors(seconds);
        store.record(batch, RecordMode::AllOrNothing).await.unwrap();
    }
    store.seal().await.unwrap();
    let generation = || -> i64 {
        let connection = rusqlite::Connection::open(directory.path().join("readings.db")).unwrap();
        let sql = "SELECT generation FROM ledger";
        connection.query_row(sql, [], |row| row.get(0)).unwrap()
    };
    let before = generation();
    for seconds in steps().into_iter().rev() {
        let batch = all_sensors(seconds);
        let outcome = store.record(batch.clone(), RecordMode::AllOrNothing).await;
        assert_eq!(outcome.unwrap().unchanged, batch.len() as u64);
    }
    assert_eq!(generation(), before);
}

/// A store with a separate commit for each lookup. All of history is in chunks.
async fn slow_store(directory: &Path) -> EmbeddedStore {
    let options = EmbeddedOptions {
        lookup_time: Duration::ZERO,
        ..options()
    };
    let store = open(directory, options);
    for seconds in steps() {
        let batch = all_sensors(seconds);
        store.record(batch, RecordMode::AllOrNothing).await.unwrap();
    }
    store
        .record(live(), RecordMode::AllOrNothing)
        .await
        .unwrap();
    store.seal().await.unwrap();
    store
}

#[tokio::test]
async fn a_batch_that_was_set_aside_is_stored_whole_though_the_store_closes_meanwhile() {
    let directory = tempfile::tempdir().unwrap();
    let store = slow_store(directory.path()).await;
    // Half a second late. Each reading is on a separate page, or in the gap after the page. A third of the readings are replacements.
    let late = batch((0..HISTORY).step_by(90).flat_map(|second| {
        SENSORS.map(|sensor| {
            (
                sensor,
                second * SECOND + SECOND / 2 * (second % 4).signum(),
                -1 - second,
            )
        })
    }));
    let before = store.stats(&Selection::default()).await.unwrap();
    let (outcome, closed) = futures_util::future::join(
        store.record(late.clone(), RecordMode::AllOrNothing),
        store.close(),
    )
    .await;
    closed.unwrap();
    let outcome = outcome.unwrap();
    assert_eq!(outcome.recorded + outcome.replaced, late.len() as u64);
    drop(store);
    let after = open(directory.path(), options());
    let after = after.stats(&Selection::default()).await.unwrap();
    assert_eq!(after.count(), before.count() + outcome.recorded);
}

#[tokio::test]
async fn a_batch_that_was_set_aside_sees_what_was_committed_and_sealed_meanwhile() {
    let directory = tempfile::tempdir().unwrap();
    let store = slow_store(directory.path()).await;
    let moments: Vec<_> = (0..HISTORY).step_by(25).map(|s| s * SECOND + 5).collect();
    let of_all = |value: i64| {
        let moments = moments.iter();
        batch(moments.flat_map(move |&at| SENSORS.map(|sensor| (sensor, at, value))))
    };
    let readings = (SENSORS.len() * moments.len()) as u64;
    let rounds = 8;
    let sending = (0..rounds).map(|value| store.record(of_all(value), RecordMode::AllOrNothing));
    let sealing = async {
        for _ in 0..20 {
            store.seal().await.unwrap();
        }
    };
    let (outcomes, ()) =
        futures_util::future::join(futures_util::future::try_join_all(sending), sealing).await;
    let outcomes = outcomes.unwrap();
    // The first batch recorded the readings, and each later batch replaced all of them.
    let recorded: u64 = outcomes.iter().map(|outcome| outcome.recorded).sum();
    let replaced: u64 = outcomes.iter().map(|outcome| outcome.replaced).sum();
    assert_eq!(
        (recorded, replaced),
        (readings, readings * (rounds as u64 - 1))
    );
    assert!(outcomes.iter().all(|o| o.recorded == 0 || o.replaced == 0));
    let mut values: BTreeMap<_, u64> = BTreeMap::new();
    for &at in &moments {
        for sensor in SENSORS {
            let window = Window {
                from: Timestamp::from_micros(at),
                to: Timestamp::from_micros(at + 1),
            };
            let sensor = SensorId::new(sensor).unwrap();
            let page = store.readings(&sensor, window, 2).await.unwrap().unwrap();
            *values.entry(page.items[0].temperature).or_default() += 1;
        }
    }
    assert_eq!(values.into_values().collect::<Vec<_>>(), [readings]);
}

#[tokio::test]
async fn late_readings_are_taken_in_though_the_tails_are_full() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path(), small());
    let mut count = 0;
    for round in 0..10 {
        // A batch with more readings than the capacity of the tails, in any order of time.
        let readings = (0..60).map(|n| ("roof", (n * 37 % 60) * 100 + round, n));
        let batch = batch(readings);
        count += batch.len() as u64;
        store.record(batch, RecordMode::AllOrNothing).await.unwrap();
    }
    let stats = store.stats(&Selection::default()).await.unwrap();
    assert_eq!(stats.count(), count);
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_flipped_bit_in_any_page_of_a_chunk_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path(), EmbeddedOptions::default());
    let history = (0..HISTORY).map(|second| reading("roof", second));
    store
        .record(batch(history), RecordMode::AllOrNothing)
        .await
        .unwrap();
    store.close().await.unwrap();
    drop(store);
    let length = on_disk(directory.path()).bytes;
    for at in (1..=length).step_by(usize::try_from(length / 40).unwrap()) {
        let damaged = tempfile::tempdir().unwrap();
        let file = damaged.path().join("readings.db");
        std::fs::copy(directory.path().join("readings.db"), &file).unwrap();
        let connection = rusqlite::Connection::open(&file).unwrap();
        let id: i64 = connection
            .query_row("SELECT id FROM chunk_data", [], |row| row.get(0))
            .unwrap();
        let mut data: Vec<u8> = connection
            .query_row("SELECT data FROM chunk_data", [], |row| row.get(0))
            .unwrap();
        data[at as usize - 1] ^= 1 << (at % 8);
        connection
            .execute(
                "UPDATE chunk_data SET data = ? WHERE id = ?",
                rusqlite::params![data, id],
            )
            .unwrap();
        drop(connection);
        let store = open(damaged.path(), EmbeddedOptions::default());
        let late = batch([("roof", SECOND / 2, 1)]);
        let recorded = store.record(late, RecordMode::AllOrNothing).await;
        assert_eq!(
            recorded.unwrap_err().kind(),
            StoreErrorKind::Damaged,
            "byte {at}"
        );
        let edge = Window {
            from: Timestamp::from_micros(100 * SECOND),
            to: None,
        };
        let selection = Selection {
            sensor: None,
            window: edge,
        };
        let stats = store.stats(&selection).await;
        assert_eq!(
            stats.unwrap_err().kind(),
            StoreErrorKind::Damaged,
            "byte {at}"
        );
    }
}

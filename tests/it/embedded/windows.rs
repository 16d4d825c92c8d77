//! Windows over all sensors: totals by calendar periods against the naive oracle.

use std::fs;
use std::path::Path;

use fieldstation::readings::embedded::{EmbeddedOptions, EmbeddedStore, verify};
use fieldstation::readings::{
    Batch, ReadingStore, RecordMode, Selection, Stats, Timestamp, Window,
};
use proptest::prelude::*;
use rusqlite::Connection;

use super::properties::copy;
use super::{open, small};
use crate::conformance::Oracle;
use crate::conformance::oracle::batch;

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

#[derive(Clone, Debug)]
enum Step {
    Record(Vec<(u8, i64, i64)>),
    Seal,
    Restart,
    Crash,
    /// Changes the number of kept periods from now on.
    Reopen(usize),
    Look(Window),
}

/// Timestamps with shared seconds, minutes, hours and days, and some near the first and the last possible timestamp.
fn moment() -> impl Strategy<Value = i64> {
    let part =
        |length: i64| prop::sample::select(vec![0, 0, 1, 2, 3]).prop_map(move |n: i64| n * length);
    let micros = prop_oneof![3 => Just(0i64), 1 => prop::sample::select(vec![1i64, 499_999, 500_000, 999_999])];
    let usual = (-1i64..2, part(HOUR), part(MINUTE), part(SECOND), micros).prop_map(
        |(day, hour, minute, second, micros)| {
            // Blocks of days begin at 1970.
            day * DAY + hour + minute + second + micros
        },
    );
    let ends = prop::sample::select(vec![Timestamp::MIN.micros(), Timestamp::MAX.micros()]);
    prop_oneof![30 => usual, 1 => ends]
}

fn window() -> impl Strategy<Value = Window> {
    let bound =
        || prop::option::weighted(0.8, moment()).prop_map(|at| at.and_then(Timestamp::from_micros));
    (bound(), bound()).prop_map(|(from, to)| Window { from, to })
}

fn step() -> impl Strategy<Value = Step> {
    let reading = (0u8..4, moment(), -4i64..5);
    let fleet = (moment(), 1i64..40).prop_map(|(from, count)| {
        let reading = |n| ((n % 4) as u8, from + n / 4 * SECOND, n % 7);
        Step::Record((0..count).map(reading).collect())
    });
    prop_oneof![
        6 => prop::collection::vec(reading, 1..20).prop_map(Step::Record),
        3 => fleet,
        2 => Just(Step::Seal),
        1 => Just(Step::Restart),
        1 => Just(Step::Crash),
        1 => (1usize..4).prop_map(Step::Reopen),
        6 => window().prop_map(Step::Look),
    ]
}

fn options() -> impl Strategy<Value = EmbeddedOptions> {
    (4usize..40, 1usize..20, 1usize..4).prop_map(|(tail, uncounted, least)| EmbeddedOptions {
        tail_points_max: tail,
        uncounted_seconds_max: uncounted,
        period_readings_min: least,
        ..small()
    })
}

fn to_batch(readings: &[(u8, i64, i64)]) -> Batch {
    let names = ["a", "b", "c", "d"];
    let named = |&(sensor, at, value): &(u8, i64, i64)| (names[usize::from(sensor)], at, value);
    batch(
        readings
            .iter()
            .filter(|(_, at, _)| Timestamp::from_micros(*at).is_some())
            .map(named),
    )
}

async fn look(store: &EmbeddedStore, window: Window) -> Stats {
    let selection = Selection {
        sensor: None,
        window,
    };
    store.stats(&selection).await.unwrap()
}

async fn live(steps: Vec<Step>, mut options: EmbeddedOptions) {
    let mut directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path(), options.clone());
    let mut oracle = Oracle::default();
    for step in steps {
        match step {
            Step::Record(readings) => {
                let batch = to_batch(&readings);
                let outcome = store
                    .record(batch.clone(), RecordMode::AllOrNothing)
                    .await
                    .unwrap();
                assert_eq!(outcome, oracle.record(&batch));
            }
            Step::Seal => store.seal().await.unwrap(),
            Step::Restart => {
                store.close().await.unwrap();
                drop(store);
                store = open(directory.path(), options.clone());
            }
            Step::Crash => {
                let crashed = copy(directory.path());
                drop(store);
                directory = crashed;
                store = open(directory.path(), options.clone());
            }
            Step::Reopen(least) => {
                drop(store);
                options.period_readings_min = least;
                store = open(directory.path(), options.clone());
            }
            Step::Look(window) => {
                let seen = look(&store, window).await;
                oracle.recount(None, window).assert_equals(&seen);
            }
        }
    }
    let crashed = copy(directory.path());
    drop(store);
    let report = verify(crashed.path(), &mut |_, _| {}).unwrap();
    assert!(report.is_sound(), "{report:?}");
    let report = verify(directory.path(), &mut |_, _| {}).unwrap();
    assert!(report.is_sound(), "{report:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn any_window_over_all_sensors_equals_the_oracle(
        steps in prop::collection::vec(step(), 1..40),
        options in options(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(live(steps, options));
    }
}

/// The number of cases. A history takes many flushes: a quarter of the usual number, or of `PROPTEST_CASES`.
fn cases() -> u32 {
    (ProptestConfig::default().cases / 4).max(1)
}

/// Fills a store with a fleet. The fleet reports every second for some minutes, and all readings are sealed. Returns the readings.
async fn fleet(directory: &Path) -> Oracle {
    let store = open(directory, small());
    let mut oracle = Oracle::default();
    for minute in 0..4 {
        let readings = (0..60).flat_map(|second| {
            (0..4u8).map(move |sensor| {
                let at = 3 * HOUR + minute * MINUTE + second * SECOND;
                (sensor, at, (second * 7 + i64::from(sensor)) % 50)
            })
        });
        let batch = to_batch(&readings.collect::<Vec<_>>());
        store
            .record(batch.clone(), RecordMode::AllOrNothing)
            .await
            .unwrap();
        oracle.record(&batch);
        store.seal().await.unwrap();
    }
    store.close().await.unwrap();
    oracle
}

fn windows() -> Vec<Window> {
    let at = |micros| Timestamp::from_micros(3 * HOUR + micros);
    let window = |from, to| Window {
        from: at(from),
        to: at(to),
    };
    vec![
        window(0, HOUR),
        window(-HOUR, 2 * MINUTE),
        window(30 * SECOND, 2 * MINUTE + 20 * SECOND),
        window(SECOND + 1, 3 * MINUTE + 1),
        window(MINUTE, MINUTE + SECOND),
        Window {
            from: at(61 * SECOND),
            to: None,
        },
    ]
}

async fn assert_windows(store: &EmbeddedStore, oracle: &Oracle, why: &str) {
    for window in windows() {
        let seen = look(store, window).await;
        let expected = oracle.recount(None, window);
        assert_eq!(seen.count() as usize, expected.count, "{why}: {window:?}");
        expected.assert_equals(&seen);
    }
}

fn execute(directory: &Path, sql: &str) -> usize {
    let connection = Connection::open(directory.join("readings.db")).unwrap();
    connection.execute(sql, []).unwrap()
}

fn duplicate(from: &Path) -> tempfile::TempDir {
    let to = tempfile::tempdir().unwrap();
    fs::copy(from.join("readings.db"), to.path().join("readings.db")).unwrap();
    to
}

/// The conditions on `key` for the rows of days, hours, minutes and seconds.
fn levels() -> [String; 4] {
    [0, 1, 2, 3].map(|level| format!("key >> 40 = {level}"))
}

#[tokio::test]
async fn damaged_totals_are_found_and_never_answered() {
    let directory = tempfile::tempdir().unwrap();
    let oracle = fleet(directory.path()).await;
    assert!(verify(directory.path(), &mut |_, _| {}).unwrap().is_sound());
    for level in levels() {
        for change in [
            "DELETE FROM periods WHERE",
            "UPDATE periods SET data = zeroblob(length(data)) WHERE",
            "UPDATE periods SET data = substr(data, 1, length(data) - 1) WHERE",
            "UPDATE periods SET data = x'' WHERE",
            "UPDATE OR REPLACE periods SET key = key + 1440 WHERE",
        ] {
            let damaged = duplicate(directory.path());
            let sql = format!("{change} {level}");
            assert!(execute(damaged.path(), &sql) > 0, "{sql} changed nothing");
            let report = verify(damaged.path(), &mut |_, _| {}).unwrap();
            assert!(!report.is_sound(), "{sql}");
            let store = open(damaged.path(), small());
            assert_windows(&store, &oracle, &sql).await;
        }
    }
}

#[tokio::test]
async fn totals_that_are_damaged_are_made_good_by_what_comes() {
    let directory = tempfile::tempdir().unwrap();
    let oracle = fleet(directory.path()).await;
    for level in levels() {
        let damaged = duplicate(directory.path());
        let mut oracle = oracle.clone();
        let sql = format!("DELETE FROM periods WHERE {level}");
        assert!(execute(damaged.path(), &sql) > 0, "{sql} changed nothing");
        let store = open(damaged.path(), small());
        // A late reading in the middle of each minute.
        let late = (0..4).map(|minute| (2, 3 * HOUR + minute * MINUTE + SECOND + 1, -90));
        let batch = to_batch(&late.collect::<Vec<_>>());
        store
            .record(batch.clone(), RecordMode::AllOrNothing)
            .await
            .unwrap();
        oracle.record(&batch);
        assert_windows(&store, &oracle, &sql).await;
        store.seal().await.unwrap();
        assert_windows(&store, &oracle, &sql).await;
        store.close().await.unwrap();
        drop(store);
        let report = verify(damaged.path(), &mut |_, _| {}).unwrap();
        assert!(report.is_sound(), "{sql}: {report:?}");
    }
}

#[tokio::test]
async fn a_replaced_extreme_is_found_among_the_readings_of_its_second() {
    let directory = tempfile::tempdir().unwrap();
    let mut oracle = fleet(directory.path()).await;
    let store = open(directory.path(), small());
    let mut record = async |at: i64, value: i64| {
        let batch = to_batch(&[(1, 3 * HOUR + at, value)]);
        store
            .record(batch.clone(), RecordMode::AllOrNothing)
            .await
            .unwrap();
        oracle.record(&batch);
        assert_windows(&store, &oracle, "in memory").await;
        store.seal().await.unwrap();
        assert_windows(&store, &oracle, "on disk").await;
    };
    for value in [900, -900, 3] {
        record(2 * MINUTE + 5 * SECOND, value).await;
        record(MINUTE, value).await;
    }
}

#[tokio::test]
async fn a_file_of_schema_version_1_is_counted_at_the_first_start() {
    let directory = super::upgrade::version_1();
    let store = open(directory.path(), small());
    store.close().await.unwrap();
    drop(store);
    let connection = Connection::open(directory.path().join("readings.db")).unwrap();
    let counts = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    assert!(counts("SELECT count(*) FROM periods").unwrap() > 1);
    assert!(counts("SELECT counted_through FROM ledger").unwrap() > 0);
    drop(connection);
    let report = verify(directory.path(), &mut |_, _| {}).unwrap();
    assert!(report.is_sound(), "{report:?}");
}

//! Arbitrary histories against the naive oracle.

use std::time::Duration;

use fieldstation::readings::embedded::{EmbeddedOptions, EmbeddedStore, verify};
use fieldstation::readings::{
    Batch, Outcome, Point, ReadingStore, RecordMode, Selection, SensorId, Timestamp, Window,
};
use futures_util::TryStreamExt;
use proptest::prelude::*;

use super::{open, small};
use crate::conformance::Oracle;
use crate::conformance::oracle::batch;

/// A step of a history.
#[derive(Clone, Debug)]
enum Step {
    /// Several batches at once; they may share a commit.
    Record(Vec<Vec<(u8, i64, i64)>>),
    Seal,
    /// The store is closed and opened again.
    Restart,
    /// A copy of the present files on disk is opened instead, as after a kill.
    Crash,
}

/// Few sensors, timestamps and temperatures, so late, repeated and replaced readings are common. Some timestamps are far
/// apart.
fn reading() -> impl Strategy<Value = (u8, i64, i64)> {
    let moment = prop_oneof![
        8 => 0i64..60,
        1 => prop::sample::select(vec![Timestamp::MIN.micros(), -1, 1_760_000_000_000_000, Timestamp::MAX.micros()]),
    ];
    let temperature = prop_oneof![
        8 => -4i64..5,
        1 => prop::sample::select(vec![-273_150_000, 1_000_000_000_000, 21_500_000]),
    ];
    (0u8..4, moment, temperature)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => prop::collection::vec(prop::collection::vec(reading(), 1..12), 1..4).prop_map(Step::Record),
        // A device with reports in order of time. The tail outgrows a chunk.
        2 => (0u8..4, 0i64..60, 10i64..40).prop_map(|(sensor, from, count)| {
            Step::Record(vec![(0..count).map(|n| (sensor, from + n, n % 5)).collect()])
        }),
        // A part of history, complete or with regular gaps. Parts arrive in any order.
        3 => (0u8..4, 0i64..6, 1i64..50, prop::sample::select(vec![1i64, 2, 7])).prop_map(|(sensor, part, count, stride)| {
            let readings: Vec<_> = (0..count).map(|n| (sensor, part * 40 + n * stride, n % 5)).collect();
            Step::Record(readings.chunks(16).map(<[_]>::to_vec).collect())
        }),
        2 => Just(Step::Seal),
        1 => Just(Step::Restart),
        1 => Just(Step::Crash),
    ]
}

fn bound() -> impl Strategy<Value = Option<Timestamp>> {
    prop::option::weighted(
        0.8,
        prop_oneof![-2i64..63, 60i64..300].prop_map(|at| Timestamp::from_micros(at).unwrap()),
    )
}

fn options() -> impl Strategy<Value = EmbeddedOptions> {
    // Without time for lookups, a commit makes a single lookup for each batch, and defers batches with more lookups.
    let lookup_time = prop::sample::select(vec![Duration::ZERO, Duration::from_secs(1)]);
    (4usize..40, 2usize..10, 1usize..5, lookup_time).prop_map(
        |(tail, chunk, least, lookup_time)| EmbeddedOptions {
            tail_points_max: tail,
            chunk_points_max: chunk,
            chunk_points_min: least,
            lookup_time,
            ..small()
        },
    )
}

fn to_batch(readings: &[(u8, i64, i64)]) -> Batch {
    let names = ["a", "b", "c", "d"];
    batch(
        readings
            .iter()
            .map(|&(sensor, at, value)| (names[usize::from(sensor)], at, value)),
    )
}

/// Compares all readable data with the oracle.
pub(super) async fn check(store: &EmbeddedStore, oracle: &Oracle, windows: &[Window]) {
    let sensors = store.sensors(None, 1000).await.unwrap().items;
    assert_eq!(
        sensors.iter().map(|s| s.sensor.clone()).collect::<Vec<_>>(),
        oracle.sensors()
    );
    for &window in windows {
        let all = store
            .stats(&Selection {
                sensor: None,
                window,
            })
            .await
            .unwrap();
        oracle.recount(None, window).assert_equals(&all);
        assert_eq!(export(store, window).await, all_points(oracle, window));
        for summary in &sensors {
            let sensor = &summary.sensor;
            let stats = store
                .stats(&Selection {
                    sensor: Some(sensor.clone()),
                    window,
                })
                .await
                .unwrap();
            oracle.recount(Some(sensor), window).assert_equals(&stats);
            let points = oracle.points(sensor, window);
            let page = store.readings(sensor, window, 5).await.unwrap().unwrap();
            assert_eq!(page.more, points.len() > 5);
            assert_eq!(page.items, points[..points.len().min(5)]);
            let series = store.series(sensor, window, 7).await.unwrap().unwrap();
            let counted: u64 = series
                .buckets
                .iter()
                .map(|bucket| bucket.stats.count())
                .sum();
            assert_eq!(counted as usize, points.len());
            for (at, bucket) in series.buckets.iter().enumerate() {
                let end = series
                    .buckets
                    .get(at + 1)
                    .map_or(window.to, |next| Some(next.start));
                let part = Window {
                    from: Some(bucket.start),
                    to: end,
                };
                oracle
                    .recount(Some(sensor), part)
                    .assert_equals(&bucket.stats);
            }
        }
    }
    for summary in &sensors {
        let points = oracle.points(&summary.sensor, Window::ALL);
        oracle
            .recount(Some(&summary.sensor), Window::ALL)
            .assert_equals(&summary.stats);
        assert_eq!(summary.first, points[0].timestamp);
        assert_eq!(summary.last, points[points.len() - 1].timestamp);
        assert_eq!(summary.latest, points[points.len() - 1].temperature);
    }
}

/// Copies the directory, as after a crash between two commits.
pub(super) fn copy(from: &std::path::Path) -> tempfile::TempDir {
    let to = tempfile::tempdir().unwrap();
    // No other connection writes while this transaction is open.
    let writer = rusqlite::Connection::open(from.join("readings.db")).unwrap();
    writer
        .busy_timeout(std::time::Duration::from_secs(10))
        .unwrap();
    writer.execute_batch("BEGIN IMMEDIATE").unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        // The shared memory of the write-ahead log does not outlive the processes.
        if !entry.file_name().to_string_lossy().ends_with("-shm") {
            std::fs::copy(entry.path(), to.path().join(entry.file_name())).unwrap();
        }
    }
    to
}

/// The store may commit concurrent batches in any order. Finds an order that explains the outcomes.
async fn explain(
    store: &EmbeddedStore,
    before: &Oracle,
    batches: &[Batch],
    outcomes: &[Outcome],
) -> Oracle {
    let stored = export(store, Window::ALL).await;
    let mut orders: Vec<(Oracle, Vec<usize>)> = vec![(before.clone(), Vec::new())];
    for _ in batches {
        let mut longer = Vec::new();
        for (oracle, order) in &orders {
            for (at, batch) in batches.iter().enumerate() {
                let mut after = oracle.clone();
                if !order.contains(&at) && after.record(batch) == outcomes[at] {
                    let mut order = order.clone();
                    order.push(at);
                    longer.push((after, order));
                }
            }
        }
        orders = longer;
    }
    let explained = orders
        .into_iter()
        .find(|(oracle, _)| all_points(oracle, Window::ALL) == stored);
    explained
        .expect("no order of the batches explains what came of them")
        .0
}

/// Every reading of an export.
async fn export(store: &EmbeddedStore, window: Window) -> Vec<(SensorId, Point)> {
    let selection = Selection {
        sensor: None,
        window,
    };
    let export = store.export(&selection).await.unwrap();
    let blocks: Vec<_> = export.try_collect().await.unwrap();
    let points = blocks.iter().flat_map(|block| {
        let points = block.points.iter();
        points.map(|point| (block.sensor.clone(), *point))
    });
    points.collect()
}

/// Every reading of the oracle.
fn all_points(oracle: &Oracle, window: Window) -> Vec<(SensorId, Point)> {
    let sensors = oracle.sensors().into_iter();
    let points = sensors.flat_map(|sensor| {
        let points = oracle.points(&sensor, window).into_iter();
        points.map(move |point| (sensor.clone(), point))
    });
    points.collect()
}

async fn live(steps: Vec<Step>, options: EmbeddedOptions, windows: Vec<Window>) {
    let mut directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path(), options.clone());
    let mut oracle = Oracle::default();
    for step in steps {
        match step {
            Step::Record(batches) => {
                let batches: Vec<_> = batches.iter().map(|batch| to_batch(batch)).collect();
                let recording = batches
                    .iter()
                    .map(|batch| store.record(batch.clone(), RecordMode::AllOrNothing));
                let outcomes = futures_util::future::try_join_all(recording).await.unwrap();
                oracle = explain(&store, &oracle, &batches, &outcomes).await;
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
        }
        let total = store.stats(&Selection::default()).await.unwrap();
        oracle.recount(None, Window::ALL).assert_equals(&total);
    }
    check(&store, &oracle, &windows).await;
    store.close().await.unwrap();
    drop(store);
    let report = verify(directory.path(), &mut |_, _| {}).unwrap();
    assert!(report.is_sound(), "{report:?}");
    oracle
        .recount(None, Window::ALL)
        .assert_equals(&report.stats);
}

/// After each step, starts a store on a copy, as after a kill at this time, and checks the content. Also in the middle of sealing.
async fn kill_after_each(steps: Vec<Step>, options: EmbeddedOptions) {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path(), options.clone());
    let mut oracle = Oracle::default();
    for step in steps {
        match step {
            Step::Record(batches) => {
                for batch in batches {
                    let batch = to_batch(&batch);
                    let outcome = store.record(batch.clone(), RecordMode::AllOrNothing);
                    assert_eq!(outcome.await.unwrap(), oracle.record(&batch));
                }
            }
            Step::Seal => store.seal().await.unwrap(),
            Step::Restart => {
                store.close().await.unwrap();
                drop(store);
                store = open(directory.path(), options.clone());
            }
            Step::Crash => {}
        }
        let killed = copy(directory.path());
        let started = open(killed.path(), options.clone());
        check(&started, &oracle, &[Window::ALL]).await;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn any_history_equals_the_oracle(
        steps in prop::collection::vec(step(), 1..25),
        options in options(),
        windows in prop::collection::vec((bound(), bound()).prop_map(|(from, to)| Window { from, to }), 1..4),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(live(steps, options, windows));
    }

}

proptest! {
    // Each step opens a store.
    #![proptest_config(ProptestConfig { cases: (cases() / 4).max(1), ..ProptestConfig::default() })]

    #[test]
    fn killed_after_any_commit_a_store_comes_back_with_every_reading(
        steps in prop::collection::vec(step(), 1..16),
        options in options(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(kill_after_each(steps, options));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn every_permutation_has_the_same_statistics(
        (readings, shuffled) in prop::collection::btree_map((0u8..4, 0i64..200), -1000i64..1000, 1..80)
            .prop_map(|map| map.into_iter().map(|((s, at), value)| (s, at, value)).collect::<Vec<_>>())
            .prop_flat_map(|readings| (Just(readings.clone()), Just(readings).prop_shuffle())),
        group in 1usize..20,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let stats = |readings: Vec<(u8, i64, i64)>, group: usize| runtime.block_on(async {
            let directory = tempfile::tempdir().unwrap();
            let store = open(directory.path(), small());
            for part in readings.chunks(group) {
                store.record(to_batch(part), RecordMode::AllOrNothing).await.unwrap();
            }
            store.stats(&Selection::default()).await.unwrap()
        });
        prop_assert_eq!(stats(readings, 80), stats(shuffled, group));
    }
}

/// The number of cases. A history takes many flushes: a quarter of the usual number, or of `PROPTEST_CASES`.
fn cases() -> u32 {
    (ProptestConfig::default().cases / 4).max(1)
}

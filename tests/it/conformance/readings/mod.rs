//! What every readings backend promises.

mod moments;

use fieldstation::error::StoreErrorKind;
use fieldstation::readings::{
    Outcome, ReadingStore, RecordMode, Selection, SensorId, Stats, Timestamp, Window,
};
use futures_util::TryStreamExt;

use self::moments::{
    a_batch_is_seen_whole_or_not_at_all, a_concurrent_write_is_never_lost_from_the_statistics,
    a_sensor_that_appears_is_seen_with_its_readings, extremes_that_move_are_those_of_the_moment,
};
use super::oracle::{Oracle, Recount, batch, point};

/// Each behaviour on each backend, as a test of its own: `embedded::a_new_reading_is_recorded`.
macro_rules! suite {
    ($($behaviour:ident),* $(,)?) => {
        mod embedded {
            $(
                #[tokio::test]
                async fn $behaviour() {
                    let backend = crate::embedded::Backend::new();
                    super::$behaviour(backend.store()).await;
                    backend.close().await;
                }
            )*
        }

        #[cfg(feature = "cloud")]
        mod dynamodb {
            $(
                #[tokio::test]
                async fn $behaviour() {
                    let kind = crate::support::DynamoKind::Dynoxide;
                    let backend = crate::dynamodb::Backend::new(kind).await;
                    super::$behaviour(backend.store()).await;
                    backend.close().await;
                }
            )*
        }

        #[cfg(feature = "cloud")]
        mod dynamodb_local {
            $(
                #[tokio::test]
                async fn $behaviour() {
                    let kind = crate::support::DynamoKind::Local;
                    let backend = crate::dynamodb::Backend::new(kind).await;
                    super::$behaviour(backend.store()).await;
                    backend.close().await;
                }
            )*
        }
    };
}

suite![
    an_empty_store_has_no_statistics,
    a_new_reading_is_recorded_and_read_back,
    the_same_reading_again_changes_nothing,
    another_temperature_replaces_the_first,
    of_two_in_a_batch_the_later_stands,
    a_replaced_extreme_leaves_the_statistics,
    a_late_reading_is_counted_and_in_order,
    the_order_of_arrival_never_matters,
    windows_are_half_open,
    sensors_are_paged_in_order,
    readings_are_paged_in_order,
    a_series_counts_every_reading_once,
    a_series_of_a_reading_has_one_bucket,
    an_export_is_ordered_and_complete,
    unknown_sensors_are_none,
    the_last_moment_there_is_has_a_bucket,
    the_ends_of_time_and_temperature_are_stored,
    a_concurrent_write_is_never_lost_from_the_statistics,
    a_batch_is_seen_whole_or_not_at_all,
    extremes_that_move_are_those_of_the_moment,
    a_sensor_that_appears_is_seen_with_its_readings,
    a_closed_store_refuses_writes,
];

fn id(text: &str) -> SensorId {
    SensorId::new(text).unwrap()
}

fn time(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros).unwrap()
}

async fn record(store: &dyn ReadingStore, readings: &[(&str, i64, i64)]) -> Outcome {
    store
        .record(batch(readings.iter().copied()), RecordMode::AllOrNothing)
        .await
        .unwrap()
}

async fn total(store: &dyn ReadingStore) -> Stats {
    store.stats(&Selection::default()).await.unwrap()
}

fn counts(recorded: u64, unchanged: u64, replaced: u64) -> Outcome {
    Outcome {
        recorded,
        unchanged,
        replaced,
        refused: Vec::new(),
    }
}

async fn an_empty_store_has_no_statistics(store: &dyn ReadingStore) {
    assert_eq!(total(store).await, Stats::EMPTY);
    assert_eq!(store.sensor_count().await.unwrap(), 0);
    assert!(store.sensors(None, 10).await.unwrap().items.is_empty());
    let exported: Vec<_> = store
        .export(&Selection::default())
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    assert!(exported.is_empty());
    store.ready().await.unwrap();
}

async fn a_new_reading_is_recorded_and_read_back(store: &dyn ReadingStore) {
    assert_eq!(record(store, &[("a", 5, 21)]).await, counts(1, 0, 0));
    let summary = store.sensor(&id("a")).await.unwrap().unwrap();
    assert_eq!(summary.first, time(5));
    assert_eq!(summary.last, time(5));
    assert_eq!(summary.latest.micro_degrees(), 21);
    let page = store
        .readings(&id("a"), Window::ALL, 10)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((page.items, page.more), (vec![point(5, 21)], false));
}

async fn the_same_reading_again_changes_nothing(store: &dyn ReadingStore) {
    record(store, &[("a", 5, 21), ("b", 5, 4)]).await;
    let before = total(store).await;
    assert_eq!(
        record(store, &[("b", 5, 4), ("a", 5, 21)]).await,
        counts(0, 2, 0)
    );
    assert_eq!(total(store).await, before);
}

async fn another_temperature_replaces_the_first(store: &dyn ReadingStore) {
    record(store, &[("a", 5, 21), ("a", 6, 30)]).await;
    assert_eq!(record(store, &[("a", 6, 10)]).await, counts(0, 0, 1));
    let summary = store.sensor(&id("a")).await.unwrap().unwrap();
    assert_eq!(summary.latest.micro_degrees(), 10);
    assert_eq!(summary.stats.sum_micro_degrees(), 31);
    assert_eq!(summary.stats.maximum().unwrap().micro_degrees(), 21);
}

async fn of_two_in_a_batch_the_later_stands(store: &dyn ReadingStore) {
    assert_eq!(
        record(store, &[("a", 5, 21), ("a", 5, 7), ("a", 5, 7)]).await,
        counts(1, 1, 1)
    );
    assert_eq!(total(store).await.sum_micro_degrees(), 7);
    assert_eq!(total(store).await.count(), 1);
}

async fn a_replaced_extreme_leaves_the_statistics(store: &dyn ReadingStore) {
    record(
        store,
        &[("a", 1, -50), ("a", 2, 0), ("b", 1, 3), ("b", 2, 90)],
    )
    .await;
    record(store, &[("a", 1, 1), ("b", 2, 2)]).await;
    let stats = total(store).await;
    assert_eq!(stats.minimum().unwrap().micro_degrees(), 0);
    assert_eq!(stats.maximum().unwrap().micro_degrees(), 3);
    assert_eq!(stats.sum_micro_degrees(), 6);
}

async fn a_late_reading_is_counted_and_in_order(store: &dyn ReadingStore) {
    record(store, &[("a", 10, 1), ("a", 30, 3)]).await;
    assert_eq!(
        record(store, &[("a", 20, 2), ("a", 5, 0)]).await,
        counts(2, 0, 0)
    );
    let page = store
        .readings(&id("a"), Window::ALL, 10)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        page.items,
        vec![point(5, 0), point(10, 1), point(20, 2), point(30, 3)]
    );
    let summary = store.sensor(&id("a")).await.unwrap().unwrap();
    assert_eq!((summary.first, summary.last), (time(5), time(30)));
    assert_eq!(summary.latest.micro_degrees(), 3);
}

async fn the_order_of_arrival_never_matters(store: &dyn ReadingStore) {
    let mut readings: Vec<(&str, i64, i64)> = (0..60)
        .map(|n| {
            (
                ["a", "b", "c"][n % 3],
                n as i64 * 7,
                1_000_003 * (n as i64 * n as i64 % 17 - 8),
            )
        })
        .collect();
    record(store, &readings).await;
    let stats = total(store).await;
    let oracle = Recount::of(
        readings
            .iter()
            .map(|r| point(0, r.2).temperature)
            .collect::<Vec<_>>()
            .iter(),
    );
    oracle.assert_equals(&stats);
    // The same again, backwards and in other groups, as other sensors: the same statistics each.
    readings.reverse();
    for (round, group) in [1usize, 7, 60].into_iter().enumerate() {
        for part in readings.chunks(group) {
            let names: Vec<String> = part.iter().map(|(s, ..)| format!("{round}{s}")).collect();
            let part: Vec<_> = names
                .iter()
                .zip(part)
                .map(|(name, r)| (name.as_str(), r.1, r.2))
                .collect();
            record(store, &part).await;
        }
        for sensor in ["a", "b", "c"] {
            let selection = |name: String| Selection {
                sensor: Some(id(&name)),
                window: Window::ALL,
            };
            assert_eq!(
                store
                    .stats(&selection(format!("{round}{sensor}")))
                    .await
                    .unwrap(),
                store.stats(&selection(sensor.to_owned())).await.unwrap(),
            );
        }
    }
}

async fn windows_are_half_open(store: &dyn ReadingStore) {
    record(
        store,
        &[("a", 10, 1), ("a", 20, 2), ("b", 20, 4), ("b", 30, 8)],
    )
    .await;
    let sum = async |sensor: Option<&str>, from: Option<i64>, to: Option<i64>| {
        let window = Window {
            from: from.map(time),
            to: to.map(time),
        };
        let selection = Selection {
            sensor: sensor.map(id),
            window,
        };
        store.stats(&selection).await.unwrap().sum_micro_degrees()
    };
    assert_eq!(sum(None, Some(20), Some(30)).await, 6);
    assert_eq!(sum(None, Some(10), Some(20)).await, 1);
    assert_eq!(sum(None, None, Some(20)).await, 1);
    assert_eq!(sum(None, Some(21), None).await, 8);
    assert_eq!(sum(Some("a"), Some(11), None).await, 2);
    assert_eq!(sum(Some("b"), Some(20), Some(20)).await, 0);
    assert_eq!(sum(Some("b"), Some(30), Some(20)).await, 0);
}

async fn sensors_are_paged_in_order(store: &dyn ReadingStore) {
    let names = ["b", "a", "ab", "B", "é", "10", "9"];
    for (n, name) in names.iter().enumerate() {
        record(store, &[(name, n as i64, n as i64)]).await;
    }
    let mut sorted = names;
    sorted.sort_unstable();
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = store.sensors(after.as_ref(), 2).await.unwrap();
        assert!(page.items.len() <= 2);
        found.extend(page.items.iter().map(|s| s.sensor.to_string()));
        after = page.items.last().map(|s| s.sensor.clone());
        if !page.more {
            break;
        }
    }
    assert_eq!(found, sorted);
    assert_eq!(store.sensor_count().await.unwrap(), 7);
}

async fn readings_are_paged_in_order(store: &dyn ReadingStore) {
    let all: Vec<_> = (0..25).map(|n| ("a", n * 10, n)).collect();
    record(store, &all).await;
    let (mut found, mut from) = (Vec::new(), None);
    loop {
        let window = Window {
            from,
            to: Some(time(240)),
        };
        let page = store.readings(&id("a"), window, 7).await.unwrap().unwrap();
        found.extend(page.items.iter().map(|p| p.temperature.micro_degrees()));
        from = page.items.last().map(|p| time(p.timestamp.micros() + 1));
        if !page.more {
            break;
        }
    }
    assert_eq!(found, (0..24).collect::<Vec<_>>());
}

async fn a_series_counts_every_reading_once(store: &dyn ReadingStore) {
    let all: Vec<_> = (0..1000).map(|n| ("a", n * 3, n % 17)).collect();
    record(store, &all).await;
    for points in [1, 2, 7, 500, 999, 1000, 3000, 5000] {
        let series = store
            .series(&id("a"), Window::ALL, points)
            .await
            .unwrap()
            .unwrap();
        assert!(series.buckets.len() <= points);
        assert_eq!((series.from, series.to), (time(0), time(2998)));
        let mut sum = Stats::EMPTY;
        for (bucket, next) in series.buckets.iter().zip(
            series
                .buckets
                .iter()
                .skip(1)
                .map(|b| b.start)
                .chain([series.to]),
        ) {
            let window = Window {
                from: Some(bucket.start),
                to: Some(next),
            };
            let selection = Selection {
                sensor: Some(id("a")),
                window,
            };
            assert_eq!(
                store.stats(&selection).await.unwrap(),
                bucket.stats,
                "{points} points"
            );
            sum.merge(&bucket.stats);
            if series.buckets.len() > 100 {
                break; // One window by itself is enough of the long ones.
            }
        }
        if series.buckets.len() <= 100 {
            assert_eq!(sum, total(store).await);
        }
        assert_eq!(
            series.buckets.iter().map(|b| b.stats.count()).sum::<u64>(),
            1000
        );
    }
}

async fn a_series_of_a_reading_has_one_bucket(store: &dyn ReadingStore) {
    record(store, &[("a", 10, 1)]).await;
    let series = store
        .series(&id("a"), Window::ALL, 500)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(series.buckets.len(), 1);
    assert_eq!(series.buckets[0].stats.count(), 1);
    let window = Window {
        from: Some(time(20)),
        to: Some(time(40)),
    };
    let series = store.series(&id("a"), window, 4).await.unwrap().unwrap();
    assert_eq!(series.buckets.len(), 4);
    assert!(
        series
            .buckets
            .iter()
            .all(|bucket| bucket.stats == Stats::EMPTY)
    );
}

async fn an_export_is_ordered_and_complete(store: &dyn ReadingStore) {
    let mut oracle = Oracle::default();
    for n in 0..300i64 {
        let sensor = format!("s{}", n % 7);
        let readings = batch([(sensor.as_str(), (n * 7919) % 1009, n)]);
        oracle.record(&readings);
        store
            .record(readings, RecordMode::AllOrNothing)
            .await
            .unwrap();
    }
    for window in [
        Window::ALL,
        Window {
            from: Some(time(100)),
            to: Some(time(800)),
        },
    ] {
        let selection = Selection {
            sensor: None,
            window,
        };
        let blocks: Vec<_> = store
            .export(&selection)
            .await
            .unwrap()
            .try_collect()
            .await
            .unwrap();
        let exported: Vec<_> = blocks
            .into_iter()
            .flat_map(|block| {
                block
                    .points
                    .into_iter()
                    .map(move |p| (block.sensor.clone(), p))
            })
            .collect();
        let expected: Vec<_> = oracle
            .sensors()
            .into_iter()
            .flat_map(|s| {
                oracle
                    .points(&s, window)
                    .into_iter()
                    .map(move |p| (s.clone(), p))
            })
            .collect();
        assert_eq!(exported, expected);
    }
}

async fn unknown_sensors_are_none(store: &dyn ReadingStore) {
    record(store, &[("a", 10, 1)]).await;
    assert!(store.sensor(&id("b")).await.unwrap().is_none());
    assert!(
        store
            .readings(&id("b"), Window::ALL, 10)
            .await
            .unwrap()
            .is_none()
    );
    assert!(
        store
            .series(&id("b"), Window::ALL, 10)
            .await
            .unwrap()
            .is_none()
    );
    let selection = Selection {
        sensor: Some(id("b")),
        window: Window::ALL,
    };
    assert_eq!(store.stats(&selection).await.unwrap(), Stats::EMPTY);
    assert!(
        store
            .export(&selection)
            .await
            .unwrap()
            .try_next()
            .await
            .unwrap()
            .is_none()
    );
}

async fn the_last_moment_there_is_has_a_bucket(store: &dyn ReadingStore) {
    record(store, &[("a", Timestamp::MAX.micros(), 1)]).await;
    let series = store.series(&id("a"), Window::ALL, 10).await.unwrap();
    let series = series.unwrap();
    assert_eq!(series.buckets.len(), 1, "{series:?}");
    assert_eq!(series.buckets[0].stats.count(), 1);
    let from_later = Window {
        from: Some(time(1)),
        to: None,
    };
    record(store, &[("b", 0, 1)]).await;
    let series = store.series(&id("b"), from_later, 10).await.unwrap();
    assert!(series.unwrap().buckets.is_empty());
}

async fn the_ends_of_time_and_temperature_are_stored(store: &dyn ReadingStore) {
    let (first, last) = (Timestamp::MIN.micros(), Timestamp::MAX.micros());
    let readings = [
        ("a", first, -273_150_000),
        ("a", last, 1_000_000_000_000),
        ("a", 0, 0),
    ];
    assert_eq!(record(store, &readings).await, counts(3, 0, 0));
    let page = store
        .readings(&id("a"), Window::ALL, 10)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(page.items.len(), 3);
    let series = store
        .series(&id("a"), Window::ALL, 10)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        series.buckets.iter().map(|b| b.stats.count()).sum::<u64>(),
        3
    );
    let exported: Vec<_> = store
        .export(&Selection::default())
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    assert_eq!(
        exported
            .iter()
            .map(|block| block.points.len())
            .sum::<usize>(),
        3
    );
}

async fn a_closed_store_refuses_writes(store: &dyn ReadingStore) {
    record(store, &[("a", 1, 1)]).await;
    store.close().await.unwrap();
    let refused = store
        .record(batch([("a", 2, 2)]), RecordMode::AllOrNothing)
        .await
        .unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Unavailable);
    assert!(store.ready().await.is_err());
    store.close().await.unwrap();
}

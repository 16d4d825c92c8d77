//! The promises of every backend of readings.

mod queries;
mod snapshots;

use fieldstation::error::StoreErrorKind;
use fieldstation::readings::{
    Outcome, ReadingStore, RecordMode, Selection, SensorId, Stats, Timestamp, Window,
};
use futures_util::TryStreamExt;

use self::queries::{
    a_series_counts_every_reading_once, a_series_includes_the_last_possible_timestamp,
    a_window_excludes_its_end, an_export_is_ordered_and_complete,
    an_unknown_sensor_has_no_readings, readings_are_paged_in_order, sensors_are_paged_in_order,
    the_series_of_one_reading_has_one_bucket,
};
use self::snapshots::{
    a_new_sensor_is_never_seen_without_its_readings, a_reader_sees_all_of_a_batch_or_none,
    extremes_always_match_the_readings_that_are_counted, statistics_count_every_concurrent_write,
};
use super::oracle::{Recount, batch, point};

/// Makes a test of each promise and each backend, such as `embedded::an_empty_store_has_no_statistics`.
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
    a_new_reading_is_recorded_and_can_be_read,
    the_same_reading_again_changes_nothing,
    another_temperature_replaces_the_first,
    of_two_readings_of_a_time_in_a_batch_the_later_counts,
    a_replaced_extreme_no_longer_counts_in_the_statistics,
    a_late_reading_is_counted_and_read_in_order,
    statistics_do_not_depend_on_the_order_of_arrival,
    a_window_excludes_its_end,
    sensors_are_paged_in_order,
    readings_are_paged_in_order,
    a_series_counts_every_reading_once,
    the_series_of_one_reading_has_one_bucket,
    an_export_is_ordered_and_complete,
    an_unknown_sensor_has_no_readings,
    a_series_includes_the_last_possible_timestamp,
    the_extremes_of_time_and_temperature_can_be_stored,
    statistics_count_every_concurrent_write,
    a_reader_sees_all_of_a_batch_or_none,
    extremes_always_match_the_readings_that_are_counted,
    a_new_sensor_is_never_seen_without_its_readings,
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

async fn a_new_reading_is_recorded_and_can_be_read(store: &dyn ReadingStore) {
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

async fn of_two_readings_of_a_time_in_a_batch_the_later_counts(store: &dyn ReadingStore) {
    assert_eq!(
        record(store, &[("a", 5, 21), ("a", 5, 7), ("a", 5, 7)]).await,
        counts(1, 1, 1)
    );
    assert_eq!(total(store).await.sum_micro_degrees(), 7);
    assert_eq!(total(store).await.count(), 1);
}

async fn a_replaced_extreme_no_longer_counts_in_the_statistics(store: &dyn ReadingStore) {
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

async fn a_late_reading_is_counted_and_read_in_order(store: &dyn ReadingStore) {
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

async fn statistics_do_not_depend_on_the_order_of_arrival(store: &dyn ReadingStore) {
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
    // The same readings in reverse order and in other batches, for other sensors, give the same statistics.
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

async fn the_extremes_of_time_and_temperature_can_be_stored(store: &dyn ReadingStore) {
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

//! Queries: windows, pages, series and exports.

use fieldstation::readings::{ReadingStore, RecordMode, Selection, Stats, Timestamp, Window};
use futures_util::TryStreamExt;

use super::{id, record, time, total};
use crate::conformance::oracle::{Oracle, batch};

pub(super) async fn a_window_excludes_its_end(store: &dyn ReadingStore) {
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

pub(super) async fn sensors_are_paged_in_order(store: &dyn ReadingStore) {
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

pub(super) async fn readings_are_paged_in_order(store: &dyn ReadingStore) {
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

pub(super) async fn a_series_counts_every_reading_once(store: &dyn ReadingStore) {
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
                break; // For long series the first window is enough.
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

pub(super) async fn the_series_of_one_reading_has_one_bucket(store: &dyn ReadingStore) {
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

pub(super) async fn an_export_is_ordered_and_complete(store: &dyn ReadingStore) {
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

pub(super) async fn an_unknown_sensor_has_no_readings(store: &dyn ReadingStore) {
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

pub(super) async fn a_series_includes_the_last_possible_timestamp(store: &dyn ReadingStore) {
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

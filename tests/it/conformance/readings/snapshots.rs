//! Reads during concurrent writes: each read sees a single snapshot.

use fieldstation::readings::{ReadingStore, Selection, Window};
use futures_util::TryStreamExt;

use super::{id, record, time, total};

pub(super) async fn statistics_count_every_concurrent_write(store: &dyn ReadingStore) {
    let writers = (0..16i64).map(|writer| async move {
        for n in 0..50 {
            // Two writers write each reading, and four writers share each sensor.
            let sensor = format!("s{}", writer / 4);
            let outcome = record(store, &[(&sensor, (writer / 2) * 1000 + n, n)]).await;
            assert_eq!(outcome.recorded + outcome.unchanged, 1);
            let stats = total(store).await;
            assert!(stats.count() >= n as u64);
        }
    });
    futures_util::future::join_all(writers).await;
    let stats = total(store).await;
    assert_eq!(stats.count(), 8 * 50);
    assert_eq!(stats.sum_micro_degrees(), 8 * (0..50).sum::<i128>());
}

pub(super) async fn a_reader_sees_all_of_a_batch_or_none(store: &dyn ReadingStore) {
    let writing = async {
        for n in 0..100i64 {
            let readings = [
                ("a", 2 * n, 5),
                ("a", 2 * n + 1, -5),
                ("b", n, 7),
                ("c", n, -7),
            ];
            record(store, &readings).await;
        }
    };
    let reading = async {
        loop {
            let stats = total(store).await;
            assert_eq!((stats.count() % 4, stats.sum_micro_degrees()), (0, 0));
            let window = Window {
                from: Some(time(0)),
                to: Some(time(1_000_000)),
            };
            let stats = store
                .stats(&Selection {
                    sensor: None,
                    window,
                })
                .await
                .unwrap();
            assert_eq!((stats.count() % 4, stats.sum_micro_degrees()), (0, 0));
            let export = store.export(&Selection::default()).await.unwrap();
            let blocks: Vec<_> = export.try_collect().await.unwrap();
            assert_eq!(
                blocks.iter().map(|block| block.points.len()).sum::<usize>() % 4,
                0
            );
            let page = store.sensors(None, 10).await.unwrap();
            let counts = page.items.iter().map(|it| it.stats.count());
            let counts: Vec<_> = counts.collect();
            match counts[..] {
                [] => {}
                [a, b, c] => assert!(a == 2 * b && b == c, "{counts:?}"),
                _ => panic!("{counts:?}"),
            }
            if stats.count() == 400 {
                break;
            }
            tokio::task::yield_now().await;
        }
    };
    futures_util::future::join(writing, reading).await;
}

pub(super) async fn extremes_always_match_the_readings_that_are_counted(store: &dyn ReadingStore) {
    const COUNT: i64 = 150;
    let sensors = ["a", "b", "c", "d", "e"];
    let writing = async {
        // Every reading is a new maximum. Each tenth reading is then replaced by a lower reading.
        for n in 1..=COUNT {
            let sensor = sensors[n as usize % sensors.len()];
            record(store, &[(sensor, n, 1_000 + n)]).await;
            if n % 10 == 0 {
                record(store, &[(sensor, n, 0)]).await;
            }
        }
    };
    let reading = async {
        loop {
            let stats = total(store).await;
            let count = stats.count() as i64;
            let (minimum, maximum) = (stats.minimum(), stats.maximum());
            let [minimum, maximum] = [minimum, maximum].map(|it| it.map(|it| it.micro_degrees()));
            let plain: i64 = (1..=count).filter(|n| n % 10 != 0).map(|n| 1_000 + n).sum();
            let replaced =
                count > 0 && count % 10 == 0 && stats.sum_micro_degrees() == i128::from(plain);
            let is_to_be_replaced = count > 0 && count % 10 == 0 && !replaced;
            let last = if is_to_be_replaced { 1_000 + count } else { 0 };
            assert_eq!(
                stats.sum_micro_degrees(),
                i128::from(plain + last),
                "{stats:?}"
            );
            if count > 0 {
                let highest = 1_000 + count - i64::from(replaced);
                assert_eq!(maximum, Some(highest), "{stats:?}");
                let lowest = if count > 10 || replaced { 0 } else { 1_001 };
                assert_eq!(minimum, Some(lowest), "{stats:?}");
            }
            if count == COUNT && replaced {
                break;
            }
            tokio::task::yield_now().await;
        }
    };
    futures_util::future::join(writing, reading).await;
}

pub(super) async fn a_new_sensor_is_never_seen_without_its_readings(store: &dyn ReadingStore) {
    for n in 0..40 {
        let sensor = format!("sensor-{n}");
        let id = id(&sensor);
        let readings = [(sensor.as_str(), 1, 5), (sensor.as_str(), 9, -5)];
        let writing = record(store, &readings);
        let charting = async {
            loop {
                let series = store.series(&id, Window::ALL, 1).await.unwrap();
                if let Some(series) = series {
                    assert_eq!((series.from, series.to), (time(1), time(10)));
                    assert_eq!(series.buckets[0].stats.count(), 2, "{series:?}");
                    break;
                }
            }
        };
        let paging = async {
            loop {
                let page = store.readings(&id, Window::ALL, 10).await.unwrap();
                if let Some(page) = page {
                    assert_eq!(page.items.len(), 2);
                    break;
                }
            }
        };
        futures_util::future::join3(writing, charting, paging).await;
    }
}

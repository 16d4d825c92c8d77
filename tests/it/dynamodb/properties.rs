//! Random writes through two replicas in turns: each replica sees the writes of the other exactly, also when an extreme is
//! replaced.

use std::time::{Duration, Instant};

use aws_sdk_dynamodb::types::AttributeValue;
use fieldstation::readings::dynamodb::{DynamoOptions, DynamoStore};
use fieldstation::readings::{ReadingStore, RecordMode, Selection, SensorId, Timestamp, Window};

use super::existing::client;
use super::{assert_consistent, credentials, location, options};
use crate::conformance::Oracle;
use crate::conformance::oracle::batch;
use crate::support::{DynamoServer, Fault, FaultProxy, Random};

#[tokio::test]
async fn replicas_in_turns_agree_with_a_recount_after_every_write() {
    let dynamo = DynamoServer::start();
    let location = location(&dynamo.url());
    DynamoStore::create_tables(&location, Some(&credentials()))
        .await
        .unwrap();
    let mut stores = Vec::new();
    for _ in 0..2 {
        stores.push(DynamoStore::open(&location, options()).await.unwrap());
    }
    let seed = Random::any_seed();
    println!("seed {seed}");
    let mut random = Random::new(seed);
    let mut oracle = Oracle::default();
    for round in 0..120 {
        let readings: Vec<_> = (0..=random.below(5))
            .map(|_| {
                let sensor = ["a", "b"][random.below(2) as usize];
                let micros = random.below(8) as i64 * 500_000;
                (sensor, micros, random.below(9) as i64 - 4)
            })
            .collect();
        let readings = batch(readings);
        let expected = oracle.record(&readings);
        let writer = random.below(2) as usize;
        let outcome = stores[writer]
            .record(readings, RecordMode::AllOrNothing)
            .await;
        assert_eq!(outcome.unwrap(), expected, "round {round}");
        // Sometimes a replica starts again and takes the former lease.
        if random.one_in(30) {
            let store = stores.remove(writer);
            store.close().await.unwrap();
            drop(store);
            stores.insert(
                writer,
                DynamoStore::open(&location, options()).await.unwrap(),
            );
        }
        let reader = &stores[1 - writer];
        let time = |micros| Timestamp::from_micros(micros);
        let window = Window {
            from: time(500_000),
            to: time(3_000_001),
        };
        for sensor in [None, SensorId::new("a").ok(), SensorId::new("b").ok()] {
            for window in [Window::ALL, window] {
                let selection = Selection {
                    sensor: sensor.clone(),
                    window,
                };
                let stats = reader.stats(&selection).await.unwrap();
                oracle
                    .recount(sensor.as_ref(), window)
                    .assert_equals(&stats);
            }
            let Some(sensor) = sensor else {
                continue;
            };
            let points = oracle.points(&sensor, Window::ALL);
            let summary = reader.sensor(&sensor).await.unwrap();
            let known = summary.map(|it| (it.first, it.last, it.latest));
            let expected = points
                .first()
                .zip(points.last())
                .map(|(first, last)| (first.timestamp, last.timestamp, last.temperature));
            assert_eq!(known, expected, "round {round}");
        }
    }
    for store in stores {
        store.close().await.unwrap();
    }
    assert_consistent(&dynamo.url()).await;
}

/// The owner of the first lease, and whether the lease is owned.
async fn owner(dynamo: &DynamoServer) -> (String, bool) {
    let found = client(dynamo)
        .get_item()
        .table_name("test-temperature-readings-aggregation")
        .key("aggregation_period", AttributeValue::S("slots".to_owned()))
        .key("cell", AttributeValue::S("r000".to_owned()))
        .consistent_read(true)
        .send()
        .await
        .unwrap();
    let item = found.item.unwrap();
    let is_owned = item["lease_until"].as_n().unwrap() != "0";
    (item["owner"].as_s().unwrap().clone(), is_owned)
}

#[tokio::test]
async fn a_replica_that_was_cut_off_loses_its_lease_and_comes_back_with_another() {
    let dynamo = DynamoServer::start();
    let direct = location(&dynamo.url());
    DynamoStore::create_tables(&direct, Some(&credentials()))
        .await
        .unwrap();
    let options = DynamoOptions {
        lease_duration: Duration::from_secs(1),
        ..options()
    };
    let record = async |store: &DynamoStore, micros: i64, value: i64| {
        let readings = batch([("a", micros, value)]);
        store
            .record(readings, RecordMode::AllOrNothing)
            .await
            .unwrap()
    };
    let proxy = FaultProxy::start(dynamo.address());
    let through_proxy = location(&dynamo.url_through(proxy.address()));
    let first = DynamoStore::open(&through_proxy, options.clone())
        .await
        .unwrap();
    record(&first, 1, 10).await;
    let (owner_before, _) = owner(&dynamo).await;
    let watcher = DynamoStore::open(&direct, options.clone()).await.unwrap();
    // The replica still counts on the lease, because no message reaches the replica.
    proxy.set(Fault::Blackhole);
    let cut_off = Instant::now();
    while owner(&dynamo).await.1 {
        assert!(cut_off.elapsed() < Duration::from_secs(10), "never freed");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let second = DynamoStore::open(&direct, options).await.unwrap();
    assert_ne!(owner(&dynamo).await.0, owner_before);
    record(&second, 2, 30).await;
    record(&second, 1, 20).await;
    let (owner_between, _) = owner(&dynamo).await;
    proxy.set(Fault::None);
    // The replica's known sensors and write shard are out of date.
    record(&first, 3, 40).await;
    record(&first, 2, 35).await;
    assert_eq!(owner(&dynamo).await.0, owner_between);
    for store in [first, second, watcher] {
        let stats = store.stats(&Selection::default()).await.unwrap();
        assert_eq!((stats.count(), stats.sum_micro_degrees()), (3, 95));
        assert_eq!(stats.minimum().unwrap().micro_degrees(), 20);
        assert_eq!(stats.maximum().unwrap().micro_degrees(), 40);
        store.close().await.unwrap();
    }
    assert_consistent(&dynamo.url()).await;
}

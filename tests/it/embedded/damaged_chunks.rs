//! A chunk is damaged while the store is open: other readings are stored all the same.

use std::path::Path;

use fieldstation::error::StoreErrorKind;
use fieldstation::readings::embedded::EmbeddedStore;
use fieldstation::readings::{ReadingStore, RecordMode, Selection, SensorId, Window};

use super::damage::assert_named;
use super::{open, small};
use crate::conformance::oracle::batch;

#[tokio::test]
async fn a_damaged_chunk_does_not_hold_up_new_readings() {
    let directory = tempfile::tempdir().unwrap();
    fill_chunks(directory.path()).await;
    destroy_chunks(directory.path());
    let store = open(directory.path(), small());
    // A late reading of the sensor with damaged chunks could be a repetition, so the store refuses the reading and names the sensor.
    let late = store
        .record(batch([("roof", 10, 1)]), RecordMode::AllOrNothing)
        .await
        .unwrap_err();
    assert_eq!(late.kind(), StoreErrorKind::Damaged);
    for round in 0..20 {
        let readings = (0..10).flat_map(|n| {
            [
                ("roof", 10_000 + round * 10 + n, n),
                ("boiler", 10_000 + round * 10 + n, n),
            ]
        });
        store
            .record(batch(readings), RecordMode::AllOrNothing)
            .await
            .unwrap();
    }
    let window = Window {
        from: fieldstation::readings::Timestamp::from_micros(5_000),
        to: None,
    };
    let stats = store
        .stats(&Selection {
            sensor: None,
            window,
        })
        .await
        .unwrap();
    assert_eq!(stats.count(), 400);
    store.close().await.unwrap();
    drop(store);
    let store = open(directory.path(), small());
    assert_eq!(
        store
            .stats(&Selection {
                sensor: None,
                window
            })
            .await
            .unwrap()
            .count(),
        400
    );
}

/// Fills a store. All readings are in chunks. The second sensor is `roof`.
async fn fill_chunks(directory: &Path) {
    let store = open(directory, small());
    for name in ["boiler", "roof"] {
        let readings = (0..90).map(|at| (name, 1 + at * 3, at));
        store
            .record(batch(readings), RecordMode::AllOrNothing)
            .await
            .unwrap();
    }
    store.seal().await.unwrap();
    store.close().await.unwrap();
}

/// Destroys the chunks of `roof`.
fn destroy_chunks(directory: &Path) {
    rusqlite::Connection::open(directory.join("readings.db"))
        .unwrap()
        .execute("UPDATE chunk_data SET data = zeroblob(20) WHERE id IN (SELECT data FROM chunks WHERE sensor = 1)", [])
        .unwrap();
}

#[tokio::test]
async fn readings_beside_a_damaged_chunk_are_held_up_to_a_bound_and_the_rest_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    fill_chunks(directory.path()).await;
    // A late reading in the gap between two chunks. The store would merge the reading into a damaged chunk.
    let between = rusqlite::Connection::open(directory.path().join("readings.db"))
        .unwrap()
        .query_row(
            "SELECT max(first) - 1 FROM chunks WHERE sensor = 1",
            [],
            |row| row.get(0),
        )
        .unwrap();
    destroy_chunks(directory.path());
    let store = open(directory.path(), small());
    let record = async |sensor: &str, at: i64| {
        let batch = batch([(sensor, at, at)]);
        store.record(batch, RecordMode::AllOrNothing).await
    };
    record("roof", between).await.unwrap();
    store.seal().await.unwrap();
    let mut held = 0;
    let refused = loop {
        record("boiler", 10_000 + held).await.unwrap();
        match record("roof", 10_000 + held).await {
            Ok(_) => held += 1,
            Err(error) => break error,
        }
        assert!(held < 1_000, "what is held has no bound");
    };
    assert_named(&refused, 0);
    let both = [("roof", 20_000, 1), ("boiler", 20_000, 1)];
    let outcome = store
        .record(batch(both), RecordMode::Partial)
        .await
        .unwrap();
    assert_eq!((outcome.recorded, outcome.refused.len()), (1, 1));
    let counts = async |store: &EmbeddedStore| {
        let count = async |sensor| {
            let sensor = SensorId::new(sensor).unwrap();
            let summary = store.sensor(&sensor).await.unwrap().unwrap();
            summary.stats.count()
        };
        (count("roof").await, count("boiler").await)
    };
    let before = counts(&store).await;
    store.close().await.unwrap();
    drop(store);
    let store = open(directory.path(), small());
    assert_eq!(counts(&store).await, before);
    assert_eq!(before.0, 91 + held as u64);
}

#[tokio::test]
async fn a_batch_that_meets_damage_fails_alone_of_those_in_its_commit() {
    let directory = tempfile::tempdir().unwrap();
    fill_chunks(directory.path()).await;
    let store = open(directory.path(), small());
    // The first reading lies inside a chunk, so a recount decodes the chunk. The second reading is the extreme.
    let readings = [("roof", 8, 1), ("roof", 10_000, 99_000_000)];
    store
        .record(batch(readings), RecordMode::AllOrNothing)
        .await
        .unwrap();
    destroy_chunks(directory.path());
    for round in 0..20 {
        let mut batches = vec![batch([("roof", 10_000, 1)])];
        batches.extend((0..9).map(|n| batch([("boiler", 10_000 + round * 10 + n, n)])));
        let records = batches
            .into_iter()
            .map(|batch| store.record(batch, RecordMode::AllOrNothing));
        let mut answers = futures_util::future::join_all(records).await.into_iter();
        assert_named(&answers.next().unwrap().unwrap_err(), 0);
        for answer in answers {
            assert_eq!(answer.unwrap().recorded, 1);
        }
    }
}

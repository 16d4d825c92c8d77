//! A backup while a server seals the log into chunks: the backup holds complete batches only.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use futures_util::future;

use super::{back_up, restore, verified};
use crate::support::{Client, Server};

const WRITERS: usize = 3;
const SENSORS_OF_A_WRITER: u64 = 50;
/// How many readings of each sensor a writer sends at a time.
const READINGS_OF_A_SENSOR: u64 = 160;
/// The number of all readings: more than a server keeps outside of chunks.
const BATCHES_BEFORE: u64 = 1_100_000 / (SENSORS_OF_A_WRITER * READINGS_OF_A_SENSOR);

#[derive(Default)]
struct Writer {
    sent: AtomicU64,
    acknowledged: AtomicU64,
}

impl Writer {
    async fn write(&self, number: usize, client: Client, is_over: &AtomicBool) {
        while !is_over.load(Ordering::Relaxed) {
            let batch = self.sent.fetch_add(1, Ordering::Relaxed);
            let mut body = "sensorId,timestamp,temperature\n".to_owned();
            for at in batch * READINGS_OF_A_SENSOR..(batch + 1) * READINGS_OF_A_SENSOR {
                let (day, hour) = (1 + at / 86_400, at / 3600 % 24);
                let (minute, second) = (at / 60 % 60, at % 60);
                for sensor in 0..SENSORS_OF_A_WRITER {
                    let hundredths = (at * 7_919 + sensor * 104_729) % 4_001;
                    body.push_str(&format!(
                        "{number}-{sensor},2026-11-{day:02}T{hour:02}:{minute:02}:{second:02}Z,{hundredths}e-2\n"
                    ));
                }
            }
            client.post("", "text/csv", body).await.with_status(200);
            self.acknowledged.fetch_add(1, Ordering::Relaxed);
        }
    }
}

async fn take(writers: &[Writer], directory: &Path, is_over: &AtomicBool) -> Vec<u64> {
    let acknowledged = || -> Vec<_> {
        let batches = writers.iter();
        batches
            .map(|writer| writer.acknowledged.load(Ordering::Relaxed))
            .collect()
    };
    while acknowledged().iter().sum::<u64>() < BATCHES_BEFORE {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let before = acknowledged();
    let directory = directory.to_owned();
    let ended = tokio::task::spawn_blocking(move || back_up(&directory, "backup"));
    ended.await.unwrap().with_code(0);
    is_over.store(true, Ordering::Relaxed);
    before
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_while_much_is_sealed_holds_whole_batches() {
    let server = Server::start();
    let client = server.client();
    let directory = Arc::clone(server.directory());
    let writers: Vec<Writer> = (0..WRITERS).map(|_| Writer::default()).collect();
    let is_over = AtomicBool::new(false);
    let writing = writers
        .iter()
        .enumerate()
        .map(|(number, writer)| writer.write(number, client.clone(), &is_over));
    let (before, _) = tokio::join!(
        take(&writers, directory.path(), &is_over),
        future::join_all(writing),
    );
    drop(server);

    let elsewhere = Arc::new(tempfile::tempdir().unwrap());
    let backup = directory.path().join("backup");
    restore(elsewhere.path(), backup.to_str().unwrap(), "data").with_code(0);
    let report = verified(elsewhere.path(), "data");
    println!("{report:#}");
    assert_ne!(report["chunks"], 0, "nothing was being sealed");
    assert_ne!(report["logRows"], 0, "everything was sealed already");
    let server = Server::try_in(&elsewhere, &[]).unwrap();
    let client = server.client();
    client.until_readiness(200).await;
    let listed = client.get("/api/sensors?limit=1000").await;
    let listed = listed.with_status(200).json();
    let count = |sensor: String| {
        let sensors = listed["sensors"].as_array().unwrap();
        let found = sensors.iter().find(|listed| listed["sensorId"] == sensor);
        found.map_or(0, |found| found["count"].as_u64().unwrap())
    };
    for (number, writer) in writers.iter().enumerate() {
        let batches = count(format!("{number}-0")) / READINGS_OF_A_SENSOR;
        assert!(batches >= before[number], "{batches} of {before:?}");
        assert!(batches <= writer.sent.load(Ordering::Relaxed));
        for sensor in 0..SENSORS_OF_A_WRITER {
            let count = count(format!("{number}-{sensor}"));
            assert_eq!(count, batches * READINGS_OF_A_SENSOR);
        }
    }
}

//! Many writers and readers at once: every answer is a consistent snapshot, and no reader delays a writer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fieldstation::readings::Timestamp;
use futures_util::future;
use serde_json::Value;

use crate::support::{Answer, Client, Server, lines, reading};

const WRITERS: usize = 64;
const BATCHES: usize = 12;
/// Readings of a batch, of two sensors. Their sum is zero.
const BATCH: [(&str, &str); 4] = [
    ("left", "5.5"),
    ("left", "-5.5"),
    ("right", "100"),
    ("right", "-100"),
];

/// A batch of a writer. No other writer uses these timestamps.
fn batch(writer: usize, n: usize) -> String {
    let lines = BATCH.iter().enumerate().map(|(at, (sensor, temperature))| {
        let micros = (writer * BATCHES + n) * BATCH.len() + at;
        reading(
            sensor,
            &format!("2026-11-20T13:00:00.{micros:06}Z"),
            temperature,
        ) + "\n"
    });
    lines.collect()
}

async fn write(client: Client, writer: usize, written: &AtomicU64) {
    for n in 0..BATCHES {
        let outcome = client.store(batch(writer, n)).await.json();
        assert_eq!(outcome["recorded"], BATCH.len(), "{outcome}");
        written.fetch_add(BATCH.len() as u64, Ordering::SeqCst);
    }
}

/// The average is exactly zero in every snapshot.
fn assert_balanced_stats(text: &str) {
    let empty = r#"{"Maximum":null,"Minimum":null,"Average":null}"#;
    let balanced = r#"{"Maximum":100,"Minimum":-100,"Average":0}"#;
    assert!(text == empty || text == balanced, "{text}");
}

fn assert_balanced_export(text: &str) -> u64 {
    let mut sums = [0i64; 2];
    let mut counts = [0u64; 2];
    let mut previous = None;
    for line in text.lines() {
        let reading: Value = serde_json::from_str(line).unwrap();
        let (sensor, time) = (reading["sensorId"].as_str(), reading["timestamp"].as_str());
        let place = (
            sensor.map(ToOwned::to_owned),
            time.unwrap().parse::<Timestamp>().unwrap(),
        );
        assert!(
            previous < Some(place.clone()),
            "out of order, or twice: {line}"
        );
        previous = Some(place);
        let side = usize::from(reading["sensorId"] == "right");
        sums[side] += (reading["temperature"].as_f64().unwrap() * 10.0) as i64;
        counts[side] += 1;
    }
    assert_eq!(sums, [0, 0]);
    assert_eq!(counts[0], counts[1], "half of a batch");
    assert_eq!(counts[0] % 2, 0, "half of a batch");
    counts[0] + counts[1]
}

/// Reads until the writers are done, and once more afterwards. The number of readings never falls, and includes all readings
/// acknowledged before the read.
async fn watch(
    written: &AtomicU64,
    done: &AtomicBool,
    mut read: impl AsyncFnMut() -> Option<u64>,
) -> usize {
    let (mut rounds, mut seen) = (0, 0);
    loop {
        let last = done.load(Ordering::SeqCst);
        let acknowledged = written.load(Ordering::SeqCst);
        if let Some(count) = read().await {
            assert!(
                count >= acknowledged,
                "{count} after {acknowledged} were acknowledged"
            );
            assert!(count >= seen, "{count} after {seen}");
            seen = count;
        }
        rounds += 1;
        if last {
            return rounds;
        }
    }
}

#[tokio::test]
async fn readers_see_only_whole_batches_and_all_that_was_acknowledged() {
    let server = Server::start();
    let client = server.client();
    let (written, done) = (AtomicU64::new(0), AtomicBool::new(false));
    let writing = async {
        let writers = (0..WRITERS).map(|writer| write(client.clone(), writer, &written));
        future::join_all(writers).await;
        done.store(true, Ordering::SeqCst);
    };
    let stats = watch(&written, &done, async || {
        assert_balanced_stats(&client.stats("").await);
        // All time, as a window.
        let window = "?from=2026-11-20T13:00:00Z&to=2026-11-20T13:00:01Z";
        assert_balanced_stats(&client.stats(window).await);
        None
    });
    let export = watch(&written, &done, async || {
        Some(assert_balanced_export(&client.everything().await))
    });
    let series = watch(&written, &done, async || {
        let answer = client.get("/api/sensors/left/series?points=1").await;
        if answer.status == 404 {
            assert_eq!(answer.problem(404, "unknown-sensor")["series"], Value::Null);
            return None;
        }
        let answer = answer.with_status(200).json();
        let bucket = &answer["series"][0];
        assert_eq!(bucket["average"], 0, "{answer}");
        let count = bucket["count"].as_u64().unwrap();
        assert_eq!(count % 2, 0, "{answer}");
        Some(count * 2)
    });
    let sensors = watch(&written, &done, async || {
        let answer = client.get("/api/sensors").await.with_status(200).json();
        let sensors = answer["sensors"].as_array().unwrap();
        assert!(matches!(sensors.len(), 0 | 2), "{answer}");
        let counts: Vec<_> = sensors
            .iter()
            .map(|s| s["count"].as_u64().unwrap())
            .collect();
        assert!(
            counts
                .iter()
                .all(|count| *count == counts[0] && count % 2 == 0),
            "{answer}"
        );
        Some(counts.iter().sum())
    });
    let reading = future::join4(stats, export, series, sensors);
    let ((), rounds) = future::join(writing, reading).await;
    println!("rounds of reading: {rounds:?}");
    let total = (WRITERS * BATCHES * BATCH.len()) as u64;
    assert_eq!(assert_balanced_export(&client.everything().await), total);
}

#[tokio::test]
async fn all_writers_of_one_reading_agree_in_the_end() {
    let server = Server::start();
    let client = server.client();
    let writers = (0..WRITERS).map(|writer| {
        let client = client.clone();
        async move {
            for n in 0..8 {
                let body = reading("a", "2026-11-20T13:00:00Z", &format!("{}", writer * 8 + n));
                client.put(body).await.with_status(200);
            }
        }
    });
    future::join_all(writers).await;
    let stats = client.stats("").await;
    let stored = client.everything().await;
    assert_eq!(stored.lines().count(), 1);
    let stored: Value = serde_json::from_str(&stored).unwrap();
    let temperature = &stored["temperature"];
    assert_eq!(
        stats,
        format!(r#"{{"Maximum":{temperature},"Minimum":{temperature},"Average":{temperature}}}"#)
    );
    // Only the last reading of a writer can be stored in the end.
    assert_eq!(temperature.as_u64().unwrap() % 8, 7);
}

#[tokio::test]
async fn a_client_that_does_not_read_its_export_holds_nobody_up() {
    let server = Server::start();
    let client = server.client();
    for n in 0..40 {
        client.store(lines(&format!("sensor-{n}"), 10_000)).await;
    }
    let stalled = client.request("GET", "/api/readings").send().await.unwrap();
    assert_eq!(stalled.status().as_u16(), 200);
    let started = Instant::now();
    for n in 0..50 {
        let body = reading("a", &format!("2026-11-20T13:00:{n:02}Z"), "1");
        client.put(body).await.with_status(200);
        client.get("/api/stats").await.with_status(200);
        client
            .get("/api/sensors/sensor-1/series")
            .await
            .with_status(200);
    }
    assert!(
        started.elapsed() < Duration::from_secs(20),
        "{:?}",
        started.elapsed()
    );
    drop(stalled);
}

#[tokio::test]
async fn exports_under_way_have_a_limit_and_further_ones_are_refused() {
    let server = Server::with_args(&["--exports-max", "2"]);
    let client = server.client();
    for n in 0..40 {
        client.store(lines(&format!("sensor-{n}"), 10_000)).await;
    }
    let export = || client.request("GET", "/api/readings");
    let (first, second) = (
        export().send().await.unwrap(),
        export().send().await.unwrap(),
    );
    let third = Answer::to(export()).await;
    third.problem(503, "overloaded");
    assert!(third.header("retry-after").is_some());
    drop((first, second));
    let client = Arc::new(client.clone());
    let deadline = Instant::now() + Duration::from_secs(30);
    while client.get("/api/readings?sensorId=sensor-1").await.status == 503 {
        assert!(
            Instant::now() < deadline,
            "an export that was given up still counts"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

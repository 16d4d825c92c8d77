//! Reads end when the client disconnects, the request times out or the server stops.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tempfile::TempDir;

use crate::support::{Client, Raw, Server, http2, reading};

const SENSORS: usize = 2_000;
/// The number of readings of each sensor, a second apart.
const READINGS: usize = 150;
/// The number of concurrent reads.
const READS: usize = 100;
/// The time before the clients disconnect.
const BEFORE_LEAVING: Duration = Duration::from_millis(50);
/// A window with both ends inside a second, so the server has to read every sensor.
const SLOW: &str = "/api/stats?from=2026-11-20T00:00:20.5Z&to=2026-11-20T00:02:10.5Z";
const WAITED_IN_VAIN: Duration = Duration::from_secs(120);

/// A data directory with readings of many sensors, and the CPU time of a single read of [`SLOW`].
async fn slow_to_read() -> (Arc<TempDir>, Duration) {
    let server = Server::start();
    let client = server.client();
    for sensors in (0..SENSORS).collect::<Vec<_>>().chunks(200) {
        let body: String = sensors
            .iter()
            .flat_map(|sensor| (0..READINGS).map(move |at| (sensor, at)))
            .map(|(sensor, at)| {
                let hundredths = 25 + 50 * (sensor % 2);
                let timestamp =
                    format!("2026-11-20T00:{:02}:{:02}.{hundredths}Z", at / 60, at % 60);
                reading(
                    &format!("sensor-{sensor}"),
                    &timestamp,
                    &(at % 7).to_string(),
                ) + "\n"
            })
            .collect();
        client.store(body).await;
    }
    let directory = Arc::clone(server.directory());
    assert_eq!(server.stop().code, Some(0));
    // The stopped server has written all readings into chunks.
    let server = Server::try_in(&directory, &[]).unwrap();
    server.client().get("/livez").await.with_status(200);
    let before = quiet(&server).await;
    server.client().get(SLOW).await.with_status(200);
    let one = quiet(&server).await - before;
    (directory, one)
}

/// The CPU time of the server at the next idle moment.
async fn quiet(server: &Server) -> Duration {
    let started = Instant::now();
    let mut before = server.cpu_time();
    loop {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let now = server.cpu_time();
        if now - before <= Duration::from_millis(10) {
            return now;
        }
        before = now;
        assert!(
            started.elapsed() < WAITED_IN_VAIN,
            "the server is still at it after {now:?} of CPU time"
        );
    }
}

/// Asserts that since `before` the server has used a small part of the CPU time of all [`READS`].
async fn assert_most_was_not_done(server: &Server, before: Duration, one: Duration) {
    let all = quiet(server).await - before;
    assert!(
        all < one * (READS as u32) / 4,
        "{READS} reads that nobody waits for took {all:?} of CPU time; one that is waited for takes {one:?}"
    );
}

async fn assert_others_are_served(client: &Client) {
    for path in [
        "/livez",
        "/readyz",
        "/api/stats",
        "/api/sensors/sensor-7/readings",
        "/api/todos",
        "/",
    ] {
        client.get(path).await.with_status(200);
    }
}

#[tokio::test]
async fn reads_whose_clients_have_hung_up_stop() {
    let (directory, one) = slow_to_read().await;
    let server = Server::try_in(&directory, &[]).unwrap();
    let before = quiet(&server).await;
    let request = format!("GET {SLOW} HTTP/1.1\r\nHost: a\r\n\r\n");
    let clients = join_all((0..READS).map(|_| async {
        let mut raw = Raw::connect(server.address()).await;
        raw.send(&request).await;
        raw
    }));
    let clients = clients.await;
    tokio::time::sleep(BEFORE_LEAVING).await;
    drop(clients);
    assert_others_are_served(&server.client()).await;
    assert_most_was_not_done(&server, before, one).await;
}

/// Sends [`READS`] requests on the same connection, and ends the requests after a while.
async fn leave_on_http2(server: &Server) -> reqwest::Client {
    let client = http2();
    let url = |path: &str| format!("{}{path}", server.url());
    client.get(url("/livez")).send().await.unwrap();
    let requests = join_all((0..READS).map(|_| client.get(url(SLOW)).send()));
    let left = tokio::time::timeout(BEFORE_LEAVING, requests).await;
    assert!(
        left.is_err(),
        "all were answered before anybody could leave"
    );
    client
}

#[tokio::test]
async fn reads_whose_streams_are_reset_stop() {
    let (directory, one) = slow_to_read().await;
    let server = Server::try_in(&directory, &[]).unwrap();
    let before = quiet(&server).await;
    let client = leave_on_http2(&server).await;
    assert_others_are_served(&server.client()).await;
    assert_most_was_not_done(&server, before, one).await;
    drop(client);
}

#[tokio::test]
async fn reads_on_a_closed_connection_of_http2_stop() {
    let (directory, one) = slow_to_read().await;
    let server = Server::try_in(&directory, &[]).unwrap();
    let before = quiet(&server).await;
    // Dropping the runtime closes the connection without a reset of the streams.
    let url = server.url();
    let client = std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async move {
            let client = http2();
            client.get(format!("{url}/livez")).send().await.unwrap();
            for _ in 0..READS {
                tokio::spawn(client.get(format!("{url}{SLOW}")).send());
            }
            tokio::time::sleep(BEFORE_LEAVING).await;
        });
        runtime.shutdown_background();
    });
    client.join().unwrap();
    assert_others_are_served(&server.client()).await;
    assert_most_was_not_done(&server, before, one).await;
}

#[tokio::test]
async fn reads_whose_time_is_over_stop() {
    let (directory, one) = slow_to_read().await;
    let server = Server::try_in(&directory, &["--request-timeout-seconds", "0.05"]).unwrap();
    let before = quiet(&server).await;
    let client = server.client();
    for answer in join_all((0..READS).map(|_| client.get(SLOW))).await {
        answer.problem(503, "timed-out");
    }
    assert_most_was_not_done(&server, before, one).await;
}

#[tokio::test]
async fn reads_under_way_do_not_keep_a_server_that_stops() {
    let (directory, _) = slow_to_read().await;
    let server = Server::try_in(&directory, &["--drain-seconds", "0.2"]).unwrap();
    let client = server.client();
    let reads = (0..READS).map(|_| {
        let client = client.clone();
        tokio::spawn(async move { client.request("GET", SLOW).send().await })
    });
    let reads: Vec<_> = reads.collect();
    tokio::time::sleep(BEFORE_LEAVING).await;
    let started = Instant::now();
    let exited = server.stop();
    let took = started.elapsed();
    assert_eq!(exited.code, Some(0), "{}", exited.output);
    assert!(exited.output.contains("cut off"), "{}", exited.output);
    assert!(took < Duration::from_secs(10), "stopping took {took:?}");
    reads.into_iter().for_each(|read| read.abort());
}

#[tokio::test]
async fn an_export_that_nobody_takes_is_ended_before_the_stores_are_closed() {
    let (directory, _) = slow_to_read().await;
    let server = Server::try_in(&directory, &["--drain-seconds", "0.2"]).unwrap();
    let mut raw = Raw::connect(server.address()).await;
    raw.send("GET /api/readings HTTP/1.1\r\nHost: a\r\n\r\n")
        .await;
    assert!(!raw.receive().await.is_empty());
    let data = server.data();
    let exited = server.stop();
    assert_eq!(exited.code, Some(0), "{}", exited.output);
    assert!(exited.output.contains("cut off"), "{}", exited.output);
    // The last connection to the database removes the write-ahead log when the connection closes.
    assert!(!data.join("readings.db-wal").exists());
    drop(raw);
}

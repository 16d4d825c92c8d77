//! Limits: larger requests are refused, and memory does not grow.

use std::time::Duration;

use crate::support::{Answer, Raw, Server, gzip, lines, reading, zstd};

const NDJSON: &str = "application/x-ndjson";
const MIB: u64 = 1024 * 1024;

async fn post_compressed(server: &Server, encoding: &str, body: Vec<u8>) -> Answer {
    let request = server
        .client()
        .request("POST", "/api/readings")
        .header("content-type", NDJSON)
        .header("content-encoding", encoding)
        .body(body);
    Answer::to(request).await
}

#[tokio::test]
async fn a_decompression_bomb_is_refused_without_taking_memory() {
    let server = Server::with_args(&["--batch-bytes-max", "16777216"]);
    let client = server.client();
    client
        .put(reading("a", "2026-11-20T13:00:00Z", "1"))
        .await
        .with_status(200);
    let before = client.everything().await;
    // Both formats may consist of several parts, each with a checksum.
    let line = " ".repeat(MIB as usize - 1) + "\n";
    let (gzip_bomb, zstd_bomb) = (gzip(&line).repeat(512), zstd(&line).repeat(512));
    // A body with an endless line.
    let endless = gzip(vec![b' '; MIB as usize]).repeat(512);
    let idle = server.memory_peak_bytes();
    for (encoding, bomb) in [("gzip", gzip_bomb), ("zstd", zstd_bomb), ("gzip", endless)] {
        assert!(bomb.len() < MIB as usize);
        let answer = post_compressed(&server, encoding, bomb).await;
        answer.problem_saying(413, "body-too-large", &["decompressed"]);
        let peak = server.memory_peak_bytes();
        assert!(
            peak < idle + 32 * MIB,
            "{peak} bytes after {encoding}, {idle} before"
        );
    }
    assert_eq!(client.everything().await, before);
}

#[tokio::test]
async fn a_batch_of_more_bytes_than_allowed_is_refused_whole() {
    let server = Server::with_args(&["--batch-bytes-max", "100000"]);
    let client = server.client();
    let (small, large) = (lines("a", 1000), lines("a", 2000));
    assert!(small.len() < 100_000 && large.len() > 100_000);
    for query in ["", "?partial=true"] {
        let answer = client.post(query, NDJSON, large.clone()).await;
        answer.problem_saying(413, "body-too-large", &["100000"]);
    }
    for (encoding, body) in [("gzip", gzip(&large)), ("zstd", zstd(&large))] {
        assert!(body.len() < 100_000);
        let answer = post_compressed(&server, encoding, body).await;
        answer.problem_saying(413, "body-too-large", &["100000", "decompressed"]);
    }
    let array = format!("[{}]", large.trim_end().replace('\n', ","));
    client
        .post("", "application/json", array)
        .await
        .problem(413, "body-too-large");
    client.assert_nothing_stored().await;
    client.store(small.clone()).await;
    assert_eq!(
        post_compressed(&server, "gzip", gzip(&small)).await.status,
        200
    );
    assert_eq!(client.everything().await, small);
}

#[tokio::test]
async fn a_single_reading_of_megabytes_is_refused() {
    let server = Server::start();
    let client = server.client();
    let body = format!(
        r#"{{"sensorId":"a","temperature":1,"extra":"{}"}}"#,
        "x".repeat(8 * MIB as usize)
    );
    client
        .put(body.clone())
        .await
        .problem(413, "body-too-large");
    // The request has no Content-Length.
    let mut raw = Raw::connect(server.address()).await;
    raw.send("PUT /api/temperature HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await;
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    for _ in 0..128 {
        if !raw.send(&chunk).await {
            break;
        }
    }
    raw.send("0\r\n\r\n").await;
    let answer = raw.answer().await;
    assert_eq!(answer.status, 413, "{answer:?}");
    client.assert_nothing_stored().await;
}

#[tokio::test]
async fn a_client_that_expects_continue_is_refused_at_once() {
    let server = Server::start();
    let head = |length: u64| {
        format!(
            "PUT /api/temperature HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {length}\r\n\
             Expect: 100-continue\r\n\r\n"
        )
    };
    let answer = Raw::exchange(server.address(), head(1 << 40)).await;
    assert_eq!(answer.status, 413, "{answer:?}");
    let body = reading("a", "2026-11-20T13:00:00Z", "1");
    let mut raw = Raw::connect(server.address()).await;
    raw.send(head(body.len() as u64)).await;
    assert!(
        raw.receive()
            .await
            .starts_with(b"HTTP/1.1 100 Continue\r\n")
    );
    raw.send(body).await;
    let answer = raw.answer().await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn after_a_refusal_the_same_connection_serves_the_next_request() {
    let server = Server::start();
    let mut raw = Raw::connect(server.address()).await;
    let large = "x".repeat(3 * MIB as usize);
    for (request, status) in [
        (put(&large), "413"),
        (put("{"), "400"),
        (put(r#"{"sensorId":"a"}"#), "422"),
        (put(&reading("a", "2026-11-20T13:00:00Z", "1")), "200"),
    ] {
        raw.send(request).await;
        let answer = String::from_utf8(raw.receive().await).unwrap();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
    }
}

/// The bytes of a whole request.
fn put(body: &str) -> String {
    let length = body.len();
    format!("PUT /api/temperature HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}")
}

#[tokio::test]
async fn a_line_that_never_ends_is_one_bad_line() {
    let server = Server::start();
    let client = server.client();
    let good = |second: u32| reading("a", &format!("2026-11-20T13:00:0{second}Z"), "1");
    let long = "x".repeat(3 * MIB as usize);
    let body = format!("{}\n{long}\n{}\n", good(1), good(3));
    let answer = client.post("", NDJSON, body.clone()).await;
    answer.problem_saying(422, "invalid-batch", &[r#""line":2"#, "longer"]);
    client.assert_nothing_stored().await;
    let outcome = client
        .post("?partial=true", NDJSON, body)
        .await
        .with_status(200)
        .json();
    assert_eq!(
        (outcome["recorded"].as_u64(), outcome["rejected"].as_u64()),
        (Some(2), Some(1))
    );
}

#[tokio::test]
async fn batches_under_way_share_a_limit_and_further_ones_are_refused() {
    let server = Server::with_args(&["--ingest-bytes-max", "1000000"]);
    let client = server.client();
    // The server has parsed these batches and waits for the last bytes. The test adds batches until the memory for batches is full.
    let mut waiting = Vec::new();
    let answer = loop {
        let n = waiting.len();
        assert!(n < 50, "never too much");
        let mut raw = Raw::connect(server.address()).await;
        let head = "POST /api/readings HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-ndjson\r\n\
            Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
        let body = lines(&format!("s{n}"), 10_000);
        raw.send(format!("{head}{:x}\r\n{body}\r\n", body.len()))
            .await;
        waiting.push(raw);
        let answer = client.post("", NDJSON, lines("late", 10_000)).await;
        if answer.status != 200 {
            break answer;
        }
    };
    answer.problem(503, "overloaded");
    assert!(answer.header("retry-after").is_some());
    // Single readings and reads are served.
    client
        .put(reading("a", "2026-11-20T13:00:00Z", "1"))
        .await
        .with_status(200);
    for (n, mut raw) in waiting.into_iter().enumerate() {
        raw.send("0\r\n\r\n").await;
        let answer = raw.answer().await;
        let sensor = client.get(&format!("/api/sensors/s{n}")).await;
        match answer.status {
            200 => assert_eq!(sensor.with_status(200).json()["count"], 10_000),
            503 => drop(sensor.problem(404, "unknown-sensor")),
            _ => panic!("{answer:?}"),
        }
    }
    // The memory for batches is free again.
    client.store(lines("later", 10_000)).await;
}

#[tokio::test]
async fn connections_have_a_bound_and_the_next_waits_its_turn() {
    let server = Server::with_args(&["--connections-max", "4"]);
    let mut idle = Vec::new();
    for _ in 0..4 {
        let mut raw = Raw::connect(server.address()).await;
        raw.send("GET /livez HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert!(!raw.receive().await.is_empty());
        idle.push(raw);
    }
    let mut fifth = Raw::connect(server.address()).await;
    fifth
        .send("GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .await;
    let answer = tokio::time::timeout(Duration::from_millis(300), fifth.receive()).await;
    assert!(answer.is_err(), "the fifth was served");
    idle.pop();
    let answer = fifth.answer().await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn more_sensors_than_allowed_are_refused_across_restarts() {
    let server = Server::with_args(&["--sensors-max", "3"]);
    let client = server.client();
    client
        .store(lines("a", 3) + &lines("b", 3) + &lines("c", 3))
        .await;
    let server = server.restart();
    let client = server.client();
    let before = client.everything().await;
    let answer = client.put(reading("d", "2026-11-20T13:00:00Z", "1")).await;
    answer.problem_saying(507, "too-many-sensors", &["3"]);
    assert_eq!(client.everything().await, before);
    client
        .put(reading("c", "2026-11-20T13:00:00Z", "1"))
        .await
        .with_status(200);
    // A setting raises the limit.
    let server = server.restart_with(&["--sensors-max", "4"]);
    server
        .client()
        .put(reading("d", "2026-11-20T13:00:00Z", "1"))
        .await
        .with_status(200);
}

#[tokio::test]
async fn a_hundred_thousand_sensors_in_a_batch_are_taken() {
    let server = Server::start();
    let client = server.client();
    let body: String = (0..100_000)
        .map(|n| reading(&format!("sensor-{n:06}"), "2026-11-20T13:00:00Z", "1") + "\n")
        .collect();
    let outcome = client.store(body.clone()).await.json();
    assert_eq!(outcome["recorded"], 100_000);
    assert_eq!(client.everything().await, body);
}

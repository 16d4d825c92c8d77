//! Requests of slow clients time out, and an incomplete body stores nothing.

use std::time::{Duration, Instant};

use crate::support::{Raw, RawAnswer, Server, lines, reading};

/// Sends single bytes until the server answers. Returns the answer and the duration.
async fn drip(server: &Server, head: &str, byte: &str) -> (RawAnswer, Duration) {
    let started = Instant::now();
    let mut raw = Raw::connect(server.address()).await;
    raw.send(head).await;
    for _ in 0..600 {
        let received = tokio::time::timeout(Duration::from_millis(50), raw.receive()).await;
        if let Ok(bytes) = received {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let status = text.split(' ').nth(1).and_then(|word| word.parse().ok());
            let status = status.unwrap_or(0);
            return (RawAnswer { status, text }, started.elapsed());
        }
        raw.send(byte).await;
    }
    panic!("the server never had enough of {head}");
}

#[tokio::test]
async fn a_head_that_never_ends_is_cut_off() {
    let server = Server::with_args(&["--header-timeout-seconds", "1"]);
    let (answer, after) = drip(&server, "GET /api HTTP/1.1\r\nX-Slow: ", "a").await;
    assert!(matches!(answer.status, 0 | 408), "{answer:?}");
    assert!(after < Duration::from_secs(10), "only after {after:?}");
    server.client().get("/api").await.with_status(200);
}

#[tokio::test]
async fn a_body_that_stops_arriving_is_cut_off() {
    let server = Server::with_args(&["--body-idle-seconds", "1"]);
    for (path, method, content_type) in [
        ("/api/temperature", "PUT", "application/json"),
        ("/api/readings", "POST", "application/x-ndjson"),
        ("/api/readings", "POST", "application/json"),
    ] {
        let half = reading("a", "2026-11-20T13:00:00Z", "1") + "\n";
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: a\r\nContent-Type: {content_type}\r\n\
             Content-Length: 5000\r\n\r\n{half}"
        );
        let started = Instant::now();
        let answer = Raw::exchange(server.address(), request).await;
        assert_eq!(answer.status, 408, "{answer:?}");
        assert!(
            answer.text.contains("/problems/request-too-slow"),
            "{answer:?}"
        );
        assert!(started.elapsed() < Duration::from_secs(10));
    }
    server.client().assert_nothing_stored().await;
}

#[tokio::test]
async fn a_body_that_drips_is_cut_off_too() {
    let server = Server::with_args(&["--request-timeout-seconds", "1"]);
    let head = "POST /api/readings HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-ndjson\r\n\
        Content-Length: 5000\r\n\r\n";
    let (answer, after) = drip(&server, head, "\n").await;
    assert!(matches!(answer.status, 408 | 503), "{answer:?}");
    assert!(after < Duration::from_secs(10), "only after {after:?}");
    server.client().assert_nothing_stored().await;
}

#[tokio::test]
async fn a_batch_on_a_slow_line_may_take_longer_than_a_request() {
    let server = Server::with_args(&["--request-timeout-seconds", "1"]);
    let started = Instant::now();
    let mut raw = Raw::connect(server.address()).await;
    let body = lines("a", 1000);
    let head = format!(
        "POST /api/readings HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: application/x-ndjson\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    assert!(raw.send(head).await);
    for piece in body.as_bytes().chunks(body.len().div_ceil(12)) {
        tokio::time::sleep(Duration::from_millis(250)).await;
        assert!(raw.send(piece).await);
    }
    let answer = raw.answer().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.text.contains("\"recorded\":1000"), "{answer:?}");
    assert!(started.elapsed() > Duration::from_secs(3));
}

#[tokio::test]
async fn an_export_that_nobody_takes_is_given_up() {
    let server = Server::with_args(&["--export-idle-seconds", "1", "--exports-max", "1"]);
    let client = server.client();
    for n in 0..40 {
        client.store(lines(&format!("sensor-{n}"), 10_000)).await;
    }
    let mut stalled = client.request("GET", "/api/readings").send().await.unwrap();
    client.get("/api/readings").await.problem(503, "overloaded");
    let started = Instant::now();
    while client.get("/api/readings?sensorId=sensor-1").await.status == 503 {
        assert!(
            started.elapsed() < Duration::from_secs(30),
            "it is never given up"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // A client reads on and sees an incomplete export.
    let whole = loop {
        match stalled.chunk().await {
            Ok(Some(_)) => {}
            Ok(None) => break true,
            Err(_) => break false,
        }
    };
    assert!(!whole);
}

#[tokio::test]
async fn a_request_that_is_cut_short_stores_nothing() {
    let server = Server::start();
    let body = reading("a", "2026-11-20T13:00:00Z", "1") + "\n";
    for (path, method, length) in [
        ("/api/temperature", "PUT", body.len() + 1),
        ("/api/readings", "POST", body.len() + 100),
    ] {
        let mut raw = Raw::connect(server.address()).await;
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-ndjson\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        );
        raw.send(request).await;
        drop(raw);
    }
    server.client().assert_nothing_stored().await;
}

//! A process without file descriptors or memory answers 503, names no path, and recovers.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::support::{Answer, Client, Disk, Server};

const ENOMEM: i32 = 12;
const ENFILE: i32 = 23;
const EMFILE: i32 = 24;

/// Asserts an answer with status 503, with `Retry-After`, and without a path in the detail.
#[track_caller]
fn assert_refused(answer: &Answer) {
    assert_eq!(answer.status, 503, "{}", answer.text());
    let problem = answer.problem(
        503,
        answer.json()["type"]
            .as_str()
            .unwrap()
            .trim_start_matches("/problems/"),
    );
    let seconds = answer.header("retry-after").unwrap();
    assert!(seconds.parse::<u32>().unwrap() > 0);
    let detail = problem["detail"].as_str().unwrap();
    assert!(!detail.contains('/'), "{detail}");
}

async fn put_file(client: &Client, body: &'static str) -> Answer {
    Answer::to(client.request("PUT", "/api/devices/d").body(body)).await
}

#[tokio::test]
async fn a_file_that_cannot_be_opened_at_present_is_503() {
    for error in [EMFILE, ENFILE, ENOMEM] {
        let disk = Disk::new();
        let server = Server::try_on(&disk, &[]).unwrap();
        let client = server.client();
        client
            .put(r#"{"sensorId":"a","temperature":1,"timestamp":"2026-11-20T00:00:00Z"}"#)
            .await
            .with_status(200);
        put_file(&client, "older").await.with_status(200);
        // Every device file, then every database opened for reads.
        for pattern in ["*files/*", "*readings.db*", "*station.db*"] {
            disk.fails(&format!("{error} open {pattern} 0 1000"));
            let answers = match pattern {
                "*files/*" => vec![
                    put_file(&client, "newer").await,
                    client.get("/api/devices/d").await,
                    client.get("/api/devices/d/content").await,
                ],
                "*readings.db*" => vec![
                    client.get("/api/stats?from=2026-11-20T00:00:00Z").await,
                    client.get("/api/readings").await,
                    client.get("/api/sensors/a/readings").await,
                    client.get("/api/sensors/a/series").await,
                ],
                _ => Vec::new(),
            };
            for answer in &answers {
                assert_refused(answer);
            }
            disk.fails("");
        }
        assert!(disk.failures() >= 7, "{}", disk.failures());
        let content = client.get("/api/devices/d/content").await;
        assert_eq!(content.with_status(200).text(), "older");
        client.get("/api/readings").await.with_status(200);
        put_file(&client, "newer").await.with_status(200);
        assert_eq!(server.stop().code, Some(0));
    }
}

#[tokio::test]
async fn todos_whose_database_cannot_be_opened_at_present_are_503() {
    let disk = Disk::new();
    let server = Server::try_on(&disk, &[]).unwrap();
    let client = server.client();
    disk.fails(&format!("{EMFILE} open *station.db* 0 1000"));
    for path in [
        "/api/todos",
        "/hello",
        "/api/devices/",
        "/api/devices/d/info",
    ] {
        // One connection may be open already. Concurrent requests need more connections.
        let deadline = Instant::now() + Duration::from_secs(30);
        let refused = loop {
            assert!(Instant::now() < deadline, "{path} needed no connection");
            let requests = (0..8).map(|_| client.get(path));
            let answers = futures_util::future::join_all(requests).await;
            // No device has this name, so the answer is 404 when the database could be read.
            let mut answers = answers.into_iter();
            if let Some(refused) = answers.find(|answer| !matches!(answer.status, 200 | 404)) {
                break refused;
            }
        };
        assert_refused(&refused);
    }
    disk.fails("");
    client.get("/api/todos").await.with_status(200);
    assert_eq!(server.stop().code, Some(0));
}

#[tokio::test]
async fn a_server_without_file_descriptors_says_503_and_is_well_again() {
    let server = Server::with_open_files_max(64, &[]);
    let client = server.client();
    put_file(&client, "older").await.with_status(200);
    let idle: Vec<_> = (0..64)
        .map(|_| TcpStream::connect(server.address()).unwrap())
        .collect();
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut refused = Vec::new();
    while refused.len() < 5 {
        assert!(Instant::now() < deadline, "there were always enough");
        let answer = put_file(&client, "newer").await;
        if answer.status != 200 {
            refused.push(answer);
        }
        let answer = client.get("/api/readings").await;
        if answer.status != 200 {
            refused.push(answer);
        }
    }
    refused.iter().for_each(assert_refused);
    drop(idle);
    let deadline = Instant::now() + Duration::from_secs(30);
    while put_file(&client, "last").await.status != 200 {
        assert!(Instant::now() < deadline, "it is not well again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    client.get("/api/readings").await.with_status(200);
    assert_eq!(server.stop().code, Some(0));
}

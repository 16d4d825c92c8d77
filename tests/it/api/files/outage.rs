//! S3 is unavailable, slow, or answers nonsense: clients get an error soon, and the server recovers.
#![cfg(feature = "cloud")]

use std::time::{Duration, Instant};

use crate::support::{Answer, Client, Fault, FaultProxy, S3Server, Server, random_bytes};

/// The longest wait of a client for the report that S3 is unavailable.
const TIMEOUT: Duration = Duration::from_secs(10);

const SLOW_DOWN: &str = "HTTP/1.1 503 Slow Down\r\nContent-Type: application/xml\r\nContent-Length: 74\r\nConnection: close\r\n\r\n<Error><Code>SlowDown</Code><Message>Reduce your rate.</Message></Error>\r\n";

async fn unavailable(answer: impl Future<Output = Answer>, what: String) {
    let started = Instant::now();
    let answer = answer.await;
    assert!(
        started.elapsed() < TIMEOUT,
        "{what} took {:?}",
        started.elapsed()
    );
    assert!(answer.header("retry-after").is_some(), "{what}: {answer:?}");
    let problem = answer.problem(503, "unavailable").to_string();
    for private in ["<Error", "127.0.0.1", "fieldstation/some"] {
        assert!(!problem.contains(private), "{problem}");
    }
}

async fn everything_is_unavailable(client: &Client, fault: Fault) {
    let what = |what: &str| format!("{what} with {fault:?}");
    let content = "/api/devices/d/content";
    tokio::join!(
        unavailable(client.send_file("d", "new"), what("a small upload")),
        unavailable(
            client.send_file("e", random_bytes(7 << 20)),
            what("a large upload")
        ),
        unavailable(client.get("/api/devices/"), what("a list")),
        unavailable(client.get(content), what("a download")),
        unavailable(
            Answer::to(client.request("DELETE", "/api/devices/d")),
            what("a removal")
        ),
        // Other routes work.
        async {
            let reading = r#"{"sensorId":"a","temperature":1}"#;
            let started = Instant::now();
            client.put(reading).await.with_status(200);
            assert!(started.elapsed() < Duration::from_secs(5));
        },
    );
}

async fn all_is_well(client: &Client) {
    client.send_file("d", "after").await.with_status(200);
    assert_eq!(client.file("d").await, b"after");
    client.send_file("d", "before").await.with_status(200);
}

async fn outage(fault: Fault) {
    let s3 = S3Server::start();
    let proxy = FaultProxy::start(s3.address());
    let server = Server::with_args(&["--files", &S3Server::url_at(proxy.address())]);
    let client = server.client();
    client.send_file("d", "before").await.with_status(200);
    proxy.set(fault);
    everything_is_unavailable(&client, fault).await;
    proxy.set(Fault::None);
    // A refused upload has changed nothing. When only the answer was lost, the upload is complete.
    if fault != Fault::CutAnswers {
        assert_eq!(client.file("d").await, b"before", "{fault:?}");
        assert_eq!(client.devices().await, ["d"]);
    }
    all_is_well(&client).await;
}

#[tokio::test]
async fn s3_that_is_down_is_said_to_be_so() {
    outage(Fault::Refuse).await;
}

#[tokio::test]
async fn an_s3_that_resets_connections_is_reported_as_unavailable() {
    outage(Fault::Reset).await;
}

#[tokio::test]
async fn an_s3_that_does_not_answer_is_reported_as_unavailable() {
    outage(Fault::Blackhole).await;
}

#[tokio::test]
async fn an_s3_that_throttles_is_reported_as_unavailable() {
    outage(Fault::Answer(SLOW_DOWN)).await;
}

#[tokio::test]
async fn s3_whose_answers_are_lost_is_never_taken_at_its_word() {
    outage(Fault::CutAnswers).await;
}

#[tokio::test]
async fn s3_that_is_slow_is_waited_for() {
    let s3 = S3Server::start();
    let proxy = FaultProxy::start(s3.address());
    let server = Server::with_args(&["--files", &S3Server::url_at(proxy.address())]);
    let client = server.client();
    proxy.set(Fault::Delay(Duration::from_millis(300)));
    client.send_file("d", "slow").await.with_status(200);
    assert_eq!(client.file("d").await, b"slow");
}

#[tokio::test]
async fn an_upload_that_s3_breaks_off_leaves_nothing() {
    let s3 = S3Server::start();
    let proxy = FaultProxy::start(s3.address());
    let server = Server::with_args(&["--files", &S3Server::url_at(proxy.address())]);
    let client = server.client();
    // In the middle of the first part, of the second, and of the third.
    for cut in [1 << 20, 6 << 20, 11 << 20] {
        proxy.set(Fault::CutAfter(cut));
        let answer = client.send_file("d", random_bytes(16 << 20)).await;
        assert!(matches!(answer.status, 200 | 503), "{}", answer.text());
        proxy.set(Fault::None);
        if answer.status == 503 {
            assert_eq!(client.devices().await, [""; 0]);
        } else {
            assert!(client.file("d").await == random_bytes(16 << 20));
            Answer::to(client.request("DELETE", "/api/devices/d"))
                .await
                .with_status(204);
        }
        let deadline = Instant::now() + Duration::from_secs(60);
        while !s3.keys().is_empty() || !s3.unfinished().is_empty() {
            assert!(
                Instant::now() < deadline,
                "{:?} {:?}",
                s3.keys(),
                s3.unfinished()
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

#[tokio::test]
async fn a_server_starts_while_s3_is_unavailable_and_refuses_a_wrong_url() {
    let s3 = S3Server::start();
    let proxy = FaultProxy::start(s3.address());
    proxy.set(Fault::Refuse);
    let server = Server::with_args(&["--files", &S3Server::url_at(proxy.address())]);
    let client = server.client();
    unavailable(client.get("/api/devices/"), "a list".to_owned()).await;
    proxy.set(Fault::None);
    all_is_well(&client).await;
    let directory = std::sync::Arc::new(tempfile::tempdir().unwrap());
    for (url, words) in [
        ("s3://key:s3cret@bucket", "credentials"),
        ("s3://bucket?x=1", "region"),
        ("file:/tmp", "--data"),
        ("ftp://x", "s3://bucket/prefix"),
    ] {
        let exited = Server::try_in(&directory, &["--files", url]).err().unwrap();
        assert_eq!(exited.code, Some(2), "{}", exited.output);
        assert!(exited.output.contains(words), "{}", exited.output);
        assert!(!exited.output.contains("s3cret"), "{}", exited.output);
    }
}

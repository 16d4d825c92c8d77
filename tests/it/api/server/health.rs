//! `/health`, `/readyz` and `/livez`.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::Server;

#[tokio::test]
async fn health_names_each_store_with_its_backend_and_state() {
    let server = Server::start();
    let health = server.client().get("/health").await.with_status(200);
    assert_eq!(health.header("content-type"), Some("application/json"));
    assert_eq!(health.header("cache-control"), Some("no-store"));
    let health = health.json();
    assert_eq!(health["status"], "healthy");
    for store in ["readings", "greeting"] {
        assert_eq!(
            health["stores"][store],
            json!({"backend": "sqlite", "state": "healthy"})
        );
    }
    assert_eq!(health.get("instance"), None);
}

#[cfg(feature = "cloud")]
#[tokio::test]
async fn a_server_is_ready_without_a_store_that_it_does_not_need_and_with_those_that_it_does() {
    // The listener accepts connections and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}", silent.local_addr().unwrap());
    for (needed, status) in [("readings", 200), ("readings,greeting", 503)] {
        let server = Server::with_args(&["--greeting", &url, "--needed", needed]);
        let client = server.client();
        let started = Instant::now();
        let (ready, health, live) = tokio::join!(
            client.get("/readyz"),
            client.get("/health"),
            client.get("/livez"),
        );
        assert!(started.elapsed() < Duration::from_secs(2));
        live.with_status(200);
        let health = health.with_status(503).json();
        assert_eq!(health["stores"]["greeting"]["backend"], "redis");
        assert_eq!(health["stores"]["greeting"]["state"], "unhealthy");
        let reason = health["stores"]["greeting"]["reason"].as_str().unwrap();
        assert!(!reason.is_empty());
        assert_eq!(ready.status, status, "{}", ready.text());
        if status == 503 {
            ready.problem_saying(503, "not-ready", &["greeting"]);
            assert_eq!(ready.header("retry-after"), Some("5"));
        }
    }
}

#[test]
fn a_store_that_does_not_exist_cannot_be_needed() {
    let directory = tempfile::tempdir().unwrap();
    let exited = crate::support::run(directory.path(), &["serve", "--needed", "readings,x"]);
    assert_eq!(exited.code, Some(2), "{}", exited.output);
    assert!(exited.output.contains("greeting"), "{}", exited.output);
}

/// A metadata service. Gives a single answer after `delay`, and returns the request.
fn metadata_service(
    answer: &'static str,
    delay: Duration,
) -> (String, std::thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v4/0a1b", listener.local_addr().unwrap());
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = vec![0; 4096];
        let length = stream.read(&mut request).unwrap();
        std::thread::sleep(delay);
        let head = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/json\r\n";
        let length_header = format!("content-length: {}\r\n\r\n", answer.len());
        // The server may have given up.
        let _ = stream.write_all(format!("{head}{length_header}{answer}").as_bytes());
        String::from_utf8_lossy(&request[..length]).into_owned()
    });
    (url, thread)
}

#[tokio::test]
async fn health_says_which_task_on_ecs_it_is_and_where() {
    let answer = r#"{"Cluster":"c","TaskARN":"arn:aws:ecs:eu-central-1:1:task/c/77f0","AvailabilityZone":"eu-central-1b"}"#;
    let (url, service) = metadata_service(answer, Duration::ZERO);
    let server = Server::with_args(&["--ecs-metadata", &url]);
    let asked = service.join().unwrap();
    assert!(asked.starts_with("GET /v4/0a1b/task "), "{asked}");
    let started = Instant::now();
    loop {
        let health = server.client().get("/health").await.with_status(200).json();
        if let Some(instance) = health.get("instance") {
            assert_eq!(*instance, json!({"task": "77f0", "zone": "eu-central-1b"}));
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(10), "{health}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_platform_that_does_not_say_keeps_nobody_waiting() {
    let (url, service) = metadata_service("nonsense", Duration::from_secs(3));
    let started = Instant::now();
    let server = Server::with_args(&["--ecs-metadata", &url]);
    let health = server.client().get("/health").await.with_status(200).json();
    assert!(
        started.elapsed() < Duration::from_secs(3),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(health["status"], "healthy");
    assert_eq!(health.get("instance"), None);
    service.join().unwrap();
    let health = server.client().get("/health").await.with_status(200).json();
    assert_eq!(health.get("instance"), None);
}

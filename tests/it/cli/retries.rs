//! Commands against a server that is busy or unavailable, or answers wrongly.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::stub_server::{StubServer, all_recorded, answer};
use super::{counts, fieldstation};

const TWO_READINGS: &str = "sensorId,timestamp,temperature\n\
    a,2026-11-20T13:00:00Z,20.5\n\
    b,2026-11-20T13:00:00Z,-1\n";

#[test]
fn an_import_is_sent_again_while_the_server_is_busy_or_hangs_up() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("a.csv"), TWO_READINGS).unwrap();
    let bodies = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&bodies);
    let server = StubServer::start(move |request| {
        seen.lock().unwrap().push(request.body.clone());
        match request.number {
            0 => answer("503 Service Unavailable", "retry-after: 0\r\n", ""),
            1 => Vec::new(),
            // The answer breaks off, so the client does not know whether the batch was recorded.
            2 => b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"recor".to_vec(),
            _ => all_recorded(request),
        }
    });
    let ended = fieldstation(
        directory.path(),
        &["import", "a.csv", "--json", "--url", &server.url()],
    )
    .with_code(0);
    let summary = ended.json();
    assert_eq!(counts(&summary), [2, 0, 0, 0]);
    assert_eq!(summary["retries"], 3);
    let bodies = bodies.lock().unwrap();
    assert_eq!(bodies.len(), 4);
    assert!(bodies.iter().all(|body| *body == bodies[0]));
    assert_eq!(
        bodies[0],
        "{\"sensorId\":\"a\",\"timestamp\":\"2026-11-20T13:00:00Z\",\"temperature\":20.5}\n\
         {\"sensorId\":\"b\",\"timestamp\":\"2026-11-20T13:00:00Z\",\"temperature\":-1}\n"
    );
}

#[test]
fn a_refusal_is_not_repeated_and_its_reason_shown() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("a.csv"), TWO_READINGS).unwrap();
    let requests = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&requests);
    let server = StubServer::start(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        answer(
            "413 Payload Too Large",
            "content-type: application/problem+json\r\n",
            r#"{"title":"Too large","detail":"send at most 1 MB"}"#,
        )
    });
    let ended = fieldstation(
        directory.path(),
        &["import", "a.csv", "--url", &server.url()],
    )
    .with_code(1);
    ended
        .says("a.csv: the import broke off at line 2")
        .says("413 Payload Too Large: send at most 1 MB");
    assert_eq!(requests.load(Ordering::SeqCst), 1);
}

#[test]
fn a_server_that_names_only_some_rejections_is_asked_for_the_rest() {
    let directory = tempfile::tempdir().unwrap();
    let mut text = "sensorId,timestamp,temperature\nbad,row,here\n".to_owned();
    for minute in 0..6 {
        text.push_str(&format!("s{minute},2026-11-20T13:0{minute}:00Z,1\n"));
    }
    fs::write(directory.path().join("a.csv"), text).unwrap();
    let server = StubServer::start(|request| {
        let body = match request.number {
            0 => {
                assert_eq!(request.body.lines().count(), 6);
                r#"{"recorded":2,"unchanged":1,"replaced":0,"rejected":3,"errors":[
                    {"line":2,"field":null,"reason":"no room"},
                    {"line":4,"field":"sensorId","reason":"no room"}]}"#
            }
            1 => {
                assert_eq!(request.body.lines().count(), 2);
                assert!(request.body.starts_with("{\"sensorId\":\"s4\""));
                r#"{"recorded":0,"unchanged":1,"replaced":0,"rejected":1,"errors":[
                    {"line":2,"reason":"no room"}]}"#
            }
            _ => "{}",
        };
        answer("200 OK", "", body)
    });
    let ended = fieldstation(
        directory.path(),
        &["import", "a.csv", "--json", "--url", &server.url()],
    )
    .with_code(1);
    let summary = ended.json();
    assert_eq!(counts(&summary), [2, 1, 0, 4]);
    let lines: Vec<u64> = summary["rejects"]
        .as_array()
        .unwrap()
        .iter()
        .map(|reject| reject["line"].as_u64().unwrap())
        .collect();
    assert_eq!(lines, [2, 4, 6, 8]);
}

#[test]
fn a_server_whose_counts_do_not_add_up_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("a.csv"), TWO_READINGS).unwrap();
    for body in [
        r#"{"recorded":1,"unchanged":0,"replaced":0,"rejected":0}"#,
        r#"{"recorded":1,"unchanged":0,"replaced":0,"rejected":1}"#,
        r#"{"recorded":1,"unchanged":0,"replaced":0,"rejected":1,"errors":[{"line":3,"reason":"x"}]}"#,
        r#"{"message":"hello"}"#,
    ] {
        let server = StubServer::start(move |_| answer("200 OK", "", body));
        let url = server.url();
        fieldstation(directory.path(), &["import", "a.csv", "--url", &url]).with_code(1);
    }
}

#[test]
fn an_export_that_breaks_off_is_an_error_and_leaves_no_file() {
    let directory = tempfile::tempdir().unwrap();
    let line = "{\"sensorId\":\"a\",\"timestamp\":\"2026-11-20T13:00:00Z\",\"temperature\":1}\n";
    let chunked = format!(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{line}\r\n",
        line.len()
    );
    let server = StubServer::start(move |_| chunked.clone().into_bytes());
    let url = server.url();
    let arguments = ["export", "--url", &url, "--output", "out.ndjson"];
    fieldstation(directory.path(), &arguments)
        .with_code(1)
        .says("broke off after 1 readings");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    let ended = fieldstation(directory.path(), &["export", "--url", &url]).with_code(1);
    assert_eq!(ended.stdout, line);

    let server = StubServer::start(move |_| answer("200 OK", "", line.trim()));
    let url = server.url();
    let arguments = ["export", "--url", &url, "--output", "out.ndjson"];
    fieldstation(directory.path(), &arguments)
        .with_code(1)
        .says("middle of a line");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn a_server_that_moved_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let server = StubServer::start(|_| {
        answer(
            "308 Permanent Redirect",
            "location: https://elsewhere.example/\r\n",
            "",
        )
    });
    fieldstation(directory.path(), &["export", "--url", &server.url()])
        .with_code(1)
        .says("it is at https://elsewhere.example/; use that URL");
}

#[test]
fn a_retry_is_announced_with_the_pause_that_the_server_asks_for() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("a.csv"), TWO_READINGS).unwrap();
    let server = StubServer::start(|request| match request.number {
        0 => answer("429 Too Many Requests", "retry-after: 1\r\n", "slow down"),
        _ => all_recorded(request),
    });
    fieldstation(
        directory.path(),
        &["import", "a.csv", "--url", &server.url()],
    )
    .with_code(0)
    .says("429 Too Many Requests: slow down (try again after 1 s); trying again in 1.0 s");
}

#[test]
fn a_pause_beyond_the_time_limit_ends_the_command_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let requests = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&requests);
    let server = StubServer::start(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        answer("503 Service Unavailable", "retry-after: 3600\r\n", "closed")
    });
    fieldstation(directory.path(), &["export", "--url", &server.url()])
        .with_code(1)
        .says("503 Service Unavailable: closed (try again after 3600 s)");
    assert_eq!(requests.load(Ordering::SeqCst), 1);
}

#[test]
fn an_export_is_asked_for_again_until_its_answer_begins() {
    let directory = tempfile::tempdir().unwrap();
    let server = StubServer::start(|request| match request.number {
        0 => Vec::new(),
        1 => answer("502 Bad Gateway", "", ""),
        _ => answer("200 OK", "", ""),
    });
    fieldstation(directory.path(), &["export", "--url", &server.url()])
        .with_code(0)
        .says("502 Bad Gateway (2 tries): (no explanation); trying again in 0.2 s");
}

#[test]
fn an_upload_is_sent_again_whole() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("f"), "all of it").unwrap();
    let bodies = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&bodies);
    let server = StubServer::start(move |request| {
        seen.lock().unwrap().push(request.body.clone());
        match request.number {
            0 => answer("504 Gateway Timeout", "", ""),
            _ => answer("200 OK", "", ""),
        }
    });
    let url = server.url();
    fieldstation(
        directory.path(),
        &["upload", "f", "--device", "d", "--url", &url],
    )
    .with_code(0)
    .says("504 Gateway Timeout: (no explanation); trying again in 0.1 s");
    assert_eq!(*bodies.lock().unwrap(), ["all of it", "all of it"]);
}

#[test]
fn a_download_that_brings_no_byte_ends() {
    let directory = tempfile::tempdir().unwrap();
    let server = StubServer::start(|request| {
        let headers =
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\netag: \"a\"\r\nconnection: close\r\n\r\n";
        assert!(request.line.starts_with("HEAD ") || request.line.starts_with("GET "));
        headers.as_bytes().to_vec()
    });
    let url = server.url();
    fieldstation(
        directory.path(),
        &["download", "--device", "d", "--url", &url],
    )
    .with_code(1)
    .says("the download broke off: ")
    .says("; trying again in 0.1 s");
}

//! Starting and stopping the server: requests under way, refusals, and exit codes.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::support::{Raw, Server, lines, reading, run};

#[tokio::test]
async fn a_request_under_way_is_finished_before_the_server_stops() {
    let server = Server::start();
    let directory = Arc::clone(server.directory());
    let address = server.address();
    let body = lines("a", 1000);
    let mut raw = Raw::connect(address).await;
    let head = format!(
        "POST /api/readings HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-ndjson\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    let (first, rest) = body.split_at(body.len() / 2);
    raw.send(format!("{head}{first}")).await;
    // An answer on a second connection shows that the server has accepted the first.
    server.client().get("/livez").await.with_status(200);
    server.sigterm();
    let started = Instant::now();
    while tokio::net::TcpStream::connect(address).await.is_ok() {
        assert!(
            started.elapsed() < Duration::from_secs(10),
            "still accepts connections"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    raw.send(rest).await;
    let answer = raw.answer().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.text.contains(r#""recorded":1000"#), "{answer:?}");
    let exited = server.wait();
    assert_eq!(exited.code, Some(0), "{}", exited.output);
    let server = Server::try_in(&directory, &[]).unwrap();
    assert_eq!(server.client().everything().await, body);
}

#[tokio::test]
async fn a_request_under_way_is_answered_when_the_server_stops() {
    let server = Server::start();
    let mut raw = Raw::connect(server.address()).await;
    // An answer on a second connection shows that the server has accepted the first.
    server.client().get("/livez").await.with_status(200);
    server.sigterm();
    let started = Instant::now();
    while !server.log().contains("draining") {
        assert!(
            started.elapsed() < Duration::from_secs(30),
            "{}",
            server.log()
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    raw.send("GET /livez HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let answer = raw.answer().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let exited = server.wait();
    assert_eq!(exited.code, Some(0), "{}", exited.output);
}

#[tokio::test]
async fn an_idle_connection_does_not_keep_the_server() {
    let server = Server::start();
    let mut raw = Raw::connect(server.address()).await;
    raw.send("GET /livez HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(!raw.receive().await.is_empty());
    let _silent = Raw::connect(server.address()).await;
    let started = Instant::now();
    let exited = server.stop();
    assert_eq!(exited.code, Some(0), "{}", exited.output);
    assert!(
        started.elapsed() < Duration::from_secs(10),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn the_drain_has_a_deadline_and_says_so_when_it_is_missed() {
    let server = Server::with_args(&["--drain-seconds", "1"]);
    let mut raw = Raw::connect(server.address()).await;
    raw.send(
        "POST /api/readings HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-ndjson\r\n\
         Content-Length: 5000\r\n\r\n\n",
    )
    .await;
    server.client().get("/livez").await.with_status(200);
    let started = Instant::now();
    let exited = server.stop();
    assert!(
        started.elapsed() < Duration::from_secs(15),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(exited.code, Some(0), "{}", exited.output);
    assert!(exited.output.contains("WARN"), "{}", exited.output);
}

#[tokio::test]
async fn who_asks_twice_is_not_kept_waiting() {
    let server = Server::with_args(&["--drain-seconds", "600", "--body-idle-seconds", "600"]);
    let mut raw = Raw::connect(server.address()).await;
    raw.send(
        "POST /api/readings HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-ndjson\r\n\
         Content-Length: 5000\r\n\r\n\n",
    )
    .await;
    server.client().get("/livez").await.with_status(200);
    server.sigterm();
    let started = Instant::now();
    while !server.log().contains("draining") {
        assert!(
            started.elapsed() < Duration::from_secs(30),
            "{}",
            server.log()
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    server.sigterm();
    let exited = server.wait();
    assert_eq!(exited.code, Some(0), "{}", exited.output);
    assert!(exited.output.contains("once more"), "{}", exited.output);
}

#[tokio::test]
async fn a_second_server_on_the_same_data_is_refused_and_the_first_goes_on() {
    let server = Server::start();
    let refused = Server::try_in(server.directory(), &[]).unwrap_err();
    assert_eq!(refused.code, Some(3), "{}", refused.output);
    assert!(
        refused.output.contains("in use by another fieldstation"),
        "{}",
        refused.output
    );
    assert!(refused.output.contains("--data"), "{}", refused.output);
    server
        .client()
        .put(reading("a", "2026-11-20T13:00:00Z", "1"))
        .await
        .with_status(200);
    let directory = Arc::clone(server.directory());
    assert_eq!(server.stop().code, Some(0));
    let server = Server::try_in(&directory, &[]).unwrap();
    assert_eq!(server.client().everything().await.lines().count(), 1);
}

#[tokio::test]
async fn a_port_that_is_taken_is_a_failed_initialization() {
    let server = Server::start();
    let directory = tempfile::tempdir().unwrap();
    let address = server.address().to_string();
    let exited = run(
        directory.path(),
        &["serve", "--listen", &address, "--data", "data"],
    );
    assert_eq!(exited.code, Some(3), "{}", exited.output);
    assert!(exited.output.contains(&address), "{}", exited.output);
}

#[test]
fn options_that_make_no_sense_are_bad_usage() {
    let directory = tempfile::tempdir().unwrap();
    for (arguments, words) in [
        (&["serve", "--nonsense"][..], "--nonsense"),
        (&["nonsense"], "nonsense"),
        (&["serve", "--listen", "nowhere"], "nowhere"),
        (&["serve", "--listen", "127.0.0.1:99999"], "99999"),
        (&["serve", "--sensors-max", "many"], "many"),
        (&["serve", "--sensors-max", "0"], "0"),
        (&["serve", "--connections-max", "0"], "0"),
        (&["serve", "--log-format", "xml"], "xml"),
        (&["serve", "--readings", "nosuch://host/x"], "sqlite"),
    ] {
        let exited = run(directory.path(), arguments);
        assert_eq!(exited.code, Some(2), "{arguments:?}: {}", exited.output);
        assert!(
            exited.output.contains(words),
            "{arguments:?}: {}",
            exited.output
        );
        assert!(!exited.output.contains("panicked"), "{}", exited.output);
    }
    assert_eq!(
        fs::read_dir(directory.path()).unwrap().count(),
        0,
        "something was created"
    );
}

#[test]
fn a_data_directory_that_cannot_be_is_a_failed_initialization() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("file"), "x").unwrap();
    let serve = |data: &str| {
        run(
            directory.path(),
            &["serve", "--listen", "127.0.0.1:0", "--data", data],
        )
    };
    let exited = serve("file");
    assert_eq!(exited.code, Some(3), "{}", exited.output);
    assert!(exited.output.contains("file"), "{}", exited.output);
}

#[tokio::test]
async fn damaged_data_is_refused_by_name_rather_than_served() {
    let server = Server::start();
    server.client().store(lines("a", 20_000)).await;
    let directory = Arc::clone(server.directory());
    let path = server.data().join("readings.db");
    assert_eq!(server.stop().code, Some(0));
    let mut bytes = fs::read(&path).unwrap();
    assert!(bytes.len() > 100);
    bytes[..100].fill(0x55);
    fs::write(&path, bytes).unwrap();
    let exited = Server::try_in(&directory, &[]).unwrap_err();
    assert_eq!(exited.code, Some(3), "{}", exited.output);
    assert!(exited.output.contains("readings.db"), "{}", exited.output);
}

#[test]
fn help_and_version_are_worth_reading_and_exit_well() {
    let directory = tempfile::tempdir().unwrap();
    for arguments in [
        &["--help"][..],
        &["serve", "--help"],
        &["-h"],
        &["--version"],
    ] {
        let exited = run(directory.path(), arguments);
        assert_eq!(exited.code, Some(0), "{arguments:?}");
    }
    let help = run(directory.path(), &["serve", "--help"]).output;
    for words in [
        "--listen",
        "FIELDSTATION_LISTEN",
        "127.0.0.1:5000",
        "--data",
        "FIELDSTATION_DATA",
        "--readings",
    ] {
        assert!(help.contains(words), "no {words} in {help}");
    }
    let help = run(directory.path(), &["--help"]).output;
    for words in ["serve", "curl", "Exit codes"] {
        assert!(help.contains(words), "no {words} in {help}");
    }
}

//! `fieldstation healthcheck`.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use super::fieldstation;
use super::stub_server::{StubServer, answer};

#[test]
fn a_ready_server_exits_with_0() {
    let directory = tempfile::tempdir().unwrap();
    let server = StubServer::start(|request| {
        assert_eq!(request.line, "GET /readyz");
        answer("200 OK", "", "{}")
    });
    let ended =
        fieldstation(directory.path(), &["healthcheck", "--url", &server.url()]).with_code(0);
    assert_eq!(ended.stdout, format!("ready: {}\n", server.url()));
}

#[test]
fn a_server_that_is_not_ready_exits_with_1_and_the_reason() {
    let directory = tempfile::tempdir().unwrap();
    let server = StubServer::start(|_| {
        let detail = r#"{"detail":"the readings are not there"}"#;
        answer("503 Service Unavailable", "retry-after: 1\r\n", detail)
    });
    fieldstation(directory.path(), &["healthcheck", "--url", &server.url()])
        .with_code(1)
        .says("not ready")
        .says("503")
        .says("the readings are not there");
}

#[test]
fn a_server_that_is_missing_or_silent_exits_with_1() {
    let directory = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = listener.local_addr().unwrap().to_string();
    let started = Instant::now();
    let arguments = ["healthcheck", "--url", &url, "--timeout-seconds", "1"];
    fieldstation(directory.path(), &arguments)
        .with_code(1)
        .says("no answer in time");
    assert!(started.elapsed() < Duration::from_secs(10));
    drop(listener);
    fieldstation(directory.path(), &arguments)
        .with_code(1)
        .says("refused");
}

#[test]
fn bad_usage_is_2() {
    let directory = tempfile::tempdir().unwrap();
    for arguments in [
        &["healthcheck", "--url", "ftp://host"][..],
        &["healthcheck", "--timeout-seconds", "0"],
        &["healthcheck", "--nonsense"],
    ] {
        fieldstation(directory.path(), arguments).with_code(2);
    }
}

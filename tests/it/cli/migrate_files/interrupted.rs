//! Interrupted copies, and sources with changes during a copy.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{migrate, says};
use crate::support::{Exited, Fault, FaultProxy, S3Server, Server};

/// Runs a copy in a thread, and waits until the first file has arrived.
fn begin(directory: &Path, from: &str, to: &str, s3: &S3Server) -> std::thread::JoinHandle<Exited> {
    let (directory, from, to) = (directory.to_owned(), from.to_owned(), to.to_owned());
    let copy = std::thread::spawn(move || migrate(&directory, &from, &to));
    let deadline = Instant::now() + Duration::from_secs(60);
    while s3.keys().iter().all(|key| !key.contains("/index/")) {
        assert!(Instant::now() < deadline, "nothing arrives");
        std::thread::sleep(Duration::from_millis(5));
    }
    copy
}

#[tokio::test]
async fn an_object_that_changes_during_the_copy_is_named_and_copied_by_the_next_run() {
    let s3 = S3Server::start();
    s3.make_bucket("older");
    for n in 10..90 {
        s3.put_object("older", &format!("d{n}"), None, b"before");
    }
    let proxy = FaultProxy::start(s3.address());
    proxy.set(Fault::Delay(Duration::from_millis(60)));
    let directory = tempfile::tempdir().unwrap();
    let older = S3Server::url_of(proxy.address(), "older");
    let copy = begin(directory.path(), &older, &s3.url(), &s3);
    // The object is listed, but not copied yet.
    s3.put_object("older", "d89", None, b"later!");
    let exited = copy.join().unwrap();
    says(&exited, 1, &["CHANGED: \"d89\"", "copied      79"]);
    proxy.set(Fault::None);
    let exited = migrate(directory.path(), &older, &s3.url());
    says(
        &exited,
        0,
        &["copied      1", "the same    79", "The same on both sides."],
    );
    let server = Server::with_args(&["--files", &s3.url()]);
    assert_eq!(server.client().file("d89").await, b"later!");
}

#[tokio::test]
async fn an_interrupted_copy_continues_when_run_again() {
    let s3 = S3Server::start();
    s3.make_bucket("older");
    for n in 0..60 {
        s3.put_object("older", &format!("d{n}"), None, &[n; 3000]);
    }
    let proxy = FaultProxy::start(s3.address());
    proxy.set(Fault::Delay(Duration::from_millis(40)));
    let directory = tempfile::tempdir().unwrap();
    let older = S3Server::url_of(proxy.address(), "older");
    let copy = begin(directory.path(), &older, &s3.url(), &s3);
    // The copy repeats failed requests. The target holds some of the files.
    proxy.set(Fault::CutAnswers);
    std::thread::sleep(Duration::from_millis(600));
    proxy.set(Fault::None);
    says(
        &copy.join().unwrap(),
        0,
        &["copied      60", "The same on both sides."],
    );
    let exited = migrate(directory.path(), &older, &s3.url());
    says(&exited, 0, &["copied      0", "the same    60"]);
    for n in 60..120 {
        s3.put_object("older", &format!("d{n}"), None, &[n; 3000]);
    }
    proxy.set(Fault::Delay(Duration::from_millis(40)));
    let mut child = Command::new(env!("CARGO_BIN_EXE_fieldstation"))
        .args([
            "migrate",
            "--from",
            &older,
            "--to",
            &s3.url(),
            "--data",
            "data",
        ])
        .envs([
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
        ])
        .current_dir(directory.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    let records = || {
        s3.keys()
            .iter()
            .filter(|key| key.contains("/index/"))
            .count()
    };
    while records() < 70 {
        assert!(Instant::now() < deadline, "nothing arrives");
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    proxy.set(Fault::None);
    assert!(records() < 120, "it was done already");
    let exited = migrate(directory.path(), &older, &s3.url());
    says(&exited, 0, &["The same on both sides."]);
    assert_eq!(records(), 120);
    let server = Server::with_args(&["--files", &s3.url()]);
    for n in [0, 61, 119] {
        assert_eq!(server.client().file(&format!("d{n}")).await, [n; 3000]);
    }
}

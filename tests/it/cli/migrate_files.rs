//! `fieldstation migrate` for files: the older service's bucket, and our own stores in either direction.
#![cfg(feature = "cloud")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use tempfile::TempDir;

use crate::support::{
    Answer, Client, Exited, Fault, FaultProxy, FileBytes, Random, S3Kind, S3Server, Server, run,
};

const KINDS: [S3Kind; 2] = [S3Kind::Moto, S3Kind::Ministack];

/// What the demonstration asks for.
const FILES: usize = 500;

fn migrate(directory: &Path, from: &str, to: &str) -> Exited {
    let arguments = ["migrate", "--from", from, "--to", to, "--data", "data"];
    run(directory, &arguments)
}

#[track_caller]
fn says(exited: &Exited, code: i32, words: &[&str]) {
    assert_eq!(exited.code, Some(code), "{}", exited.output);
    for word in words {
        assert!(
            exited.output.contains(word),
            "no {word:?} in {}",
            exited.output
        );
    }
}

/// Files by device, as the older service keeps them: the key is the id.
fn older_files() -> BTreeMap<String, Vec<u8>> {
    let mut ids: Vec<String> = [
        "202",
        "dir/file",
        "/begins with a slash",
        "ends with a slash/",
        "a//b",
        "a b",
        "a+b",
        "a%20b",
        "%2e%2e",
        "a&b=c?d#e",
        "<&>\"'",
        "a\\b",
        "é",
        "e\u{301}",
        "日本 7",
        "\u{202e}x",
        "index",
        "index/202",
        "content/202!x",
        "CON",
        "~",
        "...a",
    ]
    .map(str::to_owned)
    .into();
    ids.push("💡".repeat(128));
    let mut random = Random::new(26);
    while ids.len() < FILES {
        let number = ids.len();
        ids.push(match random.below(4) {
            0 => format!("{}", 1000 + number),
            1 => format!("sensor-{number}"),
            2 => format!("Gerät {number}/Süd"),
            _ => format!("{:032x}", random.number()),
        });
    }
    let bytes = FileBytes::up_to(6 << 20);
    let sizes = |number: usize| match number {
        0 => 6 << 20,
        1 => 0,
        2..8 => (1 << 20) + number,
        _ => number * number % 5000,
    };
    let files = ids.into_iter().enumerate();
    files
        .map(|(number, id)| (id, bytes.of(sizes(number)).to_vec()))
        .collect()
}

fn fill(s3: &S3Server, bucket: &str, prefix: &str, files: &BTreeMap<String, Vec<u8>>) {
    for (id, bytes) in files {
        s3.put_object(bucket, &format!("{prefix}{id}"), None, bytes);
    }
}

/// An id as a part of a path.
fn encoded(id: &str) -> String {
    let text = |byte: u8| match byte {
        b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    id.bytes().map(text).collect()
}

/// Compares what a server serves with what it should, to the last byte.
async fn compare(client: &Client, files: &BTreeMap<String, Vec<u8>>) {
    let mut listed = client.devices().await;
    listed.sort_unstable();
    let ids: Vec<_> = files.keys().cloned().collect();
    assert!(listed == ids, "{} of {}", listed.len(), ids.len());
    stream::iter(files)
        .for_each_concurrent(4, |(id, bytes)| async move {
            let found = client.file(&encoded(id)).await;
            assert!(found == *bytes, "{id:?} has {} bytes", found.len());
        })
        .await;
}

#[tokio::test]
async fn five_hundred_files_of_an_older_bucket_come_over_whole() {
    for kind in KINDS {
        let s3 = S3Server::start_kind(kind);
        s3.make_bucket("older");
        let files = older_files();
        assert_eq!(files.len(), FILES);
        fill(&s3, "older", "", &files);
        let directory = Arc::new(tempfile::tempdir().unwrap());
        let older = S3Server::url_of(s3.address(), "older");

        let exited = migrate(directory.path(), &older, &s3.url());
        let words = [
            "older service's bucket",
            "copied      500",
            "The same on both sides.",
        ];
        says(&exited, 0, &words);
        let server = Server::with_args(&["--files", &s3.url()]);
        compare(&server.client(), &files).await;
        let info = server.client().get("/api/devices/202/info").await.json();
        assert_eq!(info["type"], "application/octet-stream");
        assert_eq!(info["name"], serde_json::Value::Null);
        drop(server);
        let again = migrate(directory.path(), &older, &s3.url());
        says(
            &again,
            0,
            &[
                "copied      0",
                "the same    500",
                "The same on both sides.",
            ],
        );

        let exited = migrate(directory.path(), &older, "file:");
        says(
            &exited,
            0,
            &["copied      500", "folder", "The same on both sides."],
        );
        let server = Server::try_in(&directory, &[]).unwrap();
        compare(&server.client(), &files).await;
        // The other side is as it was.
        assert_eq!(s3.keys_of("older").len(), FILES, "{kind:?}");
    }
}

#[tokio::test]
async fn keys_that_are_no_ids_are_all_named_and_hold_nothing_back() {
    for kind in KINDS {
        let s3 = S3Server::start_kind(kind);
        s3.make_bucket("older");
        let long = "x".repeat(129);
        let bad = [" begins", "ends ", "tab\there", &long];
        for key in bad {
            s3.put_object("older", &format!("p/{key}"), None, b"?");
        }
        s3.put_object("older", "p/begins", Some("image/png"), b"png");
        s3.put_object("older", "p/zz", Some("nonsense"), b"zz");
        s3.put_object("older", "beside", None, b"not in the prefix");
        let directory = Arc::new(tempfile::tempdir().unwrap());
        let older = S3Server::url_of(s3.address(), "older/p");
        let exited = migrate(directory.path(), &older, "file:");
        says(
            &exited,
            1,
            &[
                "copied      2",
                "not copied  4",
                "\" begins\"",
                "\"ends \"",
                "white space",
                "\"tab\\there\"",
                "control character",
                "longer than 128",
            ],
        );
        assert_eq!(
            exited.output.matches("NOT COPIED").count(),
            bad.len(),
            "{}",
            exited.output
        );
        let server = Server::try_in(&directory, &[]).unwrap();
        let client = server.client();
        assert_eq!(client.devices().await, ["begins", "zz"]);
        let info = client.get("/api/devices/begins/info").await.json();
        assert_eq!(info["type"], "image/png");
    }
}

#[tokio::test]
async fn a_newer_file_of_the_other_side_stays_and_a_broken_off_copy_goes_on() {
    let s3 = S3Server::start();
    s3.make_bucket("older");
    for n in 0..20 {
        s3.put_object(
            "older",
            &format!("d{n}"),
            None,
            format!("old {n}").as_bytes(),
        );
    }
    let directory = tempfile::tempdir().unwrap();
    let older = S3Server::url_of(s3.address(), "older");
    // Clients have moved already, and sent some.
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let server = Server::with_args(&["--files", &s3.url()]);
    let client = server.client();
    client.send_file("d3", "new").await.with_status(200);
    client.send_file("e", "only there").await.with_status(200);
    let exited = migrate(directory.path(), &older, &s3.url());
    says(
        &exited,
        1,
        &[
            "copied      19",
            "newer there 1",
            "KEPT: \"d3\"",
            "holds 1 more",
        ],
    );
    assert_eq!(client.file("d3").await, b"new");
    assert_eq!(client.file("d4").await, b"old 4");
    // One of them is sent again to the older service, which goes on for a while.
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    s3.put_object("older", "d4", None, b"old again");
    let exited = migrate(directory.path(), &older, &s3.url());
    says(&exited, 1, &["copied      1", "the same    18"]);
    assert_eq!(client.file("d4").await, b"old again");
    assert_eq!(client.file("e").await, b"only there");
}

#[tokio::test]
async fn a_store_of_ours_is_told_from_an_older_bucket_and_both_together_are_asked_about() {
    for kind in KINDS {
        let s3 = S3Server::start_kind(kind);
        let bucket = S3Server::url_of(s3.address(), "fieldstation");
        let directory = Arc::new(tempfile::tempdir().unwrap());
        let other = S3Server::url_of(s3.address(), "fieldstation/new");
        for n in 0..3 {
            s3.put_object("fieldstation", &format!("d{n}"), None, b"older");
        }
        // Into a part of the same bucket: what is written there is not read.
        let exited = migrate(directory.path(), &bucket, &other);
        says(&exited, 0, &["copied      3", "Keys that begin with new/"]);
        let exited = migrate(directory.path(), &bucket, &other);
        says(&exited, 0, &["the same    3"]);
        // A store at the root beside the older files.
        let server = Server::with_args(&["--files", &bucket]);
        server
            .client()
            .send_file("ours", "ours")
            .await
            .with_status(200);
        drop(server);
        // What a server that was killed may leave.
        let probe = "probe/18b9a2d84c4d11f20a7c1b5de9f04386";
        s3.put_object("fieldstation", probe, None, b"1");
        let exited = migrate(directory.path(), &bucket, "file:");
        says(&exited, 2, &["layout=store", "layout=keys"]);
        let store = format!("{bucket}&layout=store");
        let exited = migrate(directory.path(), &store, "file:");
        says(&exited, 0, &["a store of this program", "copied      1"]);
        let keys = format!("{bucket}&layout=keys");
        let exited = migrate(directory.path(), &keys, &other);
        says(&exited, 0, &["copied      2", "the same    3"]);
        let same = migrate(directory.path(), &bucket, &format!("{bucket}&layout=keys"));
        assert_eq!(same.code, Some(2), "{}", same.output);
        let server = Server::try_in(&directory, &[]).unwrap();
        assert_eq!(server.client().devices().await, ["ours"]);
    }
}

#[tokio::test]
async fn our_own_files_keep_their_type_name_and_time_in_either_direction() {
    let s3 = S3Server::start();
    let directory: Arc<TempDir> = Arc::new(tempfile::tempdir().unwrap());
    let server = Server::try_in(&directory, &[]).unwrap();
    let client = server.client();
    let large = FileBytes::up_to(6 << 20).of(6 << 20);
    for (id, bytes) in [("a/b", &b"one"[..]), ("é", b""), ("large", &large)] {
        let request = client
            .request("PUT", &format!("/api/devices/{}", encoded(id)))
            .header("content-type", "image/png")
            .header("content-disposition", "attachment; filename=\"photo.png\"");
        Answer::to(request.body(bytes.to_vec()))
            .await
            .with_status(200);
    }
    let infos = async |client: &Client| {
        let mut infos = Vec::new();
        for id in ["a%2Fb", "%C3%A9", "large"] {
            let info = client.get(&format!("/api/devices/{id}/info")).await;
            infos.push(info.with_status(200).json());
        }
        infos
    };
    let before = infos(&client).await;
    assert_eq!(server.stop().code, Some(0));
    let exited = migrate(directory.path(), "file:", &s3.url());
    says(&exited, 0, &["copied      3", "The same on both sides."]);
    let server = Server::with_args(&["--files", &s3.url()]);
    assert_eq!(infos(&server.client()).await, before);
    drop(server);
    let back = Arc::new(tempfile::tempdir().unwrap());
    let exited = migrate(back.path(), &s3.url(), "file:");
    says(&exited, 0, &["a store of this program", "copied      3"]);
    let exited = migrate(back.path(), &s3.url(), "file:");
    says(&exited, 0, &["the same    3"]);
    let server = Server::try_in(&back, &[]).unwrap();
    assert_eq!(infos(&server.client()).await, before);
    assert_eq!(server.client().file("large").await, large);
}

/// Runs a copy in a thread, and waits until some of it has arrived.
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
async fn an_object_that_changes_while_it_is_copied_is_named_and_copied_by_the_next_run() {
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
    // It was listed, and its turn has not come.
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
async fn a_copy_that_is_cut_off_goes_on_when_it_is_run_again() {
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
    // For a moment it is tried again, then for good. The other side has some of it.
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

#[test]
fn what_cannot_be_opened_or_read_is_named() {
    let s3 = S3Server::start();
    let directory = tempfile::tempdir().unwrap();
    for (from, to, code, words) in [
        ("file:".to_owned(), s3.url(), 3, "no directory"),
        (
            S3Server::url_of(s3.address(), "nowhere"),
            "file:".to_owned(),
            1,
            "NoSuchBucket",
        ),
        (s3.url(), "sqlite:".to_owned(), 2, "no backend for files"),
        (s3.url(), s3.url(), 2, "are the same"),
        (
            format!("{}&layout=x", s3.url()),
            "file:".to_owned(),
            2,
            "store or keys",
        ),
    ] {
        let exited = migrate(directory.path(), &from, &to);
        says(&exited, code, &[words]);
    }
}

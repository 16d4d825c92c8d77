//! `fieldstation migrate` for files: from the bucket of an older service, and between stores of this program in both directions.
#![cfg(feature = "cloud")]

mod interrupted;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use futures_util::{StreamExt, stream};
use tempfile::TempDir;

use crate::support::{Answer, Client, Exited, FileBytes, Random, S3Kind, S3Server, Server, run};

const KINDS: [S3Kind; 2] = [S3Kind::Moto, S3Kind::Ministack];

/// The number of files in the large copy.
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

/// Files by device in the layout of the older service: the key is the id of the device.
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

/// An id as a path segment.
fn encoded(id: &str) -> String {
    let text = |byte: u8| match byte {
        b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    id.bytes().map(text).collect()
}

/// Compares the files of a server with the expected files, byte by byte.
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
async fn five_hundred_files_of_an_older_bucket_are_copied_exactly() {
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
        // The source is unchanged.
        assert_eq!(s3.keys_of("older").len(), FILES, "{kind:?}");
    }
}

#[tokio::test]
async fn keys_that_are_no_ids_are_named_and_all_other_files_are_copied() {
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
    // Clients have already sent files to the new server.
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
    // The older service still runs, and gets a file again.
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    s3.put_object("older", "d4", None, b"old again");
    let exited = migrate(directory.path(), &older, &s3.url());
    says(&exited, 1, &["copied      1", "the same    18"]);
    assert_eq!(client.file("d4").await, b"old again");
    assert_eq!(client.file("e").await, b"only there");
}

#[tokio::test]
async fn a_store_is_distinguished_from_an_older_bucket_and_a_mixed_bucket_needs_a_choice() {
    for kind in KINDS {
        let s3 = S3Server::start_kind(kind);
        let bucket = S3Server::url_of(s3.address(), "fieldstation");
        let directory = Arc::new(tempfile::tempdir().unwrap());
        let other = S3Server::url_of(s3.address(), "fieldstation/new");
        for n in 0..3 {
            s3.put_object("fieldstation", &format!("d{n}"), None, b"older");
        }
        // Into a prefix of the same bucket: objects under this prefix are not read.
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
        // A killed server may leave such an object.
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
async fn files_keep_their_type_name_and_time_in_both_directions() {
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

#[test]
fn an_unusable_source_or_target_is_named() {
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

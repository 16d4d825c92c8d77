//! A full disk, and an exhausted quota.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{add_todo, greet, remove};
use crate::support::{
    Answer, Client, DISK_BYTES, Refusal, Server, SmallDisk, lines, random_bytes, run_on_small,
};

/// Starts a server, and waits until the disk reserve is there.
fn start(refusal: Refusal) -> (Arc<SmallDisk>, Server) {
    let disk = Arc::new(SmallDisk::new(refusal));
    let server = Server::try_on_small(&disk, &[]).unwrap();
    until_reserved(&disk);
    (disk, server)
}

fn until_reserved(disk: &SmallDisk) {
    let deadline = Instant::now() + Duration::from_secs(60);
    let held = || fs::metadata(disk.data().join("reserve")).map_or(0, |found| found.len());
    while held() < DISK_BYTES / 64 {
        assert!(Instant::now() < deadline, "there is no reserve");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Asserts that an answer reports the full disk, names the disk, and tells the operator how to help.
#[track_caller]
fn assert_full(answer: &Answer, disk: &SmallDisk) {
    let text = answer.text();
    assert_eq!(answer.status, 507, "{text}");
    assert_eq!(answer.header("retry-after"), Some("30"));
    assert_eq!(
        answer.header("content-type"),
        Some("application/problem+json")
    );
    assert_eq!(answer.json()["type"], "/problems/storage-full");
    let data = disk.data().display().to_string();
    for words in [&data, " bytes are free", "Make room there", "by itself"] {
        assert!(text.contains(words), "no `{words}` in {text}");
    }
}

/// Asserts that the server refuses every request to add data.
async fn assert_refuses_additions(client: &Client, disk: &SmallDisk) {
    assert_full(&client.put(lines("new", 1)).await, disk);
    assert_full(&client.send_file("new", "bytes").await, disk);
    assert_full(&add_todo(client, "new").await, disk);
    assert_full(&greet(client, "new").await, disk);
}

async fn assert_takes_additions(client: &Client) {
    client.put(lines("later", 1)).await.with_status(200);
    client.send_file("later", "bytes").await.with_status(200);
    add_todo(client, "later").await.with_status(201);
    greet(client, "Later").await.with_status(200);
}

#[tokio::test]
async fn a_full_disk_is_told_to_everybody_and_writes_are_taken_again_once_there_is_room() {
    let (disk, server) = start(Refusal::Full);
    let client = server.client();
    client.store(lines("a", 100)).await;
    client.send_file("a", "kept").await.with_status(200);
    greet(&client, "Kept").await.with_status(200);
    client.until_readiness(200).await;

    disk.fill(0);
    client.until_readiness(503).await;
    let ready = client.get("/readyz").await.text();
    assert!(
        ready.contains("the disk is full: 0 bytes are free"),
        "{ready}"
    );
    let health = client.get("/health").await.with_status(503).json();
    assert_eq!(health["dataDirectory"]["state"], "full");
    assert_eq!(health["dataDirectory"]["freeBytes"], 0);
    for store in ["readings", "files", "todos", "greeting"] {
        let reason = health["stores"][store]["reason"].as_str().unwrap();
        assert!(reason.contains("the disk is full"), "{reason}");
    }
    let page = client.get("/").await.with_status(200).text();
    assert!(
        page.contains("the disk is full: 0 bytes are free"),
        "{page}"
    );
    assert_refuses_additions(&client, &disk).await;
    assert_eq!(client.file("a").await, b"kept");
    assert_eq!(client.everything().await.lines().count(), 100);
    assert_eq!(client.get("/hello").await.text(), "Kept");

    disk.make_room();
    client.until_readiness(200).await;
    assert_takes_additions(&client).await;
    let page = client.get("/").await.with_status(200).text();
    assert!(!page.contains("the disk is full"), "{page}");
    let log = server.log();
    for line in [
        "the disk is full: writes are refused",
        "the disk has room again",
    ] {
        assert_eq!(log.matches(line).count(), 1, "{log}");
    }
}

#[tokio::test]
async fn a_server_starts_on_a_full_disk_however_the_one_before_it_ended() {
    let (disk, server) = start(Refusal::Full);
    let client = server.client();
    client.store(lines("a", 2_000)).await;
    client.send_file("a", "kept").await.with_status(200);
    add_todo(&client, "kept").await.with_status(201);
    greet(&client, "Kept").await.with_status(200);
    let stats = client.stats("").await;
    disk.fill(0);
    let mut server = server;
    for kills in [true, false, true, true, false, false] {
        if kills {
            server.kill9();
        } else {
            let ended = server.stop();
            assert_eq!(ended.code, Some(0), "{}", ended.output);
        }
        // A stopping server frees some room.
        disk.fill(0);
        server = Server::try_on_small(&disk, &[]).unwrap();
        let client = server.client();
        client.get("/readyz").await.with_status(503);
        assert_eq!(client.stats("").await, stats);
        assert_eq!(client.everything().await.lines().count(), 2_000);
        assert_eq!(client.file("a").await, b"kept");
        assert_eq!(client.get("/hello").await.text(), "Kept");
        let todos = client.get("/api/todos").await.with_status(200).json();
        assert_eq!(todos["todos"].as_array().unwrap().len(), 1);
        assert_refuses_additions(&client, &disk).await;
    }
    disk.make_room();
    let client = server.client();
    client.until_readiness(200).await;
    assert_takes_additions(&client).await;
    until_reserved(&disk);
}

#[tokio::test]
async fn what_is_removed_on_a_full_disk_makes_room() {
    let (disk, server) = start(Refusal::Full);
    let client = server.client();
    let large = random_bytes(8 << 20);
    client.send_file("large", large).await.with_status(200);
    let todo = add_todo(&client, "old").await.with_status(201);
    let todo = todo.header("location").unwrap().to_owned();
    disk.fill(0);
    client.until_readiness(503).await;
    remove(&client, &todo).await.with_status(204);
    let removed = remove(&client, "/api/devices/large").await;
    assert!(removed.status < 300, "{}", removed.text());
    // The ballast is still there.
    client.until_readiness(200).await;
    assert_takes_additions(&client).await;
    client.get(&todo).await.problem(404, "unknown-todo");
    assert!(!client.devices().await.contains(&"large".to_owned()));
}

#[tokio::test]
async fn the_first_to_notice_may_be_one_that_removes_something() {
    let (disk, server) = start(Refusal::Full);
    let client = server.client();
    let mut paths = Vec::new();
    for number in 0..20 {
        let todo = add_todo(&client, &format!("todo {number}")).await;
        paths.push(todo.with_status(201).header("location").unwrap().to_owned());
    }
    disk.fill(0);
    for path in paths {
        remove(&client, &path).await.with_status(204);
    }
}

#[tokio::test]
async fn a_quota_that_is_used_up_is_a_full_disk_and_ends_no_server() {
    let (disk, server) = start(Refusal::Quota);
    let client = server.client();
    client.store(lines("a", 100)).await;
    let todo = add_todo(&client, "old").await.with_status(201);
    let todo = todo.header("location").unwrap().to_owned();
    disk.fill(0);
    // Only a write shows the lack of room.
    let mut last = None;
    for number in 0..50 {
        let answer = client.store_or_not(lines(&format!("b{number}"), 500)).await;
        if answer.status != 200 {
            last = Some(answer);
            break;
        }
    }
    assert_full(&last.unwrap(), &disk);
    client.until_readiness(503).await;
    assert_full(&add_todo(&client, "new").await, &disk);
    remove(&client, &todo).await.with_status(204);
    let stored = client.everything().await;

    // A start works, too.
    let ended = server.stop();
    assert_eq!(ended.code, Some(0), "{}", ended.output);
    let server = Server::try_on_small(&disk, &[]).unwrap();
    let client = server.client();
    assert_eq!(client.everything().await, stored);
    disk.make_room();
    client.until_readiness(200).await;
    assert_takes_additions(&client).await;
}

#[tokio::test]
async fn a_file_that_is_larger_than_the_room_is_refused_alone() {
    let (disk, server) = start(Refusal::Full);
    let client = server.client();
    disk.fill(8 << 20);
    let answer = client.send_file("large", random_bytes(16 << 20)).await;
    assert_full(&answer, &disk);
    client.until_readiness(200).await;
    assert_takes_additions(&client).await;
    assert_eq!(client.devices().await, ["later"]);
}

#[tokio::test]
async fn little_room_is_a_warning() {
    let (disk, server) = start(Refusal::Full);
    let client = server.client();
    let warnings = async || {
        let health = client.get("/health").await.with_status(200).json();
        health["dataDirectory"]["warnings"].clone()
    };
    assert!(warnings().await.is_null());
    disk.fill(DISK_BYTES / 30);
    let deadline = Instant::now() + Duration::from_secs(60);
    while warnings().await.is_null() {
        assert!(Instant::now() < deadline, "there is no warning");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let warning = warnings().await[0].as_str().unwrap().to_owned();
    assert!(warning.contains("the disk is nearly full"), "{warning}");
    client.put(lines("a", 1)).await.with_status(200);
}

#[tokio::test]
async fn what_is_on_a_full_disk_is_verified_exported_and_backed_up_elsewhere() {
    for kills in [false, true] {
        let (disk, mut server) = start(Refusal::Full);
        let client = server.client();
        client.store(lines("a", 1_000)).await;
        client.send_file("a", "kept").await.with_status(200);
        disk.fill(0);
        client.until_readiness(503).await;
        if kills {
            server.kill9();
        } else {
            assert_eq!(server.stop().code, Some(0));
        }
        let verified = run_on_small(&disk, &["verify", "--data", "data"]);
        assert_eq!(verified.code, Some(0), "{}", verified.output);
        let arguments = ["export", "--data", "data", "--output", "all.csv"];
        let exported = run_on_small(&disk, &arguments);
        assert_eq!(exported.code, Some(0), "{}", exported.output);
        let rows = fs::read_to_string(disk.directory().path().join("all.csv")).unwrap();
        assert_eq!(rows.lines().count(), 1_001);
        let backed_up = run_on_small(&disk, &["backup", "--data", "data", "--to", "backup"]);
        assert_eq!(backed_up.code, Some(0), "{}", backed_up.output);
    }
}

#[tokio::test]
async fn a_flush_that_finds_no_room_ends_the_server_and_what_was_acknowledged_is_there() {
    for writes_todo in [false, true] {
        let (disk, server) = start(Refusal::Full);
        let client = server.client();
        client.store(lines("a", 100)).await;
        disk.fail_flushes(true);
        let request = match writes_todo {
            true => client
                .request("POST", "/api/todos")
                .body(r#"{"title":"new"}"#),
            false => client
                .request("PUT", "/api/temperature")
                .body(lines("b", 1)),
        };
        // The server may also end without an answer.
        if let Ok(answer) = Answer::try_to(request).await {
            assert!(answer.status >= 500, "{}", answer.text());
        }
        let ended = server.wait();
        assert_eq!(ended.code, Some(4), "{}", ended.output);
        disk.fail_flushes(false);
        let server = Server::try_on_small(&disk, &[]).unwrap();
        let client = server.client();
        let stored = client.everything().await.lines().count();
        assert!((100..=101).contains(&stored), "{stored}");
        assert_takes_additions(&client).await;
    }
}

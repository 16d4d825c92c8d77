//! `--read-only`: stored data is served, and nothing is changed.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;

use super::{add_todo, greet, remove};
use crate::support::{Answer, Server, lines, run};

/// A directory with readings, a file, a todo and a greeting. `kills` says whether the server was killed.
async fn data(kills: bool) -> Arc<TempDir> {
    let mut server = Server::start();
    let client = server.client();
    client.store(lines("a", 1_000)).await;
    client.send_file("a", "kept").await.with_status(200);
    add_todo(&client, "kept").await.with_status(201);
    greet(&client, "Kept").await.with_status(200);
    let directory = Arc::clone(server.directory());
    if kills {
        server.kill9();
    } else {
        assert_eq!(server.stop().code, Some(0));
    }
    directory
}

/// The bytes of every file in a directory.
fn contents(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if entry.metadata().unwrap().is_dir() {
            let inside = contents(&entry.path());
            found.extend(
                inside
                    .into_iter()
                    .map(|(at, bytes)| (format!("{name}/{at}"), bytes)),
            );
        } else {
            found.insert(name, fs::read(entry.path()).unwrap());
        }
    }
    found
}

#[tokio::test]
async fn a_server_that_only_reads_serves_everything_refuses_writes_and_changes_no_file() {
    for kills in [false, true] {
        let directory = data(kills).await;
        let path = directory.path().join("data");
        let before = contents(&path);
        let server = Server::try_in(&directory, &["--read-only"]).unwrap();
        let client = server.client();
        assert_eq!(client.everything().await.lines().count(), 1_000);
        assert_eq!(
            client.stats("").await,
            r#"{"Maximum":99,"Minimum":0,"Average":49.5}"#
        );
        assert_eq!(client.file("a").await, b"kept");
        assert_eq!(client.get("/hello").await.text(), "Kept");
        let todos = client.get("/api/todos").await.with_status(200).json();
        let id = todos["todos"][0]["id"].as_str().unwrap();

        client.get("/readyz").await.with_status(200);
        let health = client.get("/health").await.with_status(200).json();
        assert_eq!(health["dataDirectory"]["state"], "read-only");
        let page = client.get("/").await.with_status(200).text();
        assert!(page.contains("This server only reads"), "{page}");
        let refused: [Answer; 6] = [
            client.put(lines("b", 1)).await,
            client.store_or_not(lines("b", 1)).await,
            client.send_file("b", "x").await,
            remove(&client, "/api/devices/a").await,
            remove(&client, &format!("/api/todos/{id}")).await,
            greet(&client, "new").await,
        ];
        for answer in refused {
            answer.problem_saying(403, "read-only", &["--read-only"]);
        }
        assert_eq!(contents(&path), before, "after a kill: {kills}");
        assert_eq!(server.stop().code, Some(0));
        assert_eq!(contents(&path), before, "after a kill: {kills}");
    }
}

#[tokio::test]
async fn verifying_and_exporting_change_no_file() {
    for kills in [false, true] {
        let directory = data(kills).await;
        let before = contents(&directory.path().join("data"));
        for arguments in [
            &["verify", "--data", "data"][..],
            &["export", "--data", "data", "--output", "all.csv"],
        ] {
            let ended = run(directory.path(), arguments);
            assert_eq!(ended.code, Some(0), "{}", ended.output);
        }
        assert_eq!(contents(&directory.path().join("data")), before);
    }
}

#[tokio::test]
async fn a_log_whose_index_is_missing_is_not_passed_over() {
    let directory = data(true).await;
    let path = directory.path().join("data");
    for name in ["readings.db-shm", "station.db-shm"] {
        fs::remove_file(path.join(name)).unwrap();
    }
    let before = contents(&path);
    let ended = Server::try_in(&directory, &["--read-only"]).err().unwrap();
    assert_eq!(ended.code, Some(3), "{}", ended.output);
    for words in [
        "readings.db-shm",
        "Copy the directory",
        "without --read-only",
    ] {
        assert!(ended.output.contains(words), "{}", ended.output);
    }
    assert_eq!(contents(&path), before);
    // Other commands recover the log, because they may write.
    let ended = run(directory.path(), &["verify", "--data", "data"]);
    assert_eq!(ended.code, Some(0), "{}", ended.output);
}

#[tokio::test]
async fn a_directory_is_not_served_read_only_while_a_server_writes_to_it() {
    let server = Server::start();
    let ended = Server::try_in(server.directory(), &["--read-only"])
        .err()
        .unwrap();
    assert_eq!(ended.code, Some(3), "{}", ended.output);
    assert!(ended.output.contains("in use"), "{}", ended.output);
    let directory = data(false).await;
    let reading = Server::try_in(&directory, &["--read-only"]).unwrap();
    let ended = Server::try_in(&directory, &[]).err().unwrap();
    assert_eq!(ended.code, Some(3), "{}", ended.output);
    drop(reading);
}

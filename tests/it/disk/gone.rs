//! A removed, moved, replaced, or incomplete data directory.

use std::fs;
use std::sync::Arc;

use super::{add_todo, greet};
use crate::support::{Answer, Client, Server, lines};

/// Asserts that the server refuses every write with the reason.
async fn assert_refuses(client: &Client, why: &str) {
    let answers: [Answer; 4] = [
        client.put(lines("new", 1)).await,
        client.send_file("new", "bytes").await,
        add_todo(client, "new").await,
        greet(client, "new").await,
    ];
    for answer in answers {
        let text = answer.text();
        assert_eq!(answer.status, 503, "{text}");
        assert!(answer.header("retry-after").is_some());
        for words in ["the data directory is not what it was", why] {
            assert!(text.contains(words), "no `{words}` in {text}");
        }
    }
    let health = client.get("/health").await.with_status(503).json();
    assert_eq!(health["dataDirectory"]["state"], "away");
}

#[tokio::test]
async fn a_directory_that_is_moved_away_takes_nothing_until_it_is_back() {
    let server = Server::start();
    let client = server.client();
    client.store(lines("a", 10)).await;
    let (data, elsewhere) = (server.data(), server.directory().path().join("elsewhere"));
    fs::rename(&data, &elsewhere).unwrap();
    client.until_readiness(503).await;
    assert_refuses(&client, "is gone").await;
    // Reads from memory still work.
    client.get("/api/stats").await.with_status(200);

    fs::rename(&elsewhere, &data).unwrap();
    client.until_readiness(200).await;
    client.put(lines("b", 1)).await.with_status(200);
    add_todo(&client, "new").await.with_status(201);
    client.send_file("a", "bytes").await.with_status(200);
    let server = server.restart();
    assert_eq!(server.client().everything().await.lines().count(), 11);
}

#[tokio::test]
async fn another_directory_in_its_place_is_not_taken_for_it() {
    let server = Server::start();
    let client = server.client();
    client.store(lines("a", 10)).await;
    let (data, elsewhere) = (server.data(), server.directory().path().join("elsewhere"));
    fs::rename(&data, &elsewhere).unwrap();
    fs::create_dir(&data).unwrap();
    for entry in fs::read_dir(&elsewhere).unwrap() {
        let entry = entry.unwrap();
        if entry.metadata().unwrap().is_file() {
            fs::copy(entry.path(), data.join(entry.file_name())).unwrap();
        }
    }
    client.until_readiness(503).await;
    assert_refuses(&client, "another one is in its place").await;
}

#[tokio::test]
async fn nothing_is_acknowledged_into_a_file_that_was_removed() {
    for name in ["readings.db", "readings.db-wal"] {
        let server = Server::start();
        let client = server.client();
        client.store(lines("a", 10)).await;
        // No check has run yet, so the write itself must notice.
        fs::remove_file(server.data().join(name)).unwrap();
        let answer = client.store_or_not(lines("b", 10)).await;
        assert_eq!(answer.status, 503, "{name}: {}", answer.text());
        assert!(answer.text().contains(name), "{}", answer.text());
        client.until_readiness(503).await;
    }
    for name in ["station.db", "station.db-wal"] {
        let server = Server::start();
        let client = server.client();
        greet(&client, "Ann").await.with_status(200);
        fs::remove_file(server.data().join(name)).unwrap();
        let answer = greet(&client, "Bob").await;
        assert_eq!(answer.status, 503, "{name}: {}", answer.text());
        assert!(answer.text().contains(name), "{}", answer.text());
    }
}

#[tokio::test]
async fn a_start_with_one_database_and_not_the_other_is_a_warning() {
    for (kept, missing) in [("readings.db", "station.db"), ("station.db", "readings.db")] {
        let server = Server::start();
        assert!(!server.log().contains("an empty one was made"));
        let directory = Arc::clone(server.directory());
        let data = server.data();
        assert_eq!(server.stop().code, Some(0));
        fs::remove_file(data.join(missing)).unwrap();
        let server = Server::try_in(&directory, &[]).unwrap();
        let health = server.client().get("/health").await.with_status(200).json();
        let warning = health["dataDirectory"]["warnings"][0].as_str().unwrap();
        for words in [kept, missing, "an empty one was made"] {
            assert!(warning.contains(words), "{warning}");
            assert!(server.log().contains(words), "{}", server.log());
        }
    }
}

#[tokio::test]
async fn a_folder_of_files_that_is_replaced_takes_no_file() {
    let server = Server::start();
    let client = server.client();
    client.send_file("a", "kept").await.with_status(200);
    let (files, elsewhere) = (server.data().join("files"), server.data().join("elsewhere"));
    fs::rename(&files, &elsewhere).unwrap();
    fs::create_dir(&files).unwrap();
    client.until_readiness(503).await;
    assert_refuses(&client, "another one is in its place").await;
    fs::remove_dir(&files).unwrap();
    fs::rename(&elsewhere, &files).unwrap();
    client.until_readiness(200).await;
    assert_eq!(client.file("a").await, b"kept");
}

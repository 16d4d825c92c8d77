//! A flipped byte on disk: the server reports the damage, and never answers with a wrong number.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use crate::support::{Answer, Client, Server, lines, random_bytes, reading};

/// Flips a bit of the points in the first chunk of a sensor.
fn flip(data: &Path, sensor: &str) {
    let database = Connection::open(data.join("readings.db")).unwrap();
    let (id, mut points): (i64, Vec<u8>) = database
        .query_row(
            "SELECT chunk_data.id, chunk_data.data FROM sensors
             JOIN chunks ON chunks.sensor = sensors.number
             JOIN chunk_data ON chunk_data.id = chunks.data
             WHERE sensors.id = ?1 ORDER BY first LIMIT 1",
            [sensor],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .unwrap();
    let middle = points.len() / 2;
    points[middle] ^= 1;
    let sql = "UPDATE chunk_data SET data = ?1 WHERE id = ?2";
    assert_eq!(database.execute(sql, (points, id)).unwrap(), 1);
}

/// A server with three sensors. The readings of the second sensor are damaged.
async fn damaged() -> (Server, Client) {
    let server = Server::start();
    let directory = Arc::clone(server.directory());
    let all: String = ["a", "b", "c"]
        .iter()
        .map(|sensor| lines(sensor, 2000))
        .collect();
    server.client().store(all).await;
    // Stopping the server writes the readings into chunks.
    assert_eq!(server.stop().code, Some(0));
    flip(&directory.path().join("data"), "b");
    let server = Server::try_in(&directory, &[]).unwrap();
    let client = server.client();
    (server, client)
}

#[tokio::test]
async fn damaged_readings_are_an_error_that_names_what_is_damaged() {
    let (server, client) = damaged().await;
    for path in [
        "/api/sensors/b/readings",
        "/api/sensors/b/series",
        "/api/stats?sensorId=b&from=2026-11-20T00:00:01Z",
        "/api/stats?from=2026-11-20T00:00:01Z",
    ] {
        let answer = client.get(path).await;
        answer.problem(500, "damaged");
        assert!(
            !answer.text().contains("Average"),
            "{path}: {}",
            answer.text()
        );
    }
    let chunk = "2026-11-20T00:00:00Z to 2026-11-20T00:33:19Z";
    server.logs(chunk).await;
}

#[tokio::test]
async fn what_is_not_damaged_is_served_as_before() {
    let (_server, client) = damaged().await;
    for sensor in ["a", "c"] {
        let export = client
            .get(&format!("/api/readings?sensorId={sensor}"))
            .await
            .with_status(200);
        assert_eq!(export.text(), lines(sensor, 2000));
    }
    client
        .put(reading("a", "2026-11-21T00:00:00Z", "100"))
        .await
        .with_status(200);
    let stats = client.stats("?sensorId=a").await;
    assert!(
        stats.starts_with(r#"{"Maximum":100,"Minimum":0,"#),
        "{stats}"
    );
}

#[tokio::test]
async fn an_export_that_meets_damage_never_looks_whole() {
    let (server, client) = damaged().await;
    for format in ["ndjson", "csv"] {
        let path = format!("/api/readings?format={format}");
        // The server refuses the request at once, or the body breaks off.
        if let Ok(answer) = Answer::try_to(client.request("GET", &path)).await {
            answer.problem(500, "damaged");
        }
    }
    // The server has closed the connection, and still runs.
    client.get("/livez").await.with_status(200);
    drop(server);
}

#[tokio::test]
async fn a_row_that_vanished_is_noticed_at_the_start() {
    let server = Server::start();
    let directory = Arc::clone(server.directory());
    server
        .client()
        .store(lines("a", 2000) + &lines("b", 2000))
        .await;
    let data = server.data();
    assert_eq!(server.stop().code, Some(0));
    let database = Connection::open(data.join("readings.db")).unwrap();
    let one = "DELETE FROM chunks WHERE sensor = (SELECT min(sensor) FROM chunks)";
    assert_eq!(database.execute(one, []).unwrap(), 1);
    drop(database);
    let exited = Server::try_in(&directory, &[]).unwrap_err();
    assert_eq!(exited.code, Some(3), "{}", exited.output);
    assert!(exited.output.contains("readings.db"), "{}", exited.output);
    // A refused read does not change the damaged data.
    assert!(fs::metadata(data.join("readings.db")).unwrap().len() > 0);
}

/// A server with a flipped bit in the file of a device.
async fn with_a_damaged_file(length: usize, at: usize) -> (Server, Client) {
    let server = Server::start();
    let client = server.client();
    let sent = client.send_file("boiler", random_bytes(length)).await;
    sent.with_status(200);
    let blobs = server.data().join("files");
    let blob = fs::read_dir(blobs).unwrap().next().unwrap().unwrap().path();
    let mut bytes = fs::read(&blob).unwrap();
    bytes[at] ^= 8;
    fs::write(&blob, bytes).unwrap();
    (server, client)
}

#[tokio::test]
async fn a_small_file_that_is_damaged_is_an_error_that_names_the_device() {
    let (server, client) = with_a_damaged_file(5_000, 77).await;
    for path in ["/api/devices/boiler", "/api/devices/boiler/content"] {
        let answer = client.get(path).await;
        answer.problem(500, "damaged");
        assert!(answer.text().contains("`boiler`"), "{}", answer.text());
    }
    server.logs("its SHA-256 is another one").await;
    // A new upload replaces the damaged file.
    let sent = client.send_file("boiler", "whole").await;
    sent.with_status(200);
    let whole = client.get("/api/devices/boiler/content").await;
    assert_eq!(whole.with_status(200).text(), "whole");
}

#[tokio::test]
async fn a_download_of_a_damaged_file_never_looks_whole() {
    const LENGTH: usize = 1_000_000;
    for at in [0, 300_000, LENGTH - 1] {
        let (server, client) = with_a_damaged_file(LENGTH, at).await;
        for path in ["/api/devices/boiler", "/api/devices/boiler/content"] {
            let answer = Answer::try_to(client.request("GET", path)).await;
            assert!(answer.is_err(), "{path} was served whole");
        }
        // The whole file as a range.
        let request = client.request("GET", "/api/devices/boiler/content");
        let answer = Answer::try_to(request.header("range", "bytes=0-999999")).await;
        assert!(answer.is_err(), "a range was served whole");
        server
            .logs("a download broke off, because the file is damaged")
            .await;
        server.logs("`boiler`").await;
        client.get("/livez").await.with_status(200);
    }
}

#[tokio::test]
async fn a_file_that_is_cut_or_gone_is_an_error_before_its_first_byte() {
    for length in [Some(500_000), Some(1_000_001), None] {
        let (server, client) = with_a_damaged_file(1_000_000, 0).await;
        let blobs = server.data().join("files");
        let blob = fs::read_dir(blobs).unwrap().next().unwrap().unwrap().path();
        match length {
            Some(length) => {
                let file = fs::File::options().write(true).open(&blob).unwrap();
                file.set_len(length).unwrap();
            }
            None => fs::remove_file(&blob).unwrap(),
        }
        for range in ["bytes=0-", "bytes=10-20"] {
            let request = client.request("GET", "/api/devices/boiler/content");
            let answer = Answer::to(request.header("range", range)).await;
            answer.problem(500, "damaged");
            assert!(answer.text().contains("`boiler`"), "{}", answer.text());
        }
    }
}

#[tokio::test]
async fn damaged_todos_files_and_greetings_are_an_error_that_names_what_is_damaged() {
    let server = Server::start();
    let directory = Arc::clone(server.directory());
    let client = server.client();
    let request = client.request("POST", "/api/todos");
    let request = request.header("content-type", "application/json");
    let added = Answer::to(request.body(r#"{"title":"Fix TV"}"#)).await;
    let todo = added.with_status(201).json()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    client.send_file("boiler", "x").await.with_status(200);
    let greeted = Answer::to(client.request("POST", "/hello").body("Ahoy")).await;
    greeted.with_status(200);
    assert_eq!(server.stop().code, Some(0));
    let seeded = Connection::open(directory.path().join("data/station.db")).unwrap();
    seeded
        .set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)
        .unwrap();
    seeded
        .execute_batch(
            "UPDATE todos SET status = 'completed'; UPDATE files SET content_type = 'text/html'; UPDATE greeting SET word = 'a'",
        )
        .unwrap();
    drop(seeded);
    let server = Server::try_in(&directory, &[]).unwrap();
    let client = server.client();
    for (path, words) in [
        (format!("/api/todos/{todo}"), &*todo),
        ("/api/todos".to_owned(), &todo),
        ("/api/todos?text=tv".to_owned(), &todo),
        ("/api/devices/boiler".to_owned(), "`boiler`"),
        ("/api/devices/boiler/content".to_owned(), "`boiler`"),
        ("/api/devices".to_owned(), "`boiler`"),
        ("/hello".to_owned(), "the greeting"),
    ] {
        let answer = client.get(&path).await;
        answer.problem(500, "damaged");
        assert!(answer.text().contains(words), "{path}: {}", answer.text());
    }
}

//! A flipped byte on disk: the server says so, and never answers with a wrong number.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;

use crate::support::{Answer, Client, Server, lines, reading};

/// Flips one bit of the points in a sensor's first chunk.
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

/// A server over three sensors, the readings of the second of which are damaged.
async fn damaged() -> (Server, Client) {
    let server = Server::start();
    let directory = Arc::clone(server.directory());
    let all: String = ["a", "b", "c"]
        .iter()
        .map(|sensor| lines(sensor, 2000))
        .collect();
    server.client().store(all).await;
    // Stopping seals.
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
    let log = server.log();
    assert!(
        log.contains("2026-11-20T00:00:00Z to 2026-11-20T00:33:19Z"),
        "{log}"
    );
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
        // Either it is refused at once, or its body ends without its end.
        if let Ok(answer) = Answer::try_to(client.request("GET", &path)).await {
            answer.problem(500, "damaged");
        }
    }
    // The connection was given up, not the server.
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
    // Refusing it does not change it.
    assert!(fs::metadata(data.join("readings.db")).unwrap().len() > 0);
}

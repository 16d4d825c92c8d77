//! A flush of the database file fails.

use serde_json::json;

use super::{EIO, Readings, Record, Scene, Todos, reader_of};
use crate::support::{Answer, Client, Unflushed, reading};

/// Large writes, so a checkpoint of the write-ahead log is due soon.
trait LargeWrites: Record {
    /// Writes several records. Returns the answer and the identifying texts of the records.
    async fn write_large(client: &Client, number: usize) -> (Answer, Vec<String>);
}

impl LargeWrites for Readings {
    async fn write_large(client: &Client, number: usize) -> (Answer, Vec<String>) {
        let (hour, minute, second) = (number / 3600, number / 60 % 60, number % 60);
        let line = |n| {
            let time = format!("2026-11-21T{hour:02}:{minute:02}:{second:02}.{n:02}1Z");
            reading("b", &time, "1")
        };
        let lines: Vec<_> = (10..30).map(line).collect();
        let request = client.request("POST", "/api/readings");
        let request = request.header("content-type", "application/x-ndjson");
        (Answer::to(request.body(lines.join("\n"))).await, lines)
    }
}

impl LargeWrites for Todos {
    async fn write_large(client: &Client, number: usize) -> (Answer, Vec<String>) {
        let title = format!("large todo {number}");
        let todo = json!({ "title": title, "description": "x".repeat(9_900) });
        let request = client.request("POST", "/api/todos");
        (Answer::to(request.json(&todo)).await, vec![title])
    }
}

/// A checkpoint copies pages while a reader holds a snapshot. The checkpoint does not flush these pages yet. When the later flush
/// fails, these pages are lost like the others, and the next checkpoint continues behind these pages.
async fn a_failed_flush_of_the_database_loses_nothing<M: LargeWrites>() {
    let mut scene = Scene::new();
    let server = scene.start();
    let client = server.client();
    scene.write::<M>(&server, 20).await;
    let reader = reader_of(&server, M::DATABASE);
    scene.write::<M>(&server, 1).await;
    let log = server.data().join(format!("{}-wal", M::DATABASE));
    let length = || std::fs::metadata(&log).map_or(0, |log| log.len());
    // The size for a checkpoint, and some more.
    let pages = if M::DATABASE == "readings.db" {
        4_100
    } else {
        1_100
    };
    let due = pages * 4120;
    let mut number = 0;
    while length() < due {
        let (answer, ids) = M::write_large(&client, number).await;
        assert!(matches!(answer.status, 200 | 201), "{}", answer.text());
        scene.acknowledged.extend(ids);
        number += 1;
    }
    scene
        .disk
        .fails(&format!("{EIO} flush *{} 0 1", M::DATABASE));
    drop(reader);
    // The first write starts a checkpoint, which fails. Later writes start further checkpoints, and a new log.
    let mut refused = 0;
    while refused < 100 && number < 10_000 {
        number += 1;
        match Answer::try_to(client.request("GET", "/readyz")).await {
            Ok(answer) if answer.status == 200 => {}
            _ => break,
        }
        if scene.disk.failures() > 0 {
            refused += 1;
        }
        let (request, id) = M::write(&client, scene.written);
        scene.written += 1;
        match Answer::try_to(request).await {
            Ok(answer) if matches!(answer.status, 200 | 201) => {
                scene.acknowledged.insert(id);
            }
            Ok(answer) => drop(answer.problem(503, "unavailable")),
            // The server has ended, as expected.
            Err(_) => break,
        }
    }
    assert_eq!(scene.disk.failures(), 1, "no checkpoint was made");
    scene.disk.fails("");
    drop(server);
    let server = scene.start();
    scene.write::<M>(&server, 5).await;
    scene
        .cut_power_and_audit::<M>(server, Unflushed::Lost)
        .await;
}

#[tokio::test]
async fn readings_survive_a_failed_flush_of_the_database() {
    a_failed_flush_of_the_database_loses_nothing::<Readings>().await;
}

#[tokio::test]
async fn todos_survive_a_failed_flush_of_the_database() {
    a_failed_flush_of_the_database_loses_nothing::<Todos>().await;
}

//! A flush fails, the server restarts, and then the power fails: every acknowledged write is still stored.
//!
//! Linux marks unwritten pages as clean after a failed flush. Reads return the intended content, and no later flush writes the pages.

mod database;
mod one_change;
mod power_cut;
mod start;
mod write_ahead_log;

use std::collections::BTreeSet;

use reqwest::RequestBuilder;
use rusqlite::{Connection, OpenFlags};
use serde_json::json;

use crate::support::{Answer, Client, Disk, Exited, Random, Server, Unflushed, reading};

const EIO: i32 = 5;

/// A kind of record in a server. The test writes the records singly.
trait Record {
    const DATABASE: &str;

    /// A request to write record `number`, and the text that identifies the record.
    fn write(client: &Client, number: usize) -> (RequestBuilder, String);

    /// Reads a record, so a reading connection stays open from then on.
    async fn read(client: &Client);

    /// The identifying texts of the stored records.
    async fn found(client: &Client) -> BTreeSet<String>;
}

struct Readings;

impl Record for Readings {
    const DATABASE: &str = "readings.db";

    fn write(client: &Client, number: usize) -> (RequestBuilder, String) {
        let time = format!("2026-11-20T00:{:02}:{:02}Z", number / 60, number % 60);
        let line = reading("a", &time, "1");
        let request = client.request("PUT", "/api/temperature");
        (request.body(line.clone()), line)
    }

    async fn read(client: &Client) {
        client.get("/api/sensors/a/readings").await.with_status(200);
    }

    async fn found(client: &Client) -> BTreeSet<String> {
        let everything = client.everything().await;
        everything.lines().map(str::to_owned).collect()
    }
}

struct Todos;

impl Record for Todos {
    const DATABASE: &str = "station.db";

    fn write(client: &Client, number: usize) -> (RequestBuilder, String) {
        let title = format!("todo {number}");
        let request = client.request("POST", "/api/todos");
        (request.json(&json!({ "title": title })), title)
    }

    async fn read(client: &Client) {
        client.get("/api/todos").await.with_status(200);
    }

    async fn found(client: &Client) -> BTreeSet<String> {
        let listed = client.get("/api/todos?limit=1000").await.with_status(200);
        let listed = listed.json();
        let todos = listed["todos"].as_array().unwrap();
        let title = |todo: &serde_json::Value| todo["title"].as_str().unwrap().to_owned();
        todos.iter().map(title).collect()
    }
}

/// A server on a failing disk, and the acknowledged writes of the server.
struct Scene {
    disk: Disk,
    random: Random,
    written: usize,
    acknowledged: BTreeSet<String>,
}

impl Scene {
    fn new() -> Self {
        Self {
            disk: Disk::new(),
            random: super::random(),
            written: 0,
            acknowledged: BTreeSet::new(),
        }
    }

    fn start(&self) -> Server {
        Server::try_on(&self.disk, &[]).unwrap()
    }

    /// Writes `count` records. Panics unless all are acknowledged.
    async fn write<K: Record>(&mut self, server: &Server, count: usize) {
        let client = server.client();
        for _ in 0..count {
            let (request, id) = K::write(&client, self.written);
            let answer = Answer::to(request).await;
            assert!(matches!(answer.status, 200 | 201), "{}", answer.text());
            self.written += 1;
            self.acknowledged.insert(id);
        }
    }

    /// Writes until the disk fails. The failure ends the server.
    async fn write_until_it_fails<K: Record>(&mut self, server: Server) -> Exited {
        let client = server.client();
        for _ in 0..100 {
            let (request, id) = K::write(&client, self.written);
            let answer = Answer::to(request).await;
            self.written += 1;
            if !matches!(answer.status, 200 | 201) {
                answer.problem(503, "unavailable");
                assert!(answer.header("retry-after").is_some());
                assert_eq!(self.disk.failures(), 1);
                return server.wait();
            }
            self.acknowledged.insert(id);
        }
        panic!("no flush failed");
    }

    /// Cuts the power. Then checks on a working disk: the server stores every acknowledged record.
    async fn cut_power_and_audit<K: Record>(&mut self, mut server: Server, unflushed: Unflushed) {
        server.kill9();
        self.disk.cut_power(unflushed, &mut self.random);
        let server = Server::try_in(self.disk.directory(), &[]).unwrap();
        let found = K::found(&server.client()).await;
        let lost: Vec<_> = self.acknowledged.difference(&found).collect();
        assert!(
            lost.is_empty(),
            "{unflushed:?}: {} of {} acknowledged are lost, such as {}",
            lost.len(),
            self.acknowledged.len(),
            lost[0]
        );
        let data = server.data();
        assert_eq!(server.stop().code, Some(0));
        super::assert_sound(&data);
        self.disk.all_is_flushed();
    }
}

/// A connection of another process. The connection holds a snapshot of a database until the connection is dropped.
fn reader_of(server: &Server, database: &str) -> Connection {
    let path = server.data().join(database);
    let reader = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    reader
        .execute_batch("BEGIN; SELECT count(*) FROM sqlite_schema")
        .unwrap();
    reader
}

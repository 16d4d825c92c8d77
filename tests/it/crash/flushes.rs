//! A flush that fails, a restart, and then a power cut: what was acknowledged before and after is there.
//!
//! Linux takes pages that it could not write for clean. They are read back as they should be, and no later flush writes them.

use std::collections::BTreeSet;

use reqwest::RequestBuilder;
use rusqlite::{Connection, OpenFlags};
use serde_json::json;

use crate::support::{Answer, Client, Disk, Exited, Random, Server, Unflushed, reading, run_on};

const EIO: i32 = 5;

/// Something that a server keeps, written one at a time.
trait Kept {
    const DATABASE: &str;

    /// A request that writes one, and what identifies it.
    fn write(client: &Client, number: usize) -> (RequestBuilder, String);

    /// Reads a little, so that a connection that reads is open from then on.
    async fn read(client: &Client);

    /// What identifies those that are there.
    async fn found(client: &Client) -> BTreeSet<String>;
}

struct Readings;

impl Kept for Readings {
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

impl Kept for Todos {
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

/// A server on a disk that fails, and what it has acknowledged.
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

    /// Writes so many, all of which must be acknowledged.
    async fn write<K: Kept>(&mut self, server: &Server, count: usize) {
        let client = server.client();
        for _ in 0..count {
            let (request, id) = K::write(&client, self.written);
            let answer = Answer::to(request).await;
            assert!(matches!(answer.status, 200 | 201), "{}", answer.text());
            self.written += 1;
            self.acknowledged.insert(id);
        }
    }

    /// Writes until the disk fails, which ends the server.
    async fn write_until_it_fails<K: Kept>(&mut self, server: Server) -> Exited {
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

    /// Cuts the power, and looks for what was acknowledged with a disk that works.
    async fn cut_power_and_look<K: Kept>(&mut self, mut server: Server, unflushed: Unflushed) {
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

/// One flush of the write-ahead log fails while a connection that reads is open.
async fn after_a_failed_flush_of_the_log_nothing_is_lost<K: Kept>() {
    for (nth, unflushed, pages_are_forgotten) in [
        (0, Unflushed::Lost, false),
        (1, Unflushed::Either, false),
        (4, Unflushed::Lost, false),
        (3, Unflushed::Lost, true),
        (7, Unflushed::Written, false),
    ] {
        let mut scene = Scene::new();
        let server = scene.start();
        scene.write::<K>(&server, 5).await;
        K::read(&server.client()).await;
        let log = format!("*{}-wal", K::DATABASE);
        scene.disk.fails(&format!("{EIO} flush {log} {nth} 1"));
        let exited = scene.write_until_it_fails::<K>(server).await;
        assert_eq!(exited.code, Some(4), "{}", exited.output);
        scene.disk.fails("");
        if pages_are_forgotten {
            scene.disk.forget_clean_pages();
        }

        let server = scene.start();
        scene.write::<K>(&server, 5).await;
        K::read(&server.client()).await;
        scene.cut_power_and_look::<K>(server, unflushed).await;
    }
}

#[tokio::test]
async fn readings_survive_a_failed_flush_a_restart_and_a_power_cut() {
    after_a_failed_flush_of_the_log_nothing_is_lost::<Readings>().await;
}

#[tokio::test]
async fn todos_survive_a_failed_flush_a_restart_and_a_power_cut() {
    after_a_failed_flush_of_the_log_nothing_is_lost::<Todos>().await;
}

/// What these tests look for is found when it is there: a disk that does nothing when it is told to flush.
async fn a_disk_that_lies_loses_what_was_acknowledged<K: Kept>() {
    let mut scene = Scene::new();
    let mut server = scene.start();
    scene.disk.fails("0 flush * 0 1000000");
    scene.write::<K>(&server, 5).await;
    server.kill9();
    scene.disk.cut_power(Unflushed::Lost, &mut scene.random);
    let found = K::found(&scene.start().client()).await;
    assert!(found.is_empty(), "{found:?}");
}

#[tokio::test]
async fn a_disk_that_lies_loses_readings_and_todos() {
    a_disk_that_lies_loses_what_was_acknowledged::<Readings>().await;
    a_disk_that_lies_loses_what_was_acknowledged::<Todos>().await;
}

/// The power is cut while a start, or `verify`, makes good what a failed flush has left.
async fn a_power_cut_while_a_failed_flush_is_made_good_loses_nothing<K: Kept>(by: Opener) {
    let log = format!("*{}-wal", K::DATABASE);
    let database = format!("*{}", K::DATABASE);
    for (moment, file, nth_failed) in [
        ("before", &log, 0),
        ("half", &log, 2),
        ("after", &log, 0),
        ("before", &database, 2),
        ("half", &database, 0),
        ("half", &database, 1),
        ("after", &database, 0),
    ] {
        let mut scene = Scene::new();
        let server = scene.start();
        scene.write::<K>(&server, 5).await;
        // The log holds nothing but the commit that fails: no other makes good what is torn.
        assert_eq!(server.stop().code, Some(0));
        let server = scene.start();
        K::read(&server.client()).await;
        scene
            .disk
            .fails(&format!("{EIO} flush {log} {nth_failed} 1"));
        scene.write_until_it_fails::<K>(server).await;
        for (nth, unflushed) in [
            (0, Unflushed::Either),
            (0, Unflushed::Lost),
            (1, Unflushed::Either),
        ] {
            scene.disk.fails(&format!("{moment} flush {file} {nth} 1"));
            let started = match by {
                Opener::Start => Server::try_on(&scene.disk, &[]).ok(),
                Opener::Verify => {
                    run_on(&scene.disk, &["verify", "--data", "data"]);
                    None
                }
            };
            let server = started.unwrap_or_else(|| {
                scene.disk.cut_power(unflushed, &mut scene.random);
                scene.start()
            });
            scene.cut_power_and_look::<K>(server, unflushed).await;
        }
    }
}

/// What opens the databases after a failed flush.
#[derive(Clone, Copy)]
enum Opener {
    Start,
    Verify,
}

#[tokio::test]
async fn readings_survive_a_power_cut_during_the_start_after_a_failed_flush() {
    a_power_cut_while_a_failed_flush_is_made_good_loses_nothing::<Readings>(Opener::Start).await;
}

#[tokio::test]
async fn todos_survive_a_power_cut_during_the_start_after_a_failed_flush() {
    a_power_cut_while_a_failed_flush_is_made_good_loses_nothing::<Todos>(Opener::Start).await;
}

#[tokio::test]
async fn readings_survive_a_power_cut_during_verify_after_a_failed_flush() {
    a_power_cut_while_a_failed_flush_is_made_good_loses_nothing::<Readings>(Opener::Verify).await;
}

#[tokio::test]
async fn todos_survive_a_power_cut_during_verify_after_a_failed_flush() {
    a_power_cut_while_a_failed_flush_is_made_good_loses_nothing::<Todos>(Opener::Verify).await;
}

/// Much at a time, so that the write-ahead log is folded into the database soon.
trait Much: Kept {
    /// Writes some, and says what identifies them.
    async fn write_much(client: &Client, number: usize) -> (Answer, Vec<String>);
}

impl Much for Readings {
    async fn write_much(client: &Client, number: usize) -> (Answer, Vec<String>) {
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

impl Much for Todos {
    async fn write_much(client: &Client, number: usize) -> (Answer, Vec<String>) {
        let title = format!("large todo {number}");
        let todo = json!({ "title": title, "description": "x".repeat(9_900) });
        let request = client.request("POST", "/api/todos");
        (Answer::to(request.json(&todo)).await, vec![title])
    }
}

/// Somebody else who reads a moment of a database, until this is dropped.
fn reader_of(server: &Server, database: &str) -> Connection {
    let path = server.data().join(database);
    let reader = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    reader
        .execute_batch("BEGIN; SELECT count(*) FROM sqlite_schema")
        .unwrap();
    reader
}

/// What is folded into the database while somebody reads is not flushed yet. When that flush fails later, those pages are as
/// lost as the others, and folding goes on behind them.
async fn a_failed_flush_of_the_database_loses_nothing<M: Much>() {
    let mut scene = Scene::new();
    let server = scene.start();
    let client = server.client();
    scene.write::<M>(&server, 20).await;
    let reader = reader_of(&server, M::DATABASE);
    scene.write::<M>(&server, 1).await;
    let log = server.data().join(format!("{}-wal", M::DATABASE));
    let length = || std::fs::metadata(&log).map_or(0, |log| log.len());
    // As large as it gets before it is folded, and some more.
    let pages = if M::DATABASE == "readings.db" {
        4_100
    } else {
        1_100
    };
    let due = pages * 4120;
    let mut number = 0;
    while length() < due {
        let (answer, ids) = M::write_much(&client, number).await;
        assert!(matches!(answer.status, 200 | 201), "{}", answer.text());
        scene.acknowledged.extend(ids);
        number += 1;
    }
    scene
        .disk
        .fails(&format!("{EIO} flush *{} 0 1", M::DATABASE));
    drop(reader);
    // The first folds the log, which fails; those after it fold it again, and begin a new one.
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
            // It is gone, as it should be.
            Err(_) => break,
        }
    }
    assert_eq!(scene.disk.failures(), 1, "the log was never folded");
    scene.disk.fails("");
    drop(server);
    let server = scene.start();
    scene.write::<M>(&server, 5).await;
    scene.cut_power_and_look::<M>(server, Unflushed::Lost).await;
}

#[tokio::test]
async fn readings_survive_a_failed_flush_of_the_database() {
    a_failed_flush_of_the_database_loses_nothing::<Readings>().await;
}

#[tokio::test]
async fn todos_survive_a_failed_flush_of_the_database() {
    a_failed_flush_of_the_database_loses_nothing::<Todos>().await;
}

#[tokio::test]
async fn a_start_whose_flush_fails_says_so_and_the_next_one_loses_nothing() {
    for file in ["*readings.db-wal", "*readings.db", "*station.db"] {
        let mut scene = Scene::new();
        let mut server = scene.start();
        scene.write::<Readings>(&server, 5).await;
        scene.write::<Todos>(&server, 5).await;
        server.kill9();
        scene.disk.fails(&format!("{EIO} flush {file} 0 1"));
        let exited = Server::try_on(&scene.disk, &[]).unwrap_err();
        assert_eq!(exited.code, Some(3), "{}", exited.output);
        assert!(
            exited.output.contains("write-ahead log"),
            "{}",
            exited.output
        );
        scene.disk.fails("");
        let server = scene.start();
        scene.write::<Readings>(&server, 5).await;
        let todos = Todos::found(&server.client()).await;
        assert!(
            scene
                .acknowledged
                .iter()
                .filter(|id| id.starts_with("todo"))
                .all(|id| todos.contains(id))
        );
        scene.acknowledged.retain(|id| id.starts_with('{'));
        scene
            .cut_power_and_look::<Readings>(server, Unflushed::Lost)
            .await;
    }
}

#[tokio::test]
async fn a_start_while_somebody_reads_folds_the_log_later_and_loses_nothing() {
    let mut scene = Scene::new();
    let server = scene.start();
    scene.write::<Readings>(&server, 5).await;
    // As a backup does, which goes on whatever becomes of the server.
    let reader = reader_of(&server, Readings::DATABASE);
    scene.write::<Readings>(&server, 5).await;
    let rule = format!("{EIO} flush *{}-wal 0 1", Readings::DATABASE);
    scene.disk.fails(&rule);
    scene.write_until_it_fails::<Readings>(server).await;
    scene.disk.fails("");
    let server = scene.start();
    assert!(server.log().contains("folded later"), "{}", server.log());
    scene.write::<Readings>(&server, 5).await;
    drop(reader);
    scene
        .cut_power_and_look::<Readings>(server, Unflushed::Lost)
        .await;
}

#[tokio::test]
async fn a_first_start_whose_flush_failed_is_made_good_by_the_second() {
    for (file, nth) in [
        ("*readings.db", 0),
        ("*readings.db", 1),
        ("*readings.db-journal", 0),
        ("*readings.db-wal", 0),
        ("*station.db", 0),
        ("*station.db-wal", 0),
    ] {
        let mut scene = Scene::new();
        scene.disk.fails(&format!("{EIO} flush {file} {nth} 1"));
        // It need not notice: some flushes are of nothing that counts.
        drop(Server::try_on(&scene.disk, &[]));
        scene.disk.fails("");
        let server = scene.start();
        scene.write::<Readings>(&server, 5).await;
        scene
            .cut_power_and_look::<Readings>(server, Unflushed::Lost)
            .await;
    }
}

/// What else is kept in `station.db`: a request that changes it.
fn changes() -> [(&'static str, &'static str, &'static str); 4] {
    [
        ("POST", "/hello", "again"),
        ("PUT", "/api/devices/d", "newer"),
        ("DELETE", "/api/devices/d", ""),
        ("POST", "/api/todos", r#"{"title":"one"}"#),
    ]
}

#[tokio::test]
async fn a_change_whose_flush_fails_is_503_and_leaves_the_one_or_the_other() {
    for (method, path, body) in changes() {
        let disk = Disk::new();
        let server = Server::try_on(&disk, &[]).unwrap();
        let client = server.client();
        for (method, path, body) in [
            ("POST", "/hello", "once"),
            ("PUT", "/api/devices/d", "older"),
        ] {
            let request = client.request(method, path).body(body);
            Answer::to(request).await.with_status(200);
        }
        disk.fails(&format!("{EIO} flush *station.db-wal 0 1"));
        let mut request = client.request(method, path).body(body);
        if body.starts_with('{') {
            request = request.header("content-type", "application/json");
        }
        let answer = Answer::to(request).await;
        answer.problem(503, "unavailable");
        assert!(answer.header("retry-after").is_some());
        assert_eq!(server.wait().code, Some(4));
        disk.fails("");
        let server = Server::try_on(&disk, &[]).unwrap();
        let client = server.client();
        let word = client.get("/hello").await.with_status(200).text();
        assert!(["once", "again"].contains(&&*word), "{word}");
        let file = client.get("/api/devices/d/content").await;
        match file.status {
            200 => assert!(["older", "newer"].contains(&&*file.text())),
            _ => drop(file.problem(404, "unknown-file")),
        }
    }
}

#[tokio::test]
async fn a_file_whose_flush_fails_is_503_and_the_older_one_stays() {
    for (operation, pattern) in [
        ("flush", "*files/*.part"),
        ("flush", "data/files"),
        ("write", "*files/*.part"),
    ] {
        let disk = Disk::new();
        let mut server = Server::try_on(&disk, &[]).unwrap();
        let client = server.client();
        let put =
            |body: &'static str| Answer::to(client.request("PUT", "/api/devices/d").body(body));
        put("older").await.with_status(200);
        disk.fails(&format!("{EIO} {operation} {pattern} 0 1"));
        let answer = put("lost").await;
        answer.problem(503, "unavailable");
        assert!(answer.header("retry-after").is_some());
        let content = client.get("/api/devices/d/content").await;
        assert_eq!(content.with_status(200).text(), "older");
        put("newer").await.with_status(200);
        server.kill9();
        disk.cut_power(Unflushed::Lost, &mut super::random());
        let server = Server::try_on(&disk, &[]).unwrap();
        let content = server.client().get("/api/devices/d/content").await;
        assert_eq!(content.with_status(200).text(), "newer");
    }
}

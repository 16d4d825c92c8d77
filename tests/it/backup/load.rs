//! Backups while many connections write. Each backup holds all earlier acknowledged writes, and complete batches only.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use fieldstation::readings::{Temperature, embedded};
use futures_util::future;
use num_bigint::BigInt;
use serde_json::value::RawValue;

use super::{back_up, restore, verified};
use crate::conformance::oracle::{Recount, assert_nearest};
use crate::support::{Client, Random, Server, random_bytes};

const READING_WRITERS: usize = 10;
const FILE_WRITERS: usize = 6;
const DEVICES_OF_A_WRITER: usize = 3;
const ROUNDS: usize = 4;
/// How many writes are acknowledged between two backups, at least.
const REQUESTS_BETWEEN: u64 = 400;
/// The size of a large batch.
const BULK_READINGS: u64 = 3_000;
const BULK_READINGS_MAX: usize = 30_000;

/// The last sent version and the last acknowledged version of each item. A later version replaces an earlier version.
#[derive(Clone, Debug, Default)]
struct Versions {
    acknowledged: HashMap<String, u64>,
    sent: HashMap<String, u64>,
}

impl Versions {
    fn next(&mut self, key: &str) -> u64 {
        let version = self.sent.entry(key.to_owned()).or_default();
        *version += 1;
        *version
    }

    fn acknowledge(&mut self, key: String, version: u64) {
        self.acknowledged.insert(key, version);
    }
}

/// The writes of all connections so far.
#[derive(Default)]
struct World {
    readings: Vec<parking_lot::Mutex<Versions>>,
    files: Vec<parking_lot::Mutex<Versions>>,
    todos: parking_lot::Mutex<Versions>,
    word: parking_lot::Mutex<Versions>,
    requests: AtomicU64,
    is_over: AtomicBool,
}

/// A snapshot of the writes. A backup has to hold at least these writes.
struct Before {
    readings: Versions,
    files: Versions,
    todos: Versions,
    word: Versions,
}

impl World {
    fn new() -> Self {
        let many = |count| (0..count).map(|_| Default::default()).collect();
        Self {
            readings: many(READING_WRITERS),
            files: many(FILE_WRITERS),
            ..Self::default()
        }
    }

    fn goes_on(&self) -> bool {
        !self.is_over.load(Ordering::Relaxed)
    }

    fn acknowledged(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    fn now(&self) -> Before {
        Before {
            readings: merged(&self.readings),
            files: merged(&self.files),
            todos: self.todos.lock().clone(),
            word: self.word.lock().clone(),
        }
    }
}

fn merged(parts: &[parking_lot::Mutex<Versions>]) -> Versions {
    let mut all = Versions::default();
    for part in parts {
        let part = part.lock();
        all.acknowledged.extend(part.acknowledged.clone());
        all.sent.extend(part.sent.clone());
    }
    all
}

/// The temperature of a reading shows the version.
fn temperature(version: u64) -> String {
    format!("{}.{version:03}", version % 40)
}

fn version_of(temperature: &Temperature) -> u64 {
    let (_, version) = temperature.to_string().split_once('.').map_or_else(
        || (String::new(), String::new()),
        |(whole, fraction)| (whole.to_owned(), format!("{fraction:0<3}")),
    );
    version.parse().unwrap_or_default()
}

async fn write_readings(world: &World, number: usize, client: Client) {
    let mut random = Random::new(number as u64);
    let is_bulk = number < 2;
    let mut keys: Vec<String> = Vec::new();
    while world.goes_on() {
        let count = match random.below(3) {
            _ if is_bulk && keys.len() < BULK_READINGS_MAX => BULK_READINGS,
            0 => 1 + random.below(20),
            _ => 1,
        };
        let mut batch = HashMap::new();
        for _ in 0..count {
            let is_again = !is_bulk && !keys.is_empty() && random.one_in(4);
            let key = if is_again {
                keys[random.below(keys.len() as u64) as usize].clone()
            } else {
                let at = keys.len();
                let (hour, minute, second) = (at / 3600, at / 60 % 60, at % 60);
                let sensor = at % 5;
                let (day, hour) = (1 + hour / 24, hour % 24);
                let key = format!(
                    "{sensor},2026-10-{day:02}T{hour:02}:{minute:02}:{second:02}.{number:06}Z"
                );
                keys.push(key.clone());
                key
            };
            // Once a batch.
            if let Entry::Vacant(vacant) = batch.entry(key) {
                let version = world.readings[number].lock().next(vacant.key());
                vacant.insert(version);
            }
        }
        let mut body = String::new();
        for (key, version) in &batch {
            let (sensor, timestamp) = key.split_once(',').unwrap();
            let temperature = temperature(*version);
            body.push_str(&format!(
                "{{\"sensorId\":\"{sensor}\",\"timestamp\":\"{timestamp}\",\"temperature\":{temperature}}}\n"
            ));
        }
        if batch.len() == 1 && random.one_in(2) {
            client.put(body).await.with_status(200);
        } else {
            client.store(body).await;
        }
        let mut versions = world.readings[number].lock();
        for (key, version) in batch {
            versions.acknowledge(key, version);
        }
        world.acknowledged();
    }
}

/// The length of a file shows the version, and determines the bytes of the file.
fn length(device: usize, version: u64) -> usize {
    device * 31 + version as usize * 100
}

async fn write_files(world: &World, number: usize, client: Client) {
    let mut random = Random::new(number as u64);
    while world.goes_on() {
        let device =
            number * DEVICES_OF_A_WRITER + random.below(DEVICES_OF_A_WRITER as u64) as usize;
        let version = world.files[number].lock().next(&device.to_string());
        let bytes = random_bytes(length(device, version));
        let sent = client.send_file(&device.to_string(), bytes).await;
        sent.with_status(200);
        world.files[number]
            .lock()
            .acknowledge(device.to_string(), version);
        world.acknowledged();
        // A writer stores and removes the file of this device again and again. In a backup the file is complete or missing.
        if number == 0 {
            let sent = client.send_file("fleeting", random_bytes(5_000)).await;
            sent.with_status(200);
            let removed = client.request("DELETE", "/api/devices/fleeting");
            removed.send().await.unwrap();
        }
    }
}

async fn write_todos(world: &World, client: Client) {
    for number in 1.. {
        if !world.goes_on() {
            return;
        }
        let title = format!("todo {number}");
        let version = world.todos.lock().next(&title);
        let body = format!(r#"{{"title":"{title}"}}"#);
        let request = client.request("POST", "/api/todos");
        let request = request
            .header("content-type", "application/json")
            .body(body);
        let status = request.send().await.unwrap().status();
        assert_eq!(status, 201);
        world.todos.lock().acknowledge(title, version);
        world.acknowledged();
    }
}

async fn write_words(world: &World, client: Client) {
    while world.goes_on() {
        let version = world.word.lock().next("word");
        let request = client.request("POST", "/hello").body(format!("w{version}"));
        assert_eq!(request.send().await.unwrap().status(), 200);
        world.word.lock().acknowledge("word".to_owned(), version);
        world.acknowledged();
    }
}

async fn take_backups(world: &World, directory: &Path) -> Vec<(String, Before)> {
    let mut taken = Vec::new();
    for round in 0..ROUNDS {
        let until = world.requests.load(Ordering::Relaxed) + REQUESTS_BETWEEN;
        while world.requests.load(Ordering::Relaxed) < until {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        let before = world.now();
        let requests = world.requests.load(Ordering::Relaxed);
        let name = format!("backup-{round}");
        let ended = {
            let (directory, name) = (directory.to_owned(), name.clone());
            tokio::task::spawn_blocking(move || back_up(&directory, &name))
        };
        let ended = ended.await.unwrap().with_code(0);
        println!(
            "{} requests during {}",
            world.requests.load(Ordering::Relaxed) - requests,
            ended.stdout
        );
        taken.push((name, before));
    }
    world.is_over.store(true, Ordering::Relaxed);
    taken
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_before_a_backup_began_is_in_it() {
    let server = Server::start();
    let client = server.client();
    let world = World::new();
    let held = Arc::clone(server.directory());
    let directory = held.path().to_owned();
    let readings =
        (0..READING_WRITERS).map(|number| write_readings(&world, number, client.clone()));
    let files = (0..FILE_WRITERS).map(|number| write_files(&world, number, client.clone()));
    let (taken, ..) = tokio::join!(
        take_backups(&world, &directory),
        future::join_all(readings),
        future::join_all(files),
        write_todos(&world, client.clone()),
        write_words(&world, client.clone()),
    );
    let after = world.now();
    assert_eq!(server.stop().code, Some(0));
    for (name, before) in taken {
        audit(&directory.join(&name), &before, &after).await;
    }
}

/// Restores a backup into another directory. Compares the answers of a server with the required content.
async fn audit(backup: &Path, before: &Before, after: &Before) {
    let elsewhere = Arc::new(tempfile::tempdir().unwrap());
    restore(elsewhere.path(), backup.to_str().unwrap(), "data").with_code(0);
    let report = verified(elsewhere.path(), "data");
    let server = Server::try_in(&elsewhere, &[]).unwrap();
    let client = server.client();

    let export = client
        .get("/api/readings?format=csv")
        .await
        .with_status(200);
    let mut found = HashMap::new();
    let mut temperatures = Vec::new();
    for row in export.text().lines().skip(1) {
        let (key, temperature) = row.rsplit_once(',').unwrap();
        let temperature: Temperature = temperature.parse().unwrap();
        found.insert(normal(key), version_of(&temperature));
        temperatures.push(temperature);
    }
    assert_eq!(found.len(), temperatures.len());
    assert_eq!(report["readings"], found.len());
    assert_between("reading", &before.readings, &found, &after.readings);

    let recount = Recount::of(temperatures.iter());
    let stats = client.stats("").await;
    let stats: HashMap<&str, &RawValue> = serde_json::from_str(&stats).unwrap();
    assert_eq!(stats["Maximum"].get(), recount.maximum.unwrap().to_string());
    assert_eq!(stats["Minimum"].get(), recount.minimum.unwrap().to_string());
    let divisor = BigInt::from(recount.count) * 1_000_000;
    assert_nearest(
        stats["Average"].get().parse().unwrap(),
        &recount.sum,
        &divisor,
    );

    let mut files = HashMap::new();
    for device in client.devices().await {
        let bytes = client.file(&device).await;
        assert!(
            bytes == random_bytes(bytes.len()),
            "the file of {device} is torn"
        );
        if device != "fleeting" {
            let number: usize = device.parse().unwrap();
            files.insert(device, ((bytes.len() - number * 31) / 100) as u64);
        }
    }
    assert_between("file", &before.files, &files, &after.files);

    let mut todos = HashMap::new();
    let mut path = "/api/todos?limit=1000".to_owned();
    loop {
        let page = client.get(&path).await.with_status(200).json();
        for todo in page["todos"].as_array().unwrap() {
            todos.insert(todo["title"].as_str().unwrap().to_owned(), 1);
        }
        match page["next"].as_str() {
            Some(next) => path = format!("/api/todos?limit=1000&cursor={next}"),
            None => break,
        }
    }
    assert_between("todo", &before.todos, &todos, &after.todos);

    let word = client.get("/hello").await.with_status(200).text();
    let version = word.strip_prefix('w').unwrap_or("0").parse().unwrap();
    let word = HashMap::from([("word".to_owned(), version)]);
    assert_between("word", &before.word, &word, &after.word);

    assert_eq!(server.stop().code, Some(0));
    let data = elsewhere.path().join("data");
    let report = embedded::verify(&data, &mut |_, _| {}).unwrap();
    recount.assert_equals(&report.stats);
}

/// The timestamp in the spelling of the writers: an export has no trailing zeros in a fraction.
fn normal(key: &str) -> String {
    let bare = key.strip_suffix('Z').unwrap();
    match bare.split_once('.') {
        Some((whole, fraction)) => format!("{whole}.{fraction:0<6}Z"),
        None => format!("{bare}.000000Z"),
    }
}

/// Asserts that each acknowledged item is there in the same version or a later version, and that every found item was sent.
fn assert_between(what: &str, before: &Versions, found: &HashMap<String, u64>, after: &Versions) {
    for (key, acknowledged) in &before.acknowledged {
        let version = found.get(key).copied();
        assert!(
            version >= Some(*acknowledged),
            "{what} {key}: version {acknowledged} was acknowledged, and {version:?} is in the backup"
        );
    }
    for (key, version) in found {
        let sent = after.sent.get(key).copied();
        assert!(
            Some(*version) <= sent,
            "{what} {key}: version {version} is in the backup, and {sent:?} was sent"
        );
    }
    println!(
        "{what}: {} had been acknowledged, {} are in the backup, {} were sent",
        before.acknowledged.len(),
        found.len(),
        after.sent.len()
    );
}

//! Several servers on the same tables, with every fault at once. At the end the statistics equal a recount of the table.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fieldstation::readings::dynamodb::DynamoStore;
use parking_lot::{Mutex, RwLock};

use super::{assert_consistent, credentials, location};
use crate::support::{Answer, Client, DynamoServer, Fault, FaultProxy, Random, Server, reading};

const REPLICAS: usize = 3;
const CLIENTS: u64 = 5;
/// A client without an answer continues with another replica.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(15);
const RUN_PATIENCE: Duration = Duration::from_secs(120);

#[expect(
    clippy::disallowed_methods,
    reason = "a setting of the tests, not of the server"
)]
fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_that_are_killed_and_cut_off_count_every_reading_once() {
    let first = setting("FIELDSTATION_REPLICA_SEED").unwrap_or_else(Random::any_seed);
    // Each run has a different seed.
    for seed in first..first + setting("FIELDSTATION_REPLICA_RUNS").unwrap_or(2) {
        println!(
            "FIELDSTATION_REPLICA_SEED={seed} FIELDSTATION_REPLICA_RUNS=1 writes the same again"
        );
        run(seed).await;
    }
}

async fn run(seed: u64) {
    let dynamo = DynamoServer::start();
    let direct = dynamo.url();
    DynamoStore::create_tables(&location(&direct), Some(&credentials()))
        .await
        .unwrap();
    let proxy = Arc::new(FaultProxy::start(dynamo.address()));
    let url = dynamo.url_through(proxy.address());
    let arguments = ["--readings", &url, "--request-timeout-seconds", "8"];
    let servers: Vec<_> = (0..REPLICAS)
        .map(|_| Some(Server::with_args(&arguments)))
        .collect();
    let addresses = servers.iter().flatten().map(Server::address).collect();
    let addresses: Arc<RwLock<Vec<SocketAddr>>> = Arc::new(RwLock::new(addresses));
    let servers = Arc::new(Mutex::new(servers));

    let working = Arc::new(AtomicUsize::new(CLIENTS as usize));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let (addresses, working) = (Arc::clone(&addresses), Arc::clone(&working));
            tokio::spawn(async move {
                let kept = send(seed, client, &addresses).await;
                working.fetch_sub(1, Ordering::SeqCst);
                kept
            })
        })
        .collect();
    let stop = Arc::new(AtomicBool::new(false));
    let chaos = {
        let (proxy, servers) = (Arc::clone(&proxy), Arc::clone(&servers));
        let (addresses, stop) = (Arc::clone(&addresses), Arc::clone(&stop));
        std::thread::spawn(move || cause_outages(seed, &proxy, &servers, &addresses, &stop))
    };
    let started = Instant::now();
    while working.load(Ordering::SeqCst) > 0 && started.elapsed() < RUN_PATIENCE {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    stop.store(true, Ordering::SeqCst);
    chaos.join().unwrap();
    let mut kept = BTreeMap::new();
    for client in clients {
        kept.extend(client.await.unwrap());
    }

    // All replicas give the same answers, byte for byte, and the answers equal the content of the table.
    let mut answers = Vec::new();
    let now: Vec<_> = addresses.read().clone();
    for address in now {
        answers.push(Client::new(address).stats("").await);
    }
    assert!(
        answers.windows(2).all(|two| two[0] == two[1]),
        "{answers:?}"
    );
    let report = assert_consistent(&direct).await;
    assert!(report.stats.count() > 0);

    // A sensor with a single writing client has the last values of this client.
    let replica = addresses.read()[0];
    let text = Client::new(replica).everything().await;
    for line in text.lines() {
        let stored: serde_json::Value = serde_json::from_str(line).unwrap();
        let key = (
            stored["sensorId"].as_str().unwrap().to_owned(),
            stored["timestamp"].as_str().unwrap().to_owned(),
        );
        if let Some(expected) = kept.remove(&key) {
            assert_eq!(stored["temperature"], expected, "{key:?}");
        }
    }
    assert!(kept.is_empty(), "vanished: {kept:?}");
    servers.lock().clear();
}

/// Sends batches to any replica until a replica accepts each batch. Returns the readings written by this client alone.
async fn send(
    seed: u64,
    client: u64,
    addresses: &RwLock<Vec<SocketAddr>>,
) -> BTreeMap<(String, String), i64> {
    let mut random = Random::new(seed * 1_000 + client);
    let mut kept = BTreeMap::new();
    let mut before = String::new();
    for _ in 0..12 {
        let mut lines = String::new();
        for _ in 0..=random.below(24) {
            // All clients share half of the sensors. Timestamps are few, so timestamps repeat.
            let own = random.one_in(2);
            let sensor = if own {
                format!("own-{client}-{}", random.below(2))
            } else {
                format!("shared-{}", random.below(4))
            };
            let timestamp = format!("2026-11-20T13:00:{:02}Z", random.below(40));
            let temperature = random.below(9) as i64 - 4;
            lines += &reading(&sensor, &timestamp, &temperature.to_string());
            lines.push('\n');
            if own {
                kept.insert((sensor, timestamp), temperature);
            }
        }
        store(&lines, addresses, &mut random).await;
        // Sometimes the client repeats the batch before, but only the readings of shared sensors: a repeated reading of an own
        // sensor would undo a later write.
        if random.one_in(4) && !before.is_empty() {
            let shared: String = before
                .lines()
                .filter(|line| line.contains("shared"))
                .map(|line| format!("{line}\n"))
                .collect();
            store(&shared, addresses, &mut random).await;
        }
        before = lines;
    }
    kept
}

async fn store(lines: &str, addresses: &RwLock<Vec<SocketAddr>>, random: &mut Random) {
    if lines.is_empty() {
        return;
    }
    let started = Instant::now();
    loop {
        let replica = {
            let addresses = addresses.read();
            addresses[random.below(addresses.len() as u64) as usize]
        };
        let request = Client::new(replica)
            .request("POST", "/api/readings")
            .header("content-type", "application/x-ndjson")
            .timeout(CLIENT_TIMEOUT)
            .body(lines.to_owned());
        match Answer::try_to(request).await {
            Ok(answer) if answer.status == 200 => {
                let counts = answer.json();
                let sum: u64 = ["recorded", "unchanged", "replaced"]
                    .iter()
                    .map(|name| counts[name].as_u64().unwrap())
                    .sum();
                assert_eq!(sum as usize, lines.lines().count());
                return;
            }
            Ok(answer) => assert_eq!(answer.status, 503, "{}", answer.text()),
            Err(_) => {}
        }
        assert!(started.elapsed() < RUN_PATIENCE, "never taken");
        tokio::time::sleep(Duration::from_millis(5 + random.below(20))).await;
    }
}

/// Cuts answers and connections, and kills the replicas in turn, until the test stops this function. Then all replicas work again.
fn cause_outages(
    seed: u64,
    proxy: &FaultProxy,
    servers: &Mutex<Vec<Option<Server>>>,
    addresses: &RwLock<Vec<SocketAddr>>,
    stop: &AtomicBool,
) {
    let mut random = Random::new(seed ^ 0xC0FFEE);
    let pause = |milliseconds| std::thread::sleep(Duration::from_millis(milliseconds));
    while !stop.load(Ordering::SeqCst) {
        pause(30 + random.below(120));
        match random.below(4) {
            0 | 1 => proxy.set(Fault::CutAnswers),
            2 => proxy.set(Fault::CutAfter(500 + random.below(40_000))),
            _ => {
                let victim = random.below(REPLICAS as u64) as usize;
                let mut servers = servers.lock();
                if let Some(mut server) = servers[victim].take() {
                    server.kill9();
                    let server = server.restart();
                    addresses.write()[victim] = server.address();
                    servers[victim] = Some(server);
                }
            }
        }
        pause(20 + random.below(100));
        proxy.set(Fault::None);
    }
}

//! Both backends compared: the same answers, readings migrated between them, and the number of requests.

use std::path::Path;
use std::sync::Arc;

use fieldstation::readings::dynamodb::DynamoStore;

use super::{assert_consistent, credentials, location};
use crate::support::{Client, CountingProxy, DynamoServer, Random, Server, lines, reading, run};

async fn tables() -> DynamoServer {
    let dynamo = DynamoServer::start();
    DynamoStore::create_tables(&location(&dynamo.url()), Some(&credentials()))
        .await
        .unwrap();
    dynamo
}

/// All possible answers about readings.
async fn answers(client: &Client) -> Vec<String> {
    let window = "from=2026-11-20T13:00:10Z&to=2026-11-20T13:00:33.5Z";
    let mut answers = Vec::new();
    for path in [
        "/api/stats".to_owned(),
        "/api/stats?sensorId=s1".to_owned(),
        "/api/stats?sensorId=nobody".to_owned(),
        format!("/api/stats?{window}"),
        format!("/api/stats?sensorId=s2&{window}"),
        "/api/sensors".to_owned(),
        "/api/sensors?limit=2".to_owned(),
        "/api/sensors/s0".to_owned(),
        "/api/sensors/s1/readings?limit=7".to_owned(),
        format!("/api/sensors/s1/readings?{window}"),
        "/api/sensors/s2/series?points=5".to_owned(),
        format!("/api/sensors/s2/series?points=4&{window}"),
        "/api/readings?format=csv".to_owned(),
        format!("/api/readings?format=ndjson&{window}"),
        "/api/readings?sensorId=s3&format=ndjson".to_owned(),
    ] {
        answers.push(client.get(&path).await.with_status(200).text());
    }
    answers
}

#[tokio::test]
async fn both_backends_answer_byte_for_byte_the_same() {
    let dynamo = tables().await;
    let url = dynamo.url();
    let servers = [
        Server::with_args(&["--readings", "sqlite:"]),
        Server::with_args(&["--readings", &url]),
    ];
    let seed = Random::any_seed();
    println!("seed {seed}");
    let mut random = Random::new(seed);
    for _ in 0..30 {
        let body: String = (0..=random.below(40))
            .map(|_| {
                let (second, fraction) = (random.below(60), random.below(3) * 25);
                let timestamp = format!("2026-11-20T13:00:{second:02}.{fraction:02}Z");
                let temperature = random.below(4_000_000) as f64 / 1e4 - 200.0;
                reading(
                    &format!("s{}", random.below(4)),
                    &timestamp,
                    &format!("{temperature:.4}"),
                ) + "\n"
            })
            .collect();
        let mut said = Vec::new();
        for server in &servers {
            said.push(server.client().store(body.clone()).await.text());
        }
        assert_eq!(said[0], said[1]);
    }
    let [embedded, remote] = servers;
    assert_eq!(
        answers(&embedded.client()).await,
        answers(&remote.client()).await
    );
    assert_consistent(&url).await;
}

fn migrate(directory: &Path, from: &str, to: &str, code: i32) -> String {
    let data = directory.join("data");
    let ended = run(
        directory,
        &[
            "migrate",
            "--from",
            from,
            "--to",
            to,
            "--data",
            data.to_str().unwrap(),
        ],
    );
    assert_eq!(ended.code, Some(code), "{}", ended.output);
    ended.output
}

#[tokio::test]
async fn readings_move_from_one_backend_to_the_other_and_back() {
    let dynamo = tables().await;
    let url = dynamo.url();
    let server = Server::with_args(&["--readings", "sqlite:"]);
    let client = server.client();
    client.store(lines("a", 700)).await;
    client.store(lines("b", 300)).await;
    let everything = client.everything().await;
    let directory = Arc::clone(server.directory());
    let refused = migrate(directory.path(), "sqlite:", &url, 3);
    assert!(refused.contains("sqlite:"), "{refused}");
    server.stop();

    // As if the migration had been interrupted within the first sensor.
    let remote = Server::with_args(&["--readings", &url]);
    remote.client().store(lines("a", 250)).await;
    remote.stop();
    let output = migrate(directory.path(), "sqlite:", &url, 0);
    assert!(output.contains("recorded   750"), "{output}");
    assert!(output.contains("unchanged  250"), "{output}");
    assert!(output.contains("The same on both sides"), "{output}");
    assert_consistent(&url).await;
    // The command skips a sensor with equal readings on both sides.
    let output = migrate(directory.path(), "sqlite:", &url, 0);
    assert!(
        output.contains("2, of which 2 were the same already"),
        "{output}"
    );
    let other = tempfile::tempdir().unwrap();
    migrate(other.path(), &url, "sqlite:", 0);
    let copy = Server::try_in(&Arc::new(other), &[]).unwrap();
    assert_eq!(copy.client().everything().await, everything);

    // The command reports a sensor found only in the target, and the sensor stays.
    let remote = Server::with_args(&["--readings", &url]);
    let extra = reading("c", "2026-11-20T13:00:00Z", "1");
    remote.client().put(extra).await.with_status(200);
    let output = migrate(directory.path(), "sqlite:", &url, 1);
    assert!(output.contains("holds more than that"), "{output}");
    assert!(migrate(directory.path(), &url, &url, 2).contains("the same"));
}

/// Requests to DynamoDB for each reading, counted in the proxy, while many clients send single readings.
#[tokio::test]
async fn many_clients_share_few_requests() {
    const CLIENTS: usize = 64;
    const EACH: usize = 50;
    let dynamo = tables().await;
    let wire = CountingProxy::start(dynamo.address());
    let url = dynamo.url_through(wire.address());
    let server = Server::with_args(&["--readings", &url]);
    let client = server.client();
    // The server knows the sensors, as in a fleet after some time.
    let known: String = (0..CLIENTS)
        .map(|sensor| reading(&format!("s{sensor}"), "2026-11-20T12:00:00Z", "20") + "\n")
        .collect();
    client.store(known).await;
    let before = wire.counts();
    let sending = (0..CLIENTS).map(|sensor| {
        let client = client.clone();
        async move {
            for n in 0..EACH {
                let timestamp = format!("2026-11-20T13:00:{n:02}Z");
                let temperature = format!("{}", 20 + n % 3);
                client
                    .put(reading(&format!("s{sensor}"), &timestamp, &temperature))
                    .await
                    .with_status(200);
            }
        }
    });
    futures_util::future::join_all(sending).await;
    let counts = wire.counts().since(&before);
    let requests = counts.requests();
    let readings = (CLIENTS * EACH) as u64;
    println!("{requests} requests for {readings} readings: {counts:?}");
    assert!(requests * 20 <= readings, "{readings} readings: {counts:?}");
    assert_consistent(&dynamo.url()).await;
}

/// The same with new sensors. The lowest and highest readings of these sensors move all the time. Both need more of the 100 items of a
/// transaction.
#[tokio::test]
async fn many_clients_share_few_requests_for_new_sensors() {
    const CLIENTS: usize = 64;
    const SENSORS: usize = 1_000;
    const EACH: usize = 12;
    let dynamo = tables().await;
    let wire = CountingProxy::start(dynamo.address());
    let server = Server::with_args(&["--readings", &dynamo.url_through(wire.address())]);
    let client = server.client();
    let before = wire.counts();
    let sending = (0..CLIENTS).map(|number| {
        let client = client.clone();
        let mut random = Random::new(number as u64);
        async move {
            let sensors = (number..SENSORS).step_by(CLIENTS);
            let mut walks: Vec<_> = sensors.map(|sensor| (sensor, 2_000_i64)).collect();
            for second in 10..10 + EACH {
                for (sensor, hundredths) in &mut walks {
                    *hundredths += random.below(21) as i64 - 10;
                    let timestamp = format!("2026-11-20T13:00:{second}Z");
                    let temperature = format!("{}.{:02}", *hundredths / 100, *hundredths % 100);
                    client
                        .put(reading(&format!("s{sensor}"), &timestamp, &temperature))
                        .await
                        .with_status(200);
                }
            }
        }
    });
    futures_util::future::join_all(sending).await;
    let counts = wire.counts().since(&before);
    let readings = (SENSORS * EACH) as u64;
    let items = counts.items as f64 / counts.transactions() as f64;
    println!(
        "{} requests for {readings} readings, {items:.0} items a transaction: {counts:?}",
        counts.requests()
    );
    assert!(
        counts.requests() * 20 <= readings,
        "{readings} readings: {counts:?}"
    );
    assert_consistent(&dynamo.url()).await;
}

/// Readings of a real machine on both backends: the same statistics, and a second import changes nothing. `FIELDSTATION_TEST_DATA`
/// is the path of `machine_temperature_system_failure.csv` of the Numenta Anomaly Benchmark.
#[tokio::test]
#[ignore = "needs a file: FIELDSTATION_TEST_DATA"]
async fn a_real_machine() {
    // Only the tests with real data read this setting, not the program.
    #[allow(clippy::disallowed_methods)]
    let path =
        std::env::var("FIELDSTATION_TEST_DATA").expect("FIELDSTATION_TEST_DATA is the file's path");
    let dynamo = tables().await;
    let servers = [
        Server::with_args(&["--readings", "sqlite:"]),
        Server::with_args(&["--readings", &dynamo.url()]),
    ];
    let directory = tempfile::tempdir().unwrap();
    let mut seen = Vec::new();
    for server in &servers {
        let mut stats = Vec::new();
        for round in ["recorded   22", "recorded   0"] {
            let url = server.url();
            let ended = run(
                directory.path(),
                &[
                    "import",
                    &path,
                    "--sensor-id",
                    "m",
                    "--batch",
                    "2000",
                    "--url",
                    &url,
                ],
            );
            assert_eq!(ended.code, Some(0), "{}", ended.output);
            assert!(ended.output.contains(round), "{}", ended.output);
            stats.push(server.client().stats("").await);
        }
        assert_eq!(stats[0], stats[1]);
        seen.extend(stats);
    }
    assert_eq!(seen[0], seen[3]);
    assert_consistent(&dynamo.url()).await;
}

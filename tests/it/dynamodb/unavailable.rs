//! DynamoDB is unavailable for a longer time: few requests, few log lines, and a server start without DynamoDB.

use std::time::{Duration, Instant};

use fieldstation::readings::dynamodb::DynamoStore;

use super::{assert_consistent, credentials, location, until_ready};
use crate::support::{
    DynamoProxy, DynamoServer, Fault, FaultProxy, InterceptedRequest, Reaction, Server, lines,
    reading, run,
};

async fn create_tables(dynamo: &DynamoServer) {
    DynamoStore::create_tables(&location(&dynamo.url()), Some(&credentials()))
        .await
        .unwrap();
}

fn count(log: &str, words: &str) -> usize {
    log.lines().filter(|line| line.contains(words)).count()
}

/// Five clients wait all the time, because writes are retried until their deadline.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_clients_cause_few_requests_while_dynamodb_is_unavailable() {
    type Outage = fn(&InterceptedRequest<'_>) -> Reaction;
    let outages: [(&str, Outage); 4] = [
        ("throttled", |_| {
            Reaction::refuse("ProvisionedThroughputExceededException", "too much")
        }),
        ("failing", |_| Reaction::fail("InternalServerError")),
        ("hanging up", |_| Reaction::HangUp),
        ("lookups only", |asked| match asked.operation {
            "TransactWriteItems" | "UpdateItem" => Reaction::Pass,
            _ => Reaction::fail("InternalServerError"),
        }),
    ];
    for (name, outage) in outages {
        let dynamo = DynamoServer::start();
        create_tables(&dynamo).await;
        let gate = DynamoProxy::start(dynamo.address());
        let url = dynamo.url_through(gate.address());
        let server = Server::with_args(&["--readings", &url]);
        server.client().store(lines("a", 10)).await;
        gate.set(outage);
        let before = gate.counts();
        let clients = (0..5).map(|number| {
            let client = server.client();
            tokio::spawn(async move {
                let sensor = format!("new-{number}");
                let body = reading(&sensor, "2026-11-21T13:00:00Z", "5");
                client.put(body).await.with_status(200);
            })
        });
        let clients: Vec<_> = clients.collect();
        tokio::time::sleep(Duration::from_secs(10)).await;
        let asked = gate.counts().since(&before);
        assert!(asked.requests() <= 100, "{name}: {asked:?}");
        println!("{name}: {} requests in 10 s", asked.requests());
        gate.open();
        for client in clients {
            client.await.unwrap();
        }
        tokio::time::sleep(Duration::from_secs(4)).await;
        let log = server.log();
        assert!(count(&log, "\"WARN\"") <= 4, "{name}: {log}");
        assert_eq!(
            count(&log, "\"trouble with a backend\""),
            1,
            "{name}: {log}"
        );
        assert_eq!(
            count(&log, "trouble with a backend has ended"),
            1,
            "{name}: {log}"
        );
        assert_eq!(assert_consistent(&dynamo.url()).await.stats.count(), 15);
    }
}

#[tokio::test]
async fn a_server_starts_without_dynamodb_and_goes_on_by_itself() {
    let dynamo = DynamoServer::start();
    create_tables(&dynamo).await;
    let proxy = FaultProxy::start(dynamo.address());
    let url = dynamo.url_through(proxy.address());
    for fault in [Fault::Refuse, Fault::Blackhole] {
        proxy.set(fault);
        let started = Instant::now();
        let arguments = ["--readings", &url, "--request-timeout-seconds", "2"];
        let server = Server::with_args(&arguments);
        assert!(started.elapsed() < Duration::from_secs(15), "{fault:?}");
        let client = server.client();
        for path in ["/livez", "/hello", "/api/todos", "/"] {
            client.get(path).await.with_status(200);
        }
        for path in ["/readyz", "/health", "/api/stats", "/api/sensors/a"] {
            let answer = client.get(path).await;
            assert_eq!(answer.status, 503, "{fault:?} {path}: {}", answer.text());
            assert!(answer.text().contains("DynamoDB"), "{}", answer.text());
        }
        let refused = client.put(reading("a", "2026-11-21T13:00:00Z", "5")).await;
        refused.problem_saying(503, "unavailable", &["DynamoDB"]);
        proxy.set(Fault::None);
        until_ready(&client, Duration::from_secs(10)).await;
        client.store(lines("a", 10)).await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        let log = server.log();
        assert_eq!(count(&log, "\"trouble with a backend\""), 1, "{log}");
        assert_eq!(count(&log, "trouble with a backend has ended"), 1, "{log}");
        assert_eq!(count(&log, "readings are open"), 1, "{log}");
        assert_eq!(server.stop().code, Some(0));
    }
    assert_consistent(&dynamo.url()).await;
}

#[tokio::test]
async fn a_problem_with_the_tables_is_reported_once_dynamodb_is_back() {
    let dynamo = DynamoServer::start();
    let proxy = FaultProxy::start(dynamo.address());
    let url = dynamo.url_through(proxy.address());
    proxy.set(Fault::Refuse);
    let server = Server::with_args(&["--readings", &url]);
    let client = server.client();
    proxy.set(Fault::None);
    let started = Instant::now();
    loop {
        let answer = client.get("/readyz").await;
        assert_eq!(answer.status, 503, "{}", answer.text());
        if answer
            .text()
            .contains("fieldstation dynamodb create-tables")
        {
            break;
        }
        assert!(
            started.elapsed() < Duration::from_secs(10),
            "{}",
            answer.text()
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let started = Instant::now();
    let refused = client.put(reading("a", "2026-11-21T13:00:00Z", "5")).await;
    refused.problem_saying(503, "unavailable", &["create-tables"]);
    assert!(started.elapsed() < Duration::from_secs(1));
    create_tables(&dynamo).await;
    until_ready(&client, Duration::from_secs(10)).await;
    client.store(lines("a", 10)).await;
}

#[test]
fn a_command_that_cannot_reach_dynamodb_ends_in_time_with_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let started = Instant::now();
    let url = "dynamodb://test?region=eu-west-1&endpoint=http://127.0.0.1:1";
    let ended = run(
        directory.path(),
        &[
            "migrate", "--from", url, "--to", "sqlite:", "--data", "data",
        ],
    );
    assert_eq!(ended.code, Some(3), "{}", ended.output);
    assert!(ended.output.contains("DynamoDB"), "{}", ended.output);
    assert!(started.elapsed() < Duration::from_secs(25));
}

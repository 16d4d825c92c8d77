//! DynamoDB unavailable, slow or throttled: a clear answer in time, nothing counted twice, and no restart afterwards.

use std::time::{Duration, Instant};

use fieldstation::readings::dynamodb::DynamoStore;

use super::{assert_consistent, credentials, location};
use crate::support::{Client, DynamoServer, Fault, FaultProxy, Server, lines, reading};

struct Scene {
    dynamo: DynamoServer,
    proxy: FaultProxy,
    server: Server,
}

async fn tables() -> DynamoServer {
    let dynamo = DynamoServer::start();
    DynamoStore::create_tables(&location(&dynamo.url()), Some(&credentials()))
        .await
        .unwrap();
    dynamo
}

async fn scene() -> Scene {
    let dynamo = tables().await;
    let proxy = FaultProxy::start(dynamo.address());
    let url = dynamo.url_through(proxy.address());
    let server = Server::with_args(&["--readings", &url, "--request-timeout-seconds", "4"]);
    Scene {
        dynamo,
        proxy,
        server,
    }
}

async fn until_taken(client: &Client, body: &str) {
    let started = Instant::now();
    while client.put(body.to_owned()).await.status != 200 {
        assert!(started.elapsed() < Duration::from_secs(20), "never taken");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn an_outage_is_503_in_time_and_ends_without_a_restart() {
    let scene = scene().await;
    let client = scene.server.client();
    let first = reading("a", "2026-11-20T13:00:00Z", "1");
    client.put(first).await.with_status(200);
    for fault in [
        Fault::Refuse,
        Fault::Reset,
        Fault::Blackhole,
        Fault::CutAnswers,
    ] {
        scene.proxy.set(fault);
        let started = Instant::now();
        let body = reading("a", "2026-11-20T13:00:01Z", "2");
        let answer = client.put(body.clone()).await;
        answer.problem(503, "unavailable");
        assert!(answer.header("retry-after").is_some());
        assert!(started.elapsed() < Duration::from_secs(6), "{fault:?}");
        let health = client.get("/health").await;
        assert_eq!(health.status, 503, "{}", health.text());
        client.get("/livez").await.with_status(200);
        client.get("/api").await.with_status(200);
        scene.proxy.set(Fault::None);
        until_taken(&client, &body).await;
        assert_eq!(
            client.stats("").await,
            r#"{"Maximum":2,"Minimum":1,"Average":1.5}"#
        );
    }
    assert_eq!(
        assert_consistent(&scene.dynamo.url()).await.stats.count(),
        2
    );
}

#[tokio::test]
async fn a_batch_that_ends_half_way_names_what_is_not_known_to_be_stored() {
    let scene = scene().await;
    let client = scene.server.client();
    scene.proxy.set(Fault::Refuse);
    let answer = client
        .post("", "application/x-ndjson", lines("a", 150))
        .await;
    let problem = answer.problem(503, "unavailable");
    assert_eq!(problem["unstored"], 150);
    let errors = problem["errors"].as_array().unwrap();
    assert_eq!(errors.len(), 100);
    assert_eq!(errors[0]["line"], 1);
    assert!(
        errors[0]["reason"]
            .as_str()
            .unwrap()
            .contains("not known to be stored")
    );
    scene.proxy.set(Fault::None);
    client.store(lines("a", 150)).await;
    assert_eq!(
        assert_consistent(&scene.dynamo.url()).await.stats.count(),
        150
    );
}

/// The answer to a transaction is lost, and the server sends the transaction again. The client gets the outcome of the first
/// transaction: recorded, and not unchanged.
#[tokio::test]
async fn a_write_stored_without_an_answer_is_recorded_once() {
    let dynamo = tables().await;
    let proxy = FaultProxy::start(dynamo.address());
    let url = dynamo.url_through(proxy.address());
    let server = Server::with_args(&["--readings", &url]);
    let client = server.client();
    client.store(lines("a", 10)).await;
    proxy.set(Fault::CutAnswers);
    // The server knows the sensor, so the server needs no lookup during the fault.
    let body = reading("a", "2026-11-21T13:00:00Z", "5");
    let sending = client.post("", "application/x-ndjson", body);
    let relief = async {
        let started = Instant::now();
        while assert_consistent(&dynamo.url()).await.stats.count() < 11 {
            assert!(started.elapsed() < Duration::from_secs(15), "never stored");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        proxy.set(Fault::None);
    };
    let (answer, ()) = futures_util::future::join(sending, relief).await;
    let outcome = answer.with_status(200).json();
    assert_eq!(outcome["recorded"], 1, "{outcome}");
    assert_eq!(outcome["unchanged"], 0, "{outcome}");
    assert_eq!(assert_consistent(&dynamo.url()).await.stats.count(), 11);
}

#[tokio::test]
async fn throttling_and_conflicts_are_waited_for_and_nothing_counts_twice() {
    const THROTTLED: &str = "HTTP/1.1 400 Bad Request\r\ncontent-type: application/x-amz-json-1.0\r\ncontent-length: 123\r\n\r\n\
        {\"__type\":\"com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException\",\"message\":\"The level was exceeded....\"}";
    const CONFLICT: &str = "HTTP/1.1 400 Bad Request\r\ncontent-type: application/x-amz-json-1.0\r\ncontent-length: 193\r\n\r\n\
        {\"__type\":\"com.amazonaws.dynamodb.v20120810#TransactionCanceledException\",\"Message\":\"cancelled\",\"CancellationReasons\":\
        [{\"Code\":\"None\"},{\"Code\":\"TransactionConflict\",\"Message\":\"It is ongoing\"}]}";
    for answer in [THROTTLED, CONFLICT] {
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let length = format!("content-length: {}", body.len());
        assert!(head.ends_with(&length), "{length}");
    }
    let scene = scene().await;
    let client = scene.server.client();
    client.store(lines("a", 10)).await;
    for fault in [THROTTLED, CONFLICT] {
        // A short fault: the request succeeds anyway.
        scene.proxy.set(Fault::Answer(fault));
        let proxy = &scene.proxy;
        let body = lines("a", 60);
        let sending = client.post("", "application/x-ndjson", body);
        let relief = async {
            tokio::time::sleep(Duration::from_millis(700)).await;
            proxy.set(Fault::None);
        };
        let (answer, ()) = futures_util::future::join(sending, relief).await;
        answer.with_status(200);
        // A long fault: the request fails in time, and names the reason.
        scene.proxy.set(Fault::Answer(fault));
        let started = Instant::now();
        let answer = client.put(reading("a", "2026-11-21T13:00:00Z", "5")).await;
        assert_eq!(answer.status, 503, "{}", answer.text());
        assert!(answer.header("retry-after").is_some());
        assert!(started.elapsed() < Duration::from_secs(6));
        scene.proxy.set(Fault::None);
    }
    let report = assert_consistent(&scene.dynamo.url()).await;
    assert_eq!(report.stats.count(), 60);
}

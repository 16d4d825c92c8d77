//! After the client disconnects, a read sends no further request to DynamoDB.

use std::time::{Duration, Instant};

use fieldstation::readings::dynamodb::DynamoStore;

use super::{credentials, location};
use crate::support::{DynamoProxy, DynamoServer, Raw, Reaction, Server, lines};

/// A page with more pages to come. All readings of the page are newer than the read.
const ANOTHER_PAGE: &str = r#"{"Items":[],"Count":0,"ScannedCount":0,"LastEvaluatedKey":{"sensor_id":{"S":"a"},"timestamp":{"S":"2026-11-20T00:00:00.000000Z"}}}"#;

#[tokio::test]
async fn no_further_page_is_read_for_a_client_that_has_left() {
    let dynamo = DynamoServer::start();
    DynamoStore::create_tables(&location(&dynamo.url()), Some(&credentials()))
        .await
        .unwrap();
    let gate = DynamoProxy::start(dynamo.address());
    let url = dynamo.url_through(gate.address());
    let server = Server::with_args(&["--readings", &url]);
    server.client().store(lines("a", 10)).await;
    let (asked, pages) = std::sync::mpsc::sync_channel(64);
    gate.set(move |request| {
        let is_of_readings = request.operation == "Query" && !request.body.contains("-aggregation");
        if !is_of_readings {
            return Reaction::Pass;
        }
        // If the channel is full, enough requests are waiting.
        let _ = asked.try_send(());
        Reaction::Answer(format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.0\r\ncontent-length: {}\r\n\r\n{ANOTHER_PAGE}",
            ANOTHER_PAGE.len()
        ))
    });
    let timeout = Duration::from_secs(30);
    for path in ["/api/sensors/a/readings", "/api/readings"] {
        let mut client = Raw::connect(server.address()).await;
        client
            .send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"))
            .await;
        for _ in 0..3 {
            pages.recv_timeout(timeout).unwrap();
        }
        drop(client);
        let started = Instant::now();
        // A last request may still be in flight.
        while pages.recv_timeout(Duration::from_secs(1)).is_ok() {
            assert!(started.elapsed() < timeout, "{path} is read on");
        }
    }
}

//! Tests of the DynamoDB store only: replicas, faults between the store and the tables, existing data.

mod backends;
mod cancelled_reads;
mod denied;
mod drift;
mod existing;
mod leases;
mod migration;
mod older_data;
mod older_tables;
mod outage;
mod properties;
mod recount;
mod recount_interrupted;
mod replicas;
mod unavailable;

use std::time::{Duration, Instant};

use fieldstation::readings::ReadingStore;
use fieldstation::readings::dynamodb::{
    Credentials, DynamoOptions, DynamoStore, DynamoUrl, RecountReport, recount,
};

use crate::support::{Client, DynamoKind, DynamoServer};

/// A store on separate tables.
pub struct Backend {
    store: DynamoStore,
    server: DynamoServer,
}

impl Backend {
    pub async fn new(kind: DynamoKind) -> Self {
        let server = DynamoServer::start_kind(kind);
        let location = location(&server.url());
        DynamoStore::create_tables(&location, Some(&credentials()))
            .await
            .unwrap();
        let store = DynamoStore::open(&location, options()).await.unwrap();
        Self { store, server }
    }

    pub fn store(&self) -> &dyn ReadingStore {
        &self.store
    }

    /// Closes the store, and compares the aggregates with a recount.
    pub async fn close(self) {
        self.store.close().await.unwrap();
        assert_consistent(&self.server.url()).await;
    }
}

pub fn location(url: &str) -> DynamoUrl {
    DynamoUrl::parse(&url.parse().unwrap()).unwrap()
}

pub fn credentials() -> Credentials {
    Credentials {
        access_key: "test".to_owned(),
        secret: "test".to_owned(),
    }
}

pub fn options() -> DynamoOptions {
    DynamoOptions {
        credentials: Some(credentials()),
        ..DynamoOptions::default()
    }
}

/// Compares the aggregates with a recount of the table.
pub async fn assert_consistent(url: &str) -> RecountReport {
    let report = recount(&location(url), Some(&credentials()), true, &|_, _| {})
        .await
        .unwrap();
    assert_eq!(report.difference_count, 0, "{report:#?}");
    report
}

/// Waits until a server is ready.
pub async fn until_ready(client: &Client, timeout: Duration) {
    let started = Instant::now();
    loop {
        let answer = client.get("/readyz").await;
        if answer.status == 200 {
            return;
        }
        assert!(started.elapsed() < timeout, "{}", answer.text());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

//! A replica watches the leases and so learns the leases of live owners. The clocks of other replicas do not matter.

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aws_sdk_dynamodb::types::AttributeValue;
use fieldstation::readings::ReadingStore;
use fieldstation::readings::dynamodb::{DynamoOptions, DynamoStore};

use super::existing::client;
use super::{credentials, location, options};
use crate::support::DynamoServer;

const LEASE: Duration = Duration::from_secs(2);
const HOUR: i64 = 3600;

struct Leases {
    client: aws_sdk_dynamodb::Client,
}

impl Leases {
    /// Renews a lease in the way of a replica with a clock `ahead` seconds ahead.
    async fn renew(&self, lease: &str, owner: &str, ahead: i64, renewals: Option<u64>) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let until = now.as_secs() as i64 + ahead + LEASE.as_secs() as i64;
        let mut item = HashMap::from([
            ("aggregation_period".to_owned(), text("slots")),
            ("cell".to_owned(), text(lease)),
            ("owner".to_owned(), text(owner)),
            (
                "lease_until".to_owned(),
                AttributeValue::N(until.to_string()),
            ),
        ]);
        if let Some(renewals) = renewals {
            let renewals = AttributeValue::N(renewals.to_string());
            item.insert("renewals".to_owned(), renewals);
        }
        self.client
            .put_item()
            .table_name("test-temperature-readings-aggregation")
            .set_item(Some(item))
            .send()
            .await
            .unwrap();
    }

    /// The owner and the lease time of each lease.
    async fn all(&self) -> HashMap<String, (String, String)> {
        let found = self
            .client
            .query()
            .table_name("test-temperature-readings-aggregation")
            .consistent_read(true)
            .key_condition_expression("aggregation_period = :slots")
            .expression_attribute_values(":slots", text("slots"))
            .send()
            .await
            .unwrap();
        let of = |item: &HashMap<String, AttributeValue>| {
            let owner = item["owner"].as_s().unwrap().clone();
            let until = item["lease_until"].as_n().unwrap().clone();
            (item["cell"].as_s().unwrap().clone(), (owner, until))
        };
        found.items().iter().map(of).collect()
    }
}

fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

async fn scene() -> (DynamoServer, Leases) {
    let dynamo = DynamoServer::start();
    DynamoStore::create_tables(&location(&dynamo.url()), Some(&credentials()))
        .await
        .unwrap();
    let client = client(&dynamo);
    (dynamo, Leases { client })
}

async fn open(dynamo: &DynamoServer) -> DynamoStore {
    let options = DynamoOptions {
        lease_duration: LEASE,
        ..options()
    };
    DynamoStore::open(&location(&dynamo.url()), options)
        .await
        .unwrap()
}

#[tokio::test]
async fn replicas_with_clocks_an_hour_apart_keep_their_leases_while_they_live() {
    let (dynamo, leases) = scene().await;
    let renew = async |renewals: u64| {
        // A replica of an older version writes no number of renewals.
        leases.renew("r000", "behind", -HOUR, Some(renewals)).await;
        leases.renew("r001", "behind and old", -HOUR, None).await;
        leases.renew("r002", "ahead", HOUR, Some(renewals)).await;
    };
    // Writes the state of the aggregates.
    open(&dynamo).await.close().await.unwrap();
    renew(0).await;
    let started = Instant::now();
    let store = open(&dynamo).await;
    assert!(started.elapsed() < LEASE, "nothing to wait for");
    let mut renewals = 0;
    while started.elapsed() < LEASE * 4 {
        renewals += 1;
        renew(renewals).await;
        tokio::time::sleep(LEASE / 4).await;
        store.ready().await.unwrap();
    }
    let all = leases.all().await;
    let owner = |lease: &str| all[lease].0.as_str();
    assert_eq!(owner("r000"), "behind");
    assert_eq!(owner("r001"), "behind and old");
    assert_eq!(owner("r002"), "ahead");
    assert!(all.contains_key("r003"), "{all:?}");

    // All replicas except one die. Their leases become free, and the next start takes the first free lease.
    let died = Instant::now();
    while leases.all().await["r002"].1 != "0" {
        assert!(died.elapsed() < LEASE * 3, "{:?}", leases.all().await);
        leases.renew("r001", "behind and old", -HOUR, None).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(died.elapsed() > LEASE, "{:?}", died.elapsed());
    println!("free after {:?} of a lease of {LEASE:?}", died.elapsed());
    let next = open(&dynamo).await;
    let all = leases.all().await;
    assert_ne!(all["r000"].0, "behind", "{all:?}");
    assert_eq!(all["r001"].0, "behind and old", "{all:?}");
    assert_eq!(all.len(), 4, "{all:?}");
    next.close().await.unwrap();
    store.close().await.unwrap();
}

#[tokio::test]
async fn leases_of_dead_replicas_do_not_grow_in_number() {
    let (dynamo, leases) = scene().await;
    open(&dynamo).await.close().await.unwrap();
    for number in 0..64 {
        let owner = format!("dead-{number}");
        leases
            .renew(&format!("r{number:03}"), &owner, HOUR, Some(7))
            .await;
    }
    // This start takes longer, because the replica watches the leases first.
    let started = Instant::now();
    let store = open(&dynamo).await;
    assert!(started.elapsed() > LEASE);
    let all = leases.all().await;
    assert_eq!(all.len(), 64, "{all:?}");
    let alive = all.values().filter(|(owner, _)| !owner.starts_with("dead"));
    assert_eq!(alive.count(), 1, "{all:?}");
    store.close().await.unwrap();
}

//! Who owns a slot is found out by watching, and what the clocks of replicas say has no part in it.

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

struct Slots {
    client: aws_sdk_dynamodb::Client,
}

impl Slots {
    /// A sign of life, as a replica gives it whose clock is so many seconds ahead.
    async fn renew(&self, slot: &str, owner: &str, ahead: i64, renewals: Option<u64>) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let until = now.as_secs() as i64 + ahead + LEASE.as_secs() as i64;
        let mut item = HashMap::from([
            ("aggregation_period".to_owned(), text("slots")),
            ("cell".to_owned(), text(slot)),
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

    /// Owner and lease of each.
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

async fn scene() -> (DynamoServer, Slots) {
    let dynamo = DynamoServer::start();
    DynamoStore::create_tables(&location(&dynamo.url()), Some(&credentials()))
        .await
        .unwrap();
    let client = client(&dynamo);
    (dynamo, Slots { client })
}

async fn open(dynamo: &DynamoServer) -> DynamoStore {
    let options = DynamoOptions {
        lease: LEASE,
        ..options()
    };
    DynamoStore::open(&location(&dynamo.url()), options)
        .await
        .unwrap()
}

#[tokio::test]
async fn replicas_whose_clocks_differ_by_an_hour_keep_their_slots_while_they_live() {
    let (dynamo, slots) = scene().await;
    let renew = async |renewals: u64| {
        // One is of a version that gives no number.
        slots.renew("r000", "behind", -HOUR, Some(renewals)).await;
        slots.renew("r001", "behind and old", -HOUR, None).await;
        slots.renew("r002", "ahead", HOUR, Some(renewals)).await;
    };
    // So that the state is there.
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
    let all = slots.all().await;
    let owner = |slot: &str| all[slot].0.as_str();
    assert_eq!(owner("r000"), "behind");
    assert_eq!(owner("r001"), "behind and old");
    assert_eq!(owner("r002"), "ahead");
    assert!(all.contains_key("r003"), "{all:?}");

    // Now they die, all but one, and their slots are free: who starts next takes the first.
    let died = Instant::now();
    while slots.all().await["r002"].1 != "0" {
        assert!(died.elapsed() < LEASE * 3, "{:?}", slots.all().await);
        slots.renew("r001", "behind and old", -HOUR, None).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(died.elapsed() > LEASE, "{:?}", died.elapsed());
    println!("free after {:?} of a lease of {LEASE:?}", died.elapsed());
    let next = open(&dynamo).await;
    let all = slots.all().await;
    assert_ne!(all["r000"].0, "behind", "{all:?}");
    assert_eq!(all["r001"].0, "behind and old", "{all:?}");
    assert_eq!(all.len(), 4, "{all:?}");
    next.close().await.unwrap();
    store.close().await.unwrap();
}

#[tokio::test]
async fn slots_of_the_dead_are_not_more_and_more() {
    let (dynamo, slots) = scene().await;
    open(&dynamo).await.close().await.unwrap();
    for number in 0..64 {
        let owner = format!("dead-{number}");
        slots
            .renew(&format!("r{number:03}"), &owner, HOUR, Some(7))
            .await;
    }
    // A start is slower then: it watches first.
    let started = Instant::now();
    let store = open(&dynamo).await;
    assert!(started.elapsed() > LEASE);
    let all = slots.all().await;
    assert_eq!(all.len(), 64, "{all:?}");
    let alive = all.values().filter(|(owner, _)| !owner.starts_with("dead"));
    assert_eq!(alive.count(), 1, "{all:?}");
    store.close().await.unwrap();
}

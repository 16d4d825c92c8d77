//! Tables of older programs, and a naive model of their content.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, PutRequest,
    ScalarAttributeType, WriteRequest,
};
use fieldstation::readings::{Temperature, Timestamp};
use futures_util::stream::{self, StreamExt as _};

use crate::support::Random;

pub type Item = HashMap<String, AttributeValue>;

pub fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

pub fn number(value: &str) -> AttributeValue {
    AttributeValue::N(value.to_owned())
}

/// An item of the layout with `sensor_id` and `timestamp`.
pub fn item(sensor: &str, timestamp: &str, temperature: AttributeValue) -> Item {
    HashMap::from([
        ("sensor_id".to_owned(), text(sensor)),
        ("timestamp".to_owned(), text(timestamp)),
        ("temperature".to_owned(), temperature),
    ])
}

/// Creates a table with a hash key, and with a range key if there is a second name.
pub async fn create_table(client: &Client, name: &str, keys: &[&str]) {
    let mut request = client
        .create_table()
        .table_name(name)
        .billing_mode(BillingMode::PayPerRequest);
    for (key, role) in keys.iter().zip([KeyType::Hash, KeyType::Range]) {
        let attribute = AttributeDefinition::builder()
            .attribute_name(*key)
            .attribute_type(ScalarAttributeType::S);
        let element = KeySchemaElement::builder()
            .attribute_name(*key)
            .key_type(role);
        request = request
            .attribute_definitions(attribute.build().unwrap())
            .key_schema(element.build().unwrap());
    }
    request.send().await.unwrap();
}

/// Puts items, several in a request. Large items are sent alone: a request has at most 16 MB.
pub async fn fill(client: &Client, table: &str, items: Vec<Item>) {
    let pieces: Vec<Vec<Item>> = items.chunks(25).map(<[Item]>::to_vec).collect();
    let requests = stream::iter(pieces).map(|piece| async move {
        let writes = piece.into_iter().map(|item| {
            let put = PutRequest::builder().set_item(Some(item)).build().unwrap();
            WriteRequest::builder().put_request(put).build()
        });
        let mut writes: Vec<_> = writes.collect();
        while !writes.is_empty() {
            let request = client.batch_write_item().request_items(table, writes);
            let answer = request.send().await.unwrap();
            let rest = answer.unprocessed_items.unwrap_or_default().remove(table);
            writes = rest.unwrap_or_default();
        }
    });
    requests.buffer_unordered(4).collect::<Vec<()>>().await;
}

/// All items of a table.
pub async fn everything(client: &Client, table: &str) -> Vec<Item> {
    let mut items = Vec::new();
    let mut start = None;
    loop {
        let scan = client.scan().table_name(table).consistent_read(true);
        let page = scan.set_exclusive_start_key(start).send().await.unwrap();
        items.extend(page.items.unwrap_or_default());
        start = page.last_evaluated_key.filter(|key| !key.is_empty());
        if start.is_none() {
            return items;
        }
    }
}

/// A timestamp in the spelling of this program.
pub fn canonical(micros: i64) -> String {
    let shown = Timestamp::from_micros(micros).unwrap().to_string();
    let shown = shown.strip_suffix('Z').unwrap();
    match shown.split_once('.') {
        None => shown.to_owned(),
        Some((seconds, fraction)) => format!("{seconds}.{fraction:0<6}"),
    }
}

/// A random spelling from real data.
pub fn spell(random: &mut Random, micros: i64) -> String {
    let shifted = |hours: i64| canonical(micros + hours * 3_600_000_000);
    match random.below(8) {
        0 | 1 => shifted(0).replace('T', " ") + "+00:00",
        2 => shifted(0).replace('T', " "),
        3 => shifted(0) + "Z",
        4 => shifted(2) + "+02:00",
        5 => shifted(-11).replace('T', " ") + "-11:00",
        6 => {
            let text = shifted(0);
            match text.strip_suffix(":00") {
                Some(minutes) => minutes.to_owned(),
                None => text + "+00",
            }
        }
        _ => shifted(0),
    }
}

/// Other attributes of a reading: of every type, and up to a size.
pub fn other_attributes(random: &mut Random, bytes_max: u64) -> Item {
    let mut item = Item::new();
    let length = match bytes_max {
        0 => 0,
        // Most are small, and a few have the largest allowed size.
        most if random.one_in(12) => random.below(most),
        most => random.below(most.min(2_000)),
    } as usize;
    if length > 0 {
        item.insert("note".to_owned(), text("ö".repeat(length / 2)));
    }
    if random.one_in(2) {
        let bytes: Vec<u8> = (0..random.below(40)).map(|n| n as u8).collect();
        let map = HashMap::from([
            (
                "list".to_owned(),
                AttributeValue::L(vec![text("a"), AttributeValue::Null(true)]),
            ),
            ("flag".to_owned(), AttributeValue::Bool(true)),
        ]);
        item.extend([
            ("blob".to_owned(), AttributeValue::B(Blob::new(bytes))),
            (
                "precise".to_owned(),
                number("0.12345678901234567890123456789012345678"),
            ),
            ("map".to_owned(), AttributeValue::M(map)),
            (
                "set".to_owned(),
                AttributeValue::Ss(vec!["x".to_owned(), "y".to_owned()]),
            ),
            // Names with another use in this program.
            ("owner".to_owned(), text("Ann")),
        ]);
    }
    item
}

/// Readings by sensor and timestamp, with all their attributes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Naive(pub BTreeMap<(String, i64), (Temperature, Item)>);

impl Naive {
    /// The items after a recount.
    pub fn items(&self) -> BTreeMap<(String, String), Item> {
        let readings = self.0.iter();
        readings
            .map(|((sensor, micros), (_, attributes))| {
                let when = canonical(*micros);
                let mut item = attributes.clone();
                item.insert("sensor_id".to_owned(), text(sensor));
                item.insert("timestamp".to_owned(), text(&when));
                ((sensor.clone(), when), item)
            })
            .collect()
    }
}

/// Items by their keys.
pub fn by_key(items: Vec<Item>) -> BTreeMap<(String, String), Item> {
    let count = items.len();
    let of = |item: &Item, name: &str| item[name].as_s().unwrap().clone();
    let keyed: BTreeMap<_, _> = items
        .into_iter()
        .map(|item| ((of(&item, "sensor_id"), of(&item, "timestamp")), item))
        .collect();
    assert_eq!(keyed.len(), count);
    keyed
}

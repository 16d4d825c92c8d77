//! Tables of older programs on an emulator, in both layouts, with the expected readings.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::Client;
use fieldstation::readings::dynamodb::DynamoStore;
use fieldstation::readings::{Temperature, Timestamp};

use super::existing::client;
use super::older_data::{Item, canonical, create_table, fill, item, number, spell, text};
use super::{credentials, location};
use crate::support::{DynamoKind, DynamoServer, Random};

/// 2021-11-26T18:10:00Z.
pub(super) const BEGIN: i64 = 1_637_950_200_000_000;

/// The expected readings, by sensor and timestamp.
pub(super) type Truth = BTreeMap<(String, Timestamp), Temperature>;

/// A table of an older program, and the location of the table.
pub(super) struct Older {
    pub(super) dynamo: DynamoServer,
    pub(super) client: Client,
    pub(super) table: String,
    pub(super) truth: Truth,
    /// How many items repeat a timestamp with the same temperature.
    pub(super) repeated: u64,
}

impl Older {
    /// The URL for `--from`.
    pub(super) fn url(&self) -> String {
        format!(
            "dynamodb-table://{}?region=eu-west-1&endpoint=http://{}",
            self.table,
            self.dynamo.address()
        )
    }

    /// Tables of this program on the same emulator.
    pub(super) async fn target(&self, name: &str) -> String {
        let url = self.dynamo.url();
        let url = url.replacen('?', &format!("-{name}?"), 1);
        DynamoStore::create_tables(&location(&url), Some(&credentials()))
            .await
            .unwrap();
        url
    }

    pub(super) fn add(&mut self, sensor: &str, micros: i64, degrees: &str) {
        let timestamp = Timestamp::from_micros(micros).unwrap();
        let before = self
            .truth
            .insert((sensor.to_owned(), timestamp), degrees.parse().unwrap());
        assert!(before.is_none());
    }
}

/// The table prefix on an emulator.
fn prefix(dynamo: &DynamoServer) -> String {
    location(&dynamo.url()).prefix
}

fn degrees(random: &mut Random) -> String {
    let whole = random.below(80) as i64 - 30;
    match random.below(3) {
        0 => format!("{whole}"),
        1 => format!("{whole}.{}", random.below(10)),
        _ => format!("{whole}.{:06}", random.below(1_000_000)),
    }
}

/// Sensor and timestamp as the key, with the aggregation table of the older program.
pub(super) async fn layout_a(kind: DynamoKind, readings: u64) -> Older {
    let dynamo = DynamoServer::start_kind(kind);
    let direct = client(&dynamo);
    let table = format!("{}-temperature-readings", prefix(&dynamo));
    let aggregation = format!("{table}-aggregation");
    create_table(&direct, &table, &["sensor_id", "timestamp"]).await;
    create_table(&direct, &aggregation, &["aggregation_period"]).await;
    let mut totals = Item::from([("aggregation_period".to_owned(), text("all"))]);
    for name in ["maximum", "minimum", "sum", "count"] {
        totals.insert(name.to_owned(), number("0"));
    }
    fill(&direct, &aggregation, vec![totals]).await;
    let mut older = Older {
        dynamo,
        client: direct,
        table,
        truth: Truth::new(),
        repeated: 0,
    };
    let seed = Random::any_seed();
    println!("seed {seed}");
    let mut random = Random::new(seed);
    let mut items = Vec::new();
    for n in 0..readings {
        let sensor = format!("sensor {}", n % 37);
        let micros = BEGIN + n as i64 * 7_000_000 + i64::from(random.one_in(5)) * 250_000;
        let degrees = degrees(&mut random);
        older.add(&sensor, micros, &degrees);
        let spelled = spell(&mut random, micros);
        let mut whole = item(&sensor, &spelled, number(&degrees));
        if random.one_in(3) {
            whole.insert("firmware".to_owned(), text("1.2"));
        }
        items.push(whole);
        if random.one_in(50) {
            let again = spell(&mut random, micros);
            if again != spelled {
                items.push(item(&sensor, &again, number(&degrees)));
                older.repeated += 1;
            }
        }
    }
    fill(&older.client, &older.table, items).await;
    older
}

pub(super) fn item_b(time: &str, sensor: &str, temperature: &str) -> Item {
    Item::from([
        ("time".to_owned(), text(time)),
        ("sensorID".to_owned(), text(sensor)),
        ("temperature".to_owned(), text(temperature)),
    ])
}

/// The timestamp alone as the key, and every attribute a string.
pub(super) async fn layout_b(kind: DynamoKind, readings: u64) -> Older {
    let dynamo = DynamoServer::start_kind(kind);
    let direct = client(&dynamo);
    let table = format!("{}-TemperatureData", prefix(&dynamo));
    create_table(&direct, &table, &["time"]).await;
    let mut older = Older {
        dynamo,
        client: direct,
        table,
        truth: Truth::new(),
        repeated: 0,
    };
    let seed = Random::any_seed();
    println!("seed {seed}");
    let mut random = Random::new(seed);
    let mut items = Vec::new();
    for n in 0..readings {
        let sensor = format!("{}", 200 + n % 13);
        let micros = BEGIN + n as i64 * 1_000_000;
        let degrees = degrees(&mut random);
        older.add(&sensor, micros, &degrees);
        let plain = canonical(micros).replace('T', " ");
        let time = match random.below(6) {
            0 => format!("{plain}+00:00"),
            1 => format!("{}Z", plain.replace(' ', "T")),
            _ => plain,
        };
        items.push(item_b(&time, &sensor, &degrees));
    }
    fill(&older.client, &older.table, items).await;
    older
}

//! A recount of tables with writes of other programs, compared with a naive model of the same items, on both emulators.

use std::time::Instant;

use aws_sdk_dynamodb::Client;
use fieldstation::readings::dynamodb::{DynamoStore, RecountReport, recount};
use fieldstation::readings::{ReadingStore, Selection};

use super::existing::client;
use super::older_data::{
    Item, Naive, by_key, canonical, everything, fill, item, number, other_attributes, spell, text,
};
use super::{assert_consistent, credentials, location, options};
use crate::conformance::oracle::Recount;
use crate::support::{DynamoKind, DynamoServer, Random, Server, reading, run, setting};

pub(super) const KINDS: [DynamoKind; 2] = [DynamoKind::Dynoxide, DynamoKind::Local];
/// 2021-11-26T18:10:00Z.
pub(super) const BEGIN: i64 = 1_637_950_200_000_000;

pub(super) async fn tables(kind: DynamoKind) -> (DynamoServer, Client, String) {
    let dynamo = DynamoServer::start_kind(kind);
    let location = location(&dynamo.url());
    DynamoStore::create_tables(&location, Some(&credentials()))
        .await
        .unwrap();
    let client = client(&dynamo);
    (dynamo, client, location.readings_table())
}

pub(super) async fn recounted(dynamo: &DynamoServer) -> RecountReport {
    let location = location(&dynamo.url());
    let started = Instant::now();
    let passes = parking_lot::Mutex::new(None);
    let progress = |pass, _| {
        if passes.lock().replace(pass) != Some(pass) {
            println!("{:.2} s: {pass:?}", started.elapsed().as_secs_f64());
        }
    };
    let credentials = credentials();
    let report = recount(&location, Some(&credentials), false, &progress);
    let report = report.await.unwrap();
    println!("{:.2} s", started.elapsed().as_secs_f64());
    report
}

/// Asserts that the store equals the naive model, to the last digit and to the last attribute.
pub(super) async fn assert_counted(
    dynamo: &DynamoServer,
    client: &Client,
    table: &str,
    naive: &Naive,
) {
    let temperatures = naive.0.values().map(|(temperature, _)| temperature);
    let expected = Recount::of(temperatures);
    let store = DynamoStore::open(&location(&dynamo.url()), options())
        .await
        .unwrap();
    let stats = store.stats(&Selection::default()).await.unwrap();
    expected.assert_equals(&stats);
    let mut sensors: Vec<_> = naive.0.keys().map(|(sensor, _)| sensor.clone()).collect();
    sensors.dedup();
    assert_eq!(store.sensor_count().await.unwrap(), sensors.len() as u64);
    for sensor in sensors {
        let of_sensor = naive.0.iter().filter(|((name, _), _)| *name == sensor);
        let temperatures = of_sensor.map(|(_, (temperature, _))| temperature);
        let selection = Selection {
            sensor: Some(fieldstation::readings::SensorId::new(&sensor).unwrap()),
            ..Selection::default()
        };
        let stats = store.stats(&selection).await.unwrap();
        Recount::of(temperatures).assert_equals(&stats);
    }
    store.close().await.unwrap();
    assert_consistent(&dynamo.url()).await;
    assert_eq!(by_key(everything(client, table).await), naive.items());
}

/// Random readings: mixed spellings, some timestamps twice, attributes up to a size.
pub(super) fn random_items(
    random: &mut Random,
    count: u64,
    bytes_max: u64,
) -> (Vec<Item>, Naive, u64) {
    let sensors = ["s1", "202", "é b", "x"];
    let mut items = std::collections::BTreeMap::new();
    let mut naive = Naive::default();
    for _ in 0..count {
        let sensor = sensors[random.below(sensors.len() as u64) as usize];
        // Days apart and microseconds apart.
        let micros = BEGIN
            + random.below(4 * count) as i64 * 15_000_000
            + [0, 0, 0, 250_000, 1][random.below(5) as usize];
        if naive.0.contains_key(&(sensor.to_owned(), micros)) {
            continue;
        }
        let degrees = format!(
            "{}.{}",
            random.below(60) as i64 - 20,
            random.below(1_000_000)
        );
        let attributes = other_attributes(random, bytes_max);
        let mut whole = item(sensor, &spell(random, micros), number(&degrees));
        whole.extend(attributes.clone());
        if random.one_in(10) {
            // The same timestamp in another spelling: with the same attributes, or with fewer.
            let mut again = item(sensor, &spell(random, micros), number(&degrees));
            if random.one_in(2) {
                again.extend(attributes.clone());
            }
            let key = (
                sensor.to_owned(),
                again["timestamp"].as_s().unwrap().clone(),
            );
            items.insert(key, again);
        }
        let key = (
            sensor.to_owned(),
            whole["timestamp"].as_s().unwrap().clone(),
        );
        items.insert(key, whole.clone());
        let value = (degrees.parse().unwrap(), {
            let mut attributes = attributes;
            attributes.insert("temperature".to_owned(), number(&degrees));
            attributes
        });
        naive.0.insert((sensor.to_owned(), micros), value);
    }
    let twice = items.len() as u64 - naive.0.len() as u64;
    (items.into_values().collect(), naive, twice)
}

/// DynamoDB omits insignificant zeros, and emulators format numbers differently.
pub(super) fn as_stored(naive: &mut Naive, stored: &[Item]) {
    let mut numbers = std::collections::HashMap::new();
    for item in stored {
        let micros = item["timestamp"].as_s().unwrap().parse();
        let micros: fieldstation::readings::Timestamp = micros.unwrap();
        let sensor = item["sensor_id"].as_s().unwrap().clone();
        numbers.insert((sensor, micros.micros()), item["temperature"].clone());
    }
    for (key, (temperature, attributes)) in &mut naive.0 {
        let stored = numbers[key].clone();
        assert_eq!(stored.as_n().unwrap().parse(), Ok(*temperature));
        attributes.insert("temperature".to_owned(), stored);
    }
}

#[tokio::test]
async fn every_reading_is_counted_once_and_keeps_all_it_holds() {
    let first = setting("FIELDSTATION_RECOUNT_SEED").unwrap_or_else(Random::any_seed);
    for seed in first..first + setting("FIELDSTATION_RECOUNT_RUNS").unwrap_or(3) {
        println!(
            "FIELDSTATION_RECOUNT_SEED={seed} FIELDSTATION_RECOUNT_RUNS=1 does the same again"
        );
        for kind in KINDS {
            let mut random = Random::new(seed);
            let (dynamo, client, table) = tables(kind).await;
            // Some runs cross many pages with large items, some many pages with small items.
            let (count, bytes_max) = [(160, 300_000), (1_500, 1_500), (60, 0)][(seed % 3) as usize];
            let (items, mut naive, twice) = random_items(&mut random, count, bytes_max);
            fill(&client, &table, items).await;
            as_stored(&mut naive, &everything(&client, &table).await);
            let report = recounted(&dynamo).await;
            assert_eq!(report.fault_count, 0, "{report:#?}");
            assert_eq!(report.joined, twice, "{kind:?}");
            assert_counted(&dynamo, &client, &table, &naive).await;
            // A second recount has nothing left to rewrite.
            let report = recounted(&dynamo).await;
            assert_eq!((report.rewritten, report.joined), (0, 0));
            assert_counted(&dynamo, &client, &table, &naive).await;
        }
    }
}

/// These readings were once counted 4,767 times: 3,000 readings in the format of an older program, each with 900 bytes of another
/// attribute.
#[tokio::test]
async fn three_thousand_readings_of_one_sensor_are_three_thousand() {
    for kind in KINDS {
        let (dynamo, client, table) = tables(kind).await;
        let items = (0..3_000).map(|n| {
            let when = canonical(BEGIN + n * 60_000_000).replace('T', " ") + "+00:00";
            let mut item = item("s", &when, number(&format!("{}.5", n % 40)));
            item.insert("note".to_owned(), text("x".repeat(900)));
            item
        });
        fill(&client, &table, items.collect()).await;
        let report = recounted(&dynamo).await;
        assert_eq!((report.stats.count(), report.rewritten), (3_000, 3_000));
        assert_eq!(report.stats.average(), Some(20.0));
        let items = by_key(everything(&client, &table).await);
        assert_eq!(items.len(), 3_000);
        for ((_, when), item) in items {
            assert_eq!(item["note"], text("x".repeat(900)), "{when}");
            assert!(when.contains('T') && when.len() == 19, "{when}");
        }
        assert_consistent(&dynamo.url()).await;
    }
}

#[tokio::test]
async fn everything_that_cannot_be_counted_is_named_and_nothing_is_closed() {
    for kind in KINDS {
        let (dynamo, direct, table) = tables(kind).await;
        let url = dynamo.url();
        let server = Server::with_args(&["--readings", &url]);
        let client = server.client();
        let taken = reading("good", "2021-11-26T18:10:00Z", "5");
        client.put(taken).await.with_status(200);
        let mut items = vec![
            item("a", "2021-11-26 18:10:00+00:00", text("warm")),
            item("a", "2021-11-26 18:11:00+00:00", number("1000001")),
            item("a", "yesterday", number("5")),
            item(" b", "2021-11-26 18:10:00+00:00", number("5")),
            item(&"c".repeat(129), "2021-11-26 18:10:00+00:00", number("5")),
            item("d\u{7}", "2021-11-26 18:10:00+00:00", number("5")),
            // The same timestamp twice: with another temperature, and with another value of another attribute.
            item("e", "2021-11-26 18:10:00+00:00", number("5")),
            item("e", "2021-11-26T20:10:00+02:00", number("6")),
            item("f", "2021-11-25 23:10:00-19:00", number("5")),
            item("f", "2021-11-26T18:10:00", number("5.0")),
            // A repeated item with equal attributes is no fault.
            item("g", "2021-11-26 18:10:00+00:00", number("5")),
            item("g", "2021-11-26T18:10:00", number("5.0")),
        ];
        items[8].insert("firmware".to_owned(), text("1"));
        items[9].insert("firmware".to_owned(), text("2"));
        fill(&direct, &table, items).await;
        let before = by_key(everything(&direct, &table).await);

        let directory = tempfile::tempdir().unwrap();
        let arguments = ["dynamodb", "recount", "--readings", &url];
        let ended = run(directory.path(), &arguments);
        assert_eq!(ended.code, Some(1), "{}", ended.output);
        let long = "c".repeat(129);
        for words in [
            "`a` at `2021-11-26 18:10:00+00:00` has no temperature",
            "`a` at `2021-11-26 18:11:00+00:00` has no temperature",
            "`a` at `yesterday` has a timestamp that is not a time",
            "` b` at `2021-11-26 18:10:00+00:00` has a sensor_id with white space around it",
            &format!("`{long}` at `2021-11-26 18:10:00+00:00` has a sensor_id that is longer"),
            "`d\\u{7}` at `2021-11-26 18:10:00+00:00` has a sensor_id that holds a control character",
            "`e` at `2021-11-26T20:10:00+02:00` exists a second time, as `2021-11-26 18:10:00+00:00`, with another `temperature`",
            "`f` at `2021-11-26T18:10:00` exists a second time, as `2021-11-25 23:10:00-19:00`, with another `firmware`",
            "8 items cannot be counted",
        ] {
            assert!(ended.output.contains(words), "{words}: {}", ended.output);
        }
        assert!(!ended.output.contains("`g`"), "{}", ended.output);
        // The server continues, and nothing has moved.
        assert_eq!(
            client.stats("").await,
            r#"{"Maximum":5,"Minimum":5,"Average":5}"#
        );
        let more = reading("good", "2021-11-26T18:11:00Z", "7");
        client.put(more).await.with_status(200);
        let mut after = by_key(everything(&direct, &table).await);
        after.retain(|key, _| key.1 != "2021-11-26T18:11:00");
        assert_eq!(after, before);
        let checked = run(directory.path(), &[&arguments[..], &["--check"]].concat());
        assert_eq!(checked.code, Some(1), "{}", checked.output);
        assert!(
            checked.output.contains("`a` at `yesterday`"),
            "{}",
            checked.output
        );
    }
}

#[tokio::test]
async fn of_very_many_faults_the_first_hundred_are_named_and_all_are_counted() {
    let (dynamo, direct, table) = tables(DynamoKind::Dynoxide).await;
    let items = (0..1_234).map(|n| item(&format!("s{n:04}"), "soon", number("5")));
    fill(&direct, &table, items.collect()).await;
    let report = recounted(&dynamo).await;
    assert_eq!((report.fault_count, report.faults.len()), (1_234, 100));
    assert!(report.faults[0].contains("`s0000`"), "{}", report.faults[0]);
    assert!(
        report.faults[99].contains("`s0099`"),
        "{}",
        report.faults[99]
    );
}

/// Counts spellings without separators and without leading zeros. These spellings sort differently.
#[tokio::test]
async fn times_in_the_basic_form_and_without_leading_zeros_are_counted_and_rewritten() {
    for kind in KINDS {
        let (dynamo, direct, table) = tables(kind).await;
        let with = |when: &str, degrees: &str| item("s", when, number(degrees));
        let items = vec![
            with("2012-01-05 09:05:00+00:00", "1"),
            with("2012-1-5 9:05:00", "1.0"),
            with("2012-1-6 9:05:00", "2"),
            with("20120105T090500", "1.00"),
            with("20120107T090500", "3"),
            with("2012-01-08T09:05:00", "4"),
        ];
        fill(&direct, &table, items).await;
        let report = recounted(&dynamo).await;
        assert_eq!((report.stats.count(), report.joined), (4, 2), "{report:#?}");
        let keys: Vec<_> = by_key(everything(&direct, &table).await)
            .into_keys()
            .map(|(_, when)| when)
            .collect();
        let expected = (5..9).map(|day| format!("2012-01-{day:02}T09:05:00"));
        assert_eq!(keys, expected.collect::<Vec<_>>());
        fill(&direct, &table, vec![with("2012-1-6 9:05:00", "2.5")]).await;
        let report = recounted(&dynamo).await;
        assert_eq!(report.fault_count, 1, "{report:#?}");
        assert!(
            report.faults[0].contains("`2012-1-6 9:05:00`"),
            "{report:#?}"
        );
    }
}

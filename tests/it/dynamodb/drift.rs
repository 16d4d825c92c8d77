//! Another program writes into the tables. Checks the reads with the change, and the warnings about the change.

use std::time::{Duration, Instant};

use aws_sdk_dynamodb::types::AttributeValue;
use fieldstation::readings::dynamodb::{DynamoOptions, DynamoStore};
use fieldstation::readings::{
    BatchBuilder, Point, ReadingStore, RecordMode, Temperature, Timestamp,
};

use super::existing::{client, number, put};
use super::{assert_consistent, credentials, location, options};
use crate::support::{DynamoKind, DynamoServer, Server, lines, reading, run};

async fn tables(kind: DynamoKind) -> DynamoServer {
    let dynamo = DynamoServer::start_kind(kind);
    DynamoStore::create_tables(&location(&dynamo.url()), Some(&credentials()))
        .await
        .unwrap();
    dynamo
}

async fn open(dynamo: &DynamoServer) -> DynamoStore {
    let options = DynamoOptions {
        drift_pause: Duration::from_millis(100),
        ..options()
    };
    DynamoStore::open(&location(&dynamo.url()), options)
        .await
        .unwrap()
}

async fn store(store: &DynamoStore, sensor: &str, readings: impl Iterator<Item = (i64, i64)>) {
    let mut batch = BatchBuilder::default();
    for (second, degrees) in readings {
        let point = Point {
            timestamp: Timestamp::from_micros(1_700_000_000_000_000 + second * 1_000_000).unwrap(),
            temperature: Temperature::from_micro_degrees(degrees * 1_000_000).unwrap(),
        };
        batch.push(sensor, point).unwrap();
    }
    store
        .record(batch.build(), RecordMode::AllOrNothing)
        .await
        .unwrap();
}

async fn until_warned(store: &DynamoStore, words: &[&str]) -> String {
    let started = Instant::now();
    loop {
        let warnings = store.warnings().join("\n");
        if words.iter().all(|word| warnings.contains(word)) {
            return warnings;
        }
        assert!(
            started.elapsed() < Duration::from_secs(20),
            "no {words:?} in {warnings:?}"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn writes_of_another_program_are_reported_and_a_recount_repairs_them() {
    for kind in [DynamoKind::Dynoxide, DynamoKind::Local] {
        let dynamo = tables(kind).await;
        let direct = client(&dynamo);
        let table = dynamo.readings_table();
        let open = open(&dynamo).await;
        for sensor in ["added", "deleted", "replaced", "sound"] {
            store(&open, sensor, (0..10).map(|second| (second, second))).await;
        }
        // A sensor with too many readings for a complete read.
        store(
            &open,
            "large",
            (0..2_600).map(|second| (second, second % 9)),
        )
        .await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(open.warnings(), [""; 0], "{kind:?}");

        put(
            &direct,
            &table,
            "added",
            "2023-11-14T22:13:25.5",
            number("3"),
        )
        .await;
        put(
            &direct,
            &table,
            "replaced",
            "2023-11-14T22:13:25",
            number("77"),
        )
        .await;
        put(
            &direct,
            &table,
            "unknown",
            "2023-11-14T22:13:25",
            number("1"),
        )
        .await;
        put(&direct, &table, "large", "2023-11-14T22:56:39", number("2")).await;
        direct
            .delete_item()
            .table_name(&table)
            .key("sensor_id", super::existing::text("deleted"))
            .key("timestamp", super::existing::text("2023-11-14T22:13:25"))
            .send()
            .await
            .unwrap();
        let words = ["`added`", "`replaced`", "`unknown`", "`large`", "`deleted`"];
        let warnings = until_warned(&open, &words).await;
        for words in [
            "`added`: 11 readings are stored, 10 are counted",
            "`deleted`: 9 readings are stored, 10 are counted",
            "`unknown`: none of its readings is counted",
            "fieldstation dynamodb recount --check",
        ] {
            assert!(warnings.contains(words), "no {words} in {warnings}");
        }
        assert!(!warnings.contains("`sound`"), "{warnings}");
        let directory = tempfile::tempdir().unwrap();
        let counted = run(
            directory.path(),
            &["dynamodb", "recount", "--readings", &dynamo.url()],
        );
        assert_eq!(counted.code, Some(0), "{}", counted.output);
        let started = Instant::now();
        while !open.warnings().is_empty() {
            assert!(
                started.elapsed() < Duration::from_secs(20),
                "{:?}",
                open.warnings()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        open.close().await.unwrap();
        assert_consistent(&dynamo.url()).await;
    }
}

/// Two replicas write new readings and replace others as fast as they can, with a check every tenth of a second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_of_replicas_cause_no_false_alarm_and_hide_no_true_one() {
    let dynamo = tables(DynamoKind::Dynoxide).await;
    let replicas = [open(&dynamo).await, open(&dynamo).await];
    let until = Instant::now() + Duration::from_secs(8);
    let write = async |replica: &DynamoStore, of: i64| {
        let mut turn = 0;
        while Instant::now() < until {
            turn += 1;
            for sensor in ["a", "b", "c"] {
                let readings = (0..8).map(|at| ((turn * 3 + at) % 400, (turn + at * of) % 50));
                store(replica, sensor, readings).await;
            }
            // Only new readings, so that a check gives a result.
            store(
                replica,
                "new",
                std::iter::once((of * 10_000 + turn, turn % 7)),
            )
            .await;
            assert_eq!(replica.warnings(), [""; 0]);
        }
        turn
    };
    let turns = tokio::join!(write(&replicas[0], 1), write(&replicas[1], 3));
    println!("{turns:?} batches of each sensor");
    // While the replicas write, a change by another program is found.
    let table = dynamo.readings_table();
    put(
        &client(&dynamo),
        &table,
        "new",
        "2023-11-15T22:13:25.5",
        number("3"),
    )
    .await;
    let writing = async {
        for turn in 0.. {
            store(
                &replicas[0],
                "new",
                std::iter::once((50_000 + turn, turn % 7)),
            )
            .await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        () = writing => {}
        warnings = until_warned(&replicas[1], &["`new`"]) => println!("{warnings}"),
    }
    for replica in &replicas {
        replica.close().await.unwrap();
    }
}

/// The table in docs/reference/dynamodb.md.
#[tokio::test]
async fn writes_of_another_program_show_as_documented() {
    let dynamo = tables(DynamoKind::Dynoxide).await;
    let url = dynamo.url();
    let server = Server::with_args(&["--readings", &url]);
    let client = server.client();
    let body =
        ["0", "1", "2"].map(|second| reading("a", &format!("2026-11-20T13:00:0{second}Z"), second));
    client.store(body.join("\n")).await;
    client.store(lines("b", 5)).await;
    let direct = self::client(&dynamo);
    let table = dynamo.readings_table();
    let statistics = client.stats("?sensorId=a").await;
    let total = client.stats("").await;
    let summary = client.get("/api/sensors/a").await.text();

    put(&direct, &table, "a", "2026-11-20T13:00:03", number("30")).await;
    put(&direct, &table, "a", "2026-11-20T13:00:01", number("40")).await;
    put(&direct, &table, "z", "2026-11-20T13:00:01", number("50")).await;
    direct
        .delete_item()
        .table_name(&table)
        .key("sensor_id", super::existing::text("a"))
        .key("timestamp", super::existing::text("2026-11-20T13:00:00"))
        .send()
        .await
        .unwrap();
    // Readings, and everything computed from readings, show the change.
    let page = client.get("/api/sensors/a/readings").await.text();
    for shown in [":30", ":40", ":2"] {
        assert!(page.contains(shown), "{page}");
    }
    assert!(!page.contains("13:00:00Z"), "{page}");
    let export = client.everything().await;
    assert!(export.contains("\"temperature\":40"), "{export}");
    let window = client.stats("?sensorId=a&from=2026-11-20T13:00:01Z").await;
    assert_eq!(window, r#"{"Maximum":40,"Minimum":2,"Average":24}"#);
    // Sensors without statistics are an exception.
    assert!(!export.contains("\"z\""), "{export}");
    client.get("/api/sensors/z").await.with_status(404);
    let unknown = client.stats("?sensorId=z&from=2026-11-20T13:00:00Z").await;
    assert_eq!(unknown, r#"{"Maximum":50,"Minimum":50,"Average":50}"#);
    let series = client.get("/api/sensors/a/series?points=2").await.text();
    assert!(series.contains("40") && !series.contains("30"), "{series}");
    // Stored statistics do not show the change.
    assert_eq!(client.stats("?sensorId=a").await, statistics);
    assert_eq!(client.stats("").await, total);
    assert_eq!(client.get("/api/sensors/a").await.text(), summary);
    // A repeated reading of the other program with the same temperature changes nothing.
    let again = client
        .store(reading("a", "2026-11-20T13:00:03Z", "30"))
        .await;
    assert!(
        again.text().contains(r#""unchanged":1"#),
        "{}",
        again.text()
    );
    assert_eq!(client.stats("?sensorId=a").await, statistics);
    // With another temperature the reading moves the sum by the difference, and is not counted.
    client
        .store(reading("a", "2026-11-20T13:00:03Z", "31"))
        .await;
    assert_eq!(
        client.stats("?sensorId=a").await,
        r#"{"Maximum":31,"Minimum":0,"Average":1.3333333333333333}"#
    );
    let nothing = AttributeValue::Bool(true);
    put(&direct, &table, "b", "2026-11-20T13:00:00", nothing).await;
    let page = client.get("/api/sensors/b/readings").await;
    page.problem(500, "damaged");
    client.get("/api/sensors/b").await.with_status(200);
    // The first check is a few seconds after the start.
    let started = Instant::now();
    loop {
        let health = client.get("/health").await.with_status(200).text();
        if health.contains("recount --check") {
            println!("{health}");
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(90), "{health}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let log = server.log();
    assert!(
        log.contains("statistics do not follow the readings"),
        "{log}"
    );
    // Ids may be personal: they are in `/health`, and in the log at `debug` only.
    assert!(!log.contains("\"sensor\""), "{log}");
}

//! Tables unlike the tables of an empty store: missing, with another key, or with uncounted readings.

use std::collections::HashMap;
use std::sync::Arc;

use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials as SdkCredentials, Region};
use aws_sdk_dynamodb::types::AttributeValue;
use fieldstation::readings::dynamodb::DynamoStore;

use super::{assert_consistent, credentials, location};
use crate::support::{DynamoServer, Server, reading, run};

/// The table of readings in an emulator of this test.
const TABLE: &str = "test-temperature-readings";

fn refused(arguments: &[&str]) -> (Option<i32>, String) {
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let ended = Server::try_in(&directory, arguments).err().unwrap();
    (ended.code, ended.output)
}

async fn create_tables(dynamo: &DynamoServer) {
    DynamoStore::create_tables(&location(&dynamo.url()), Some(&credentials()))
        .await
        .unwrap();
}

pub(super) fn client(dynamo: &DynamoServer) -> aws_sdk_dynamodb::Client {
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-west-1"))
        .endpoint_url(format!("http://{}", dynamo.address()))
        .credentials_provider(SdkCredentials::new("test", "test", None, None, "test"))
        .build();
    aws_sdk_dynamodb::Client::from_conf(config)
}

pub(super) async fn put(
    client: &aws_sdk_dynamodb::Client,
    table: &str,
    sensor: &str,
    timestamp: &str,
    temperature: AttributeValue,
) {
    let item = HashMap::from([
        ("sensor_id".to_owned(), AttributeValue::S(sensor.to_owned())),
        (
            "timestamp".to_owned(),
            AttributeValue::S(timestamp.to_owned()),
        ),
        ("temperature".to_owned(), temperature),
        ("firmware".to_owned(), AttributeValue::S("1.2".to_owned())),
    ]);
    client
        .put_item()
        .table_name(table)
        .set_item(Some(item))
        .send()
        .await
        .unwrap();
}

pub(super) fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

pub(super) fn number(text: &str) -> AttributeValue {
    AttributeValue::N(text.to_owned())
}

#[tokio::test]
async fn a_missing_table_is_named_with_the_command_that_makes_it() {
    let dynamo = DynamoServer::start();
    let url = dynamo.url();
    let (code, output) = refused(&["--readings", &url]);
    assert_eq!(code, Some(3), "{output}");
    assert!(output.contains("test-temperature-readings"), "{output}");
    assert!(
        output.contains("fieldstation dynamodb create-tables"),
        "{output}"
    );

    let directory = tempfile::tempdir().unwrap();
    for words in ["Created test-temperature-readings and", "exist already"] {
        let made = run(
            directory.path(),
            &["dynamodb", "create-tables", "--readings", &url],
        );
        assert_eq!(made.code, Some(0), "{}", made.output);
        assert!(made.output.contains(words), "{}", made.output);
    }
    let server = Server::with_args(&["--readings", &url]);
    server.client().assert_nothing_stored().await;
    // The other stores are embedded; the data directory has no database of readings.
    assert!(!server.data().join("readings.db").exists());
}

#[test]
fn a_wrong_url_ends_the_start() {
    for (url, word) in [
        ("dynamodb://", "prefix"),
        ("dynamodb://a?zone=b", "zone"),
        ("dynamo://a", "dynamodb:"),
        ("dynamodb://a", "region"),
    ] {
        let (code, output) = refused(&["--readings", url]);
        assert_eq!(code, Some(2), "{output}");
        assert!(output.contains(word), "{output}");
    }
}

#[tokio::test]
async fn existing_readings_are_counted_once_and_served_unchanged() {
    let dynamo = DynamoServer::start();
    create_tables(&dynamo).await;
    let direct = client(&dynamo);
    put(&direct, TABLE, "202", "2026-11-20T13:00:00", number("18")).await;
    put(
        &direct,
        TABLE,
        "202",
        "2026-11-20T13:00:00.250000",
        number("-6"),
    )
    .await;
    put(
        &direct,
        TABLE,
        "202",
        "2026-11-20 14:00:00+00:00",
        number("28.50"),
    )
    .await;
    put(&direct, TABLE, "é", "2026-11-20T13:00:00", number("1E+1")).await;
    let url = dynamo.url();
    let (code, output) = refused(&["--readings", &url]);
    assert_eq!(code, Some(3), "{output}");
    assert!(output.contains("fieldstation dynamodb recount"), "{output}");

    let directory = tempfile::tempdir().unwrap();
    let counted = run(
        directory.path(),
        &["dynamodb", "recount", "--readings", &url],
    );
    assert_eq!(counted.code, Some(0), "{}", counted.output);
    assert!(counted.output.contains("readings 4"), "{}", counted.output);
    assert!(
        counted.output.contains("1 timestamps"),
        "{}",
        counted.output
    );

    let server = Server::with_args(&["--readings", &url]);
    let client = server.client();
    assert_eq!(
        client.stats("").await,
        r#"{"Maximum":28.5,"Minimum":-6,"Average":12.625}"#
    );
    assert_eq!(
        client.everything().await,
        [
            r#"{"sensorId":"202","timestamp":"2026-11-20T13:00:00Z","temperature":18}"#,
            r#"{"sensorId":"202","timestamp":"2026-11-20T13:00:00.25Z","temperature":-6}"#,
            r#"{"sensorId":"202","timestamp":"2026-11-20T14:00:00Z","temperature":28.5}"#,
            r#"{"sensorId":"é","timestamp":"2026-11-20T13:00:00Z","temperature":10}"#,
            "",
        ]
        .join("\n")
    );
    // A retry of an existing reading changes nothing; another temperature replaces an extreme.
    let answer = client
        .store(
            [
                reading("202", "2026-11-20T13:00:00Z", "18"),
                reading("202", "2026-11-20T13:00:00.25Z", "7"),
                reading("202", "2026-11-20T14:00:00Z", "3"),
            ]
            .join("\n"),
        )
        .await;
    assert_eq!(
        answer.text(),
        r#"{"recorded":0,"unchanged":1,"replaced":2,"rejected":0}"#
    );
    assert_eq!(
        client.stats("").await,
        r#"{"Maximum":18,"Minimum":3,"Average":9.5}"#
    );
    assert_consistent(&url).await;
}

#[tokio::test]
async fn a_reading_that_cannot_be_read_is_named_by_a_recount() {
    let dynamo = DynamoServer::start();
    create_tables(&dynamo).await;
    let direct = client(&dynamo);
    put(
        &direct,
        TABLE,
        "202",
        "2026-11-20T13:00:00",
        AttributeValue::Bool(true),
    )
    .await;
    let directory = tempfile::tempdir().unwrap();
    let url = dynamo.url();
    let counted = run(
        directory.path(),
        &["dynamodb", "recount", "--readings", &url],
    );
    assert_eq!(counted.code, Some(1), "{}", counted.output);
    assert!(
        counted.output.contains("`202` at `2026-11-20T13:00:00`"),
        "{}",
        counted.output
    );
    let (code, output) = refused(&["--readings", &url]);
    assert_eq!(code, Some(3), "{output}");
    assert!(output.contains("recount"), "{output}");
    put(&direct, TABLE, "202", "2026-11-20T13:00:00", number("5")).await;
    let counted = run(
        directory.path(),
        &["dynamodb", "recount", "--readings", &url],
    );
    assert_eq!(counted.code, Some(0), "{}", counted.output);
    let server = Server::with_args(&["--readings", &url]);
    assert_eq!(
        server.client().stats("").await,
        r#"{"Maximum":5,"Minimum":5,"Average":5}"#
    );
}

#[tokio::test]
async fn a_check_finds_changes_of_another_program_and_a_recount_repairs_them() {
    let dynamo = DynamoServer::start();
    create_tables(&dynamo).await;
    let url = dynamo.url();
    let server = Server::with_args(&["--readings", &url]);
    let client = server.client();
    client
        .put(reading("a", "2026-11-20T13:00:00Z", "1"))
        .await
        .with_status(200);
    put(
        &self::client(&dynamo),
        TABLE,
        "a",
        "2026-11-20T13:00:01",
        number("2"),
    )
    .await;
    let directory = tempfile::tempdir().unwrap();
    let checked = run(
        directory.path(),
        &["dynamodb", "recount", "--check", "--readings", &url],
    );
    assert_eq!(checked.code, Some(1), "{}", checked.output);
    assert!(
        checked.output.contains("DIFFERENT: sensor `a`"),
        "{}",
        checked.output
    );
    let counted = run(
        directory.path(),
        &["dynamodb", "recount", "--readings", &url],
    );
    assert_eq!(counted.code, Some(0), "{}", counted.output);
    // The recount took the lease away from the server, and the server gets another lease without help.
    client
        .put(reading("a", "2026-11-20T13:00:02Z", "6"))
        .await
        .with_status(200);
    assert_eq!(
        client.stats("").await,
        r#"{"Maximum":6,"Minimum":1,"Average":3}"#
    );
    assert_consistent(&url).await;
}

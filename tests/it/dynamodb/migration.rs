//! Readings of older programs, in both layouts, migrated exactly: on both emulators and into SQLite.
//!
//! `FIELDSTATION_MIGRATION_READINGS` is the number of readings in each table.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fieldstation::readings::Temperature;
use fieldstation::readings::dynamodb::DynamoStore;
use tempfile::TempDir;

use super::existing::client;
use super::older_data::{create_table, everything, fill, item, number, text};
use super::older_tables::{BEGIN, Older, Truth, item_b, layout_a, layout_b};
use super::{assert_consistent, credentials, location};
use crate::conformance::oracle::{Recount, assert_nearest};
use crate::support::{DynamoKind, DynamoServer, Random, Server, run, setting};

const KINDS: [DynamoKind; 2] = [DynamoKind::Dynoxide, DynamoKind::Local];

fn size() -> u64 {
    setting("FIELDSTATION_MIGRATION_READINGS").unwrap_or(3_000)
}

fn migrate(directory: &Path, from: &str, to: &str, more: &[&str], code: i32) -> String {
    let data = directory.join("data");
    let arguments = ["migrate", "--from", from, "--to", to, "--data"];
    let arguments = [&arguments[..], &[data.to_str().unwrap()], more].concat();
    let started = Instant::now();
    let ended = run_long(directory, &arguments);
    println!("{:.1} s: {} to {to}", started.elapsed().as_secs_f64(), from);
    assert_eq!(ended.0, Some(code), "{}", ended.1);
    ended.1
}

/// Runs the binary without a time limit, because a large table takes long.
fn run_long(directory: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let ended = command(directory, arguments).output().unwrap();
    let output = [ended.stdout, ended.stderr].concat();
    (ended.status.code(), String::from_utf8(output).unwrap())
}

fn command(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fieldstation"));
    command
        .args(arguments)
        .current_dir(directory)
        .env_clear()
        .envs([
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
        ])
        .stdin(Stdio::null());
    command
}

/// Compares every reading and every statistic of a server with the expected readings.
async fn assert_moved(server: &Server, truth: &Truth) {
    let client = server.client();
    let mut expected = String::new();
    for ((sensor, moment), temperature) in truth {
        expected += &format!(
            "{{\"sensorId\":\"{sensor}\",\"timestamp\":\"{moment}\",\"temperature\":{temperature}}}\n"
        );
    }
    // `assert_eq` would print a hundred thousand lines.
    assert!(client.everything().await == expected, "the readings differ");
    let whole = Recount::of(truth.values());
    let stats: serde_json::Value = serde_json::from_str(&client.stats("").await).unwrap();
    let shown = |temperature: Option<Temperature>| temperature.unwrap().to_string();
    assert_eq!(stats["Maximum"].to_string(), shown(whole.maximum));
    assert_eq!(stats["Minimum"].to_string(), shown(whole.minimum));
    let average = stats["Average"].as_f64().unwrap();
    assert_nearest(
        average,
        &whole.sum,
        &(num_bigint::BigInt::from(whole.count) * 1_000_000),
    );
}

async fn assert_moved_to(url: &str, directory: &Arc<TempDir>, truth: &Truth) {
    let server = Server::try_in(directory, &["--readings", url]).unwrap();
    assert_moved(&server, truth).await;
    server.stop();
    if url.starts_with("dynamodb") {
        let report = assert_consistent(url).await;
        assert_eq!(report.stats.count(), truth.len() as u64);
    }
}

/// A number in the format of the commands.
fn grouped(number: u64) -> String {
    match number / 1_000 {
        0 => number.to_string(),
        thousands => format!("{},{:03}", grouped(thousands), number % 1_000),
    }
}

/// Migrates into tables of this program and into a data directory, each twice.
async fn move_everywhere(older: &Older, directory: &Arc<TempDir>) {
    let before = everything(&older.client, &older.table).await;
    for to in [older.target("new").await, "sqlite:".to_owned()] {
        let output = migrate(directory.path(), &older.url(), &to, &[], 0);
        assert!(output.contains("not taken  0"), "{output}");
        assert!(output.contains("The same on both sides"), "{output}");
        let repeated = grouped(older.repeated);
        assert!(
            output.contains(&format!("repeated   {repeated}\n")),
            "{output}"
        );
        assert_moved_to(&to, directory, &older.truth).await;
        let output = migrate(directory.path(), &older.url(), &to, &[], 0);
        assert!(output.contains("recorded   0\n"), "{output}");
        assert!(output.contains("replaced   0\n"), "{output}");
    }
    let after = everything(&older.client, &older.table).await;
    assert!(after == before, "the older table was changed");
}

#[tokio::test]
async fn readings_of_the_layout_by_sensor_move_to_the_last_digit() {
    for kind in KINDS {
        let older = layout_a(kind, size()).await;
        let directory = Arc::new(tempfile::tempdir().unwrap());
        move_everywhere(&older, &directory).await;
        let output = migrate(directory.path(), &older.url(), "sqlite:", &["--dry-run"], 0);
        assert!(output.contains("left there: `firmware` of "), "{output}");
        assert!(output.contains("Nothing was copied"), "{output}");
    }
}

#[tokio::test]
async fn readings_of_the_layout_by_time_move_to_the_last_digit() {
    for kind in KINDS {
        let older = layout_b(kind, size()).await;
        let directory = Arc::new(tempfile::tempdir().unwrap());
        move_everywhere(&older, &directory).await;
    }
}

#[tokio::test]
async fn a_prefix_with_tables_of_an_older_program_is_read_as_such() {
    let older = layout_a(DynamoKind::Dynoxide, 40).await;
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let from = older.dynamo.url();
    let output = migrate(directory.path(), &from, "sqlite:", &[], 0);
    assert!(
        output.contains("was never counted by this program"),
        "{output}"
    );
    assert_moved_to("sqlite:", &directory, &older.truth).await;
    // The command refuses a migration onto the source itself.
    let output = migrate(directory.path(), &older.url(), &from, &[], 2);
    assert!(output.contains("choose another prefix"), "{output}");
}

#[tokio::test]
async fn the_aggregation_table_of_an_older_program_is_refused_with_what_to_do() {
    for kind in KINDS {
        let older = layout_a(kind, 30).await;
        let directory = Arc::new(tempfile::tempdir().unwrap());
        let url = older.dynamo.url();
        let aggregation = format!("{}-aggregation", older.table);
        let says = |output: &str| {
            for words in [
                format!("the DynamoDB table {aggregation} is of an older program"),
                "Nothing in it is needed".to_owned(),
                format!("aws dynamodb delete-table --table-name {aggregation}"),
                format!("fieldstation dynamodb create-tables --readings '{url}'")
                    .replace("://127", "%3A%2F%2F127")
                    .replace("127.0.0.1:", "127.0.0.1%3A"),
                "fieldstation dynamodb recount --readings".to_owned(),
                format!(
                    "fieldstation migrate --from 'dynamodb-table://{}?",
                    older.table
                ),
            ] {
                assert!(output.contains(&words), "{words}: {output}");
            }
        };
        for action in ["recount", "create-tables"] {
            let ended = run(directory.path(), &["dynamodb", action, "--readings", &url]);
            assert_eq!(ended.code, Some(2), "{}", ended.output);
            says(&ended.output);
        }
        let ended = Server::try_in(&directory, &["--readings", &url]);
        says(&ended.err().unwrap().output);

        // The advice of the message works: the tables are counted in place, and keep all attributes.
        let delete = older.client.delete_table().table_name(&aggregation);
        delete.send().await.unwrap();
        for action in ["create-tables", "recount"] {
            let ended = run(directory.path(), &["dynamodb", action, "--readings", &url]);
            assert_eq!(ended.code, Some(0), "{}", ended.output);
        }
        assert_moved_to(&url, &directory, &older.truth).await;
    }
}

#[tokio::test]
async fn items_that_cannot_be_taken_are_named_and_all_others_are_taken() {
    let mut older = layout_a(DynamoKind::Dynoxide, 20).await;
    older.add("double", BEGIN, "5");
    let long = "c".repeat(129);
    let bad = [
        item("a", "yesterday", number("5")),
        item("a", "2021-11-26 18:10:00", number("1000001")),
        item("a", "2021-11-26 18:11:00", text("warm")),
        item(&long, "2021-11-26 18:10:00", number("5")),
        item("b\n", "2021-11-26 18:10:00", number("5")),
        item(" b", "2021-11-26 18:10:00", number("5")),
        item("double", "2021-11-26 18:10:00+00:00", number("5")),
        item("double", "2021-11-26T20:10:00+02:00", number("6")),
    ];
    fill(&older.client, &older.table, bad.into()).await;
    let directory = Arc::new(tempfile::tempdir().unwrap());
    for more in [&["--dry-run"][..], &[]] {
        let output = migrate(directory.path(), &older.url(), "sqlite:", more, 1);
        for words in [
            "not taken  7",
            "`a` at `yesterday` has a timestamp that is not a time",
            "`a` at `2021-11-26 18:10:00` has the temperature `1000001`, which is outside",
            "`a` at `2021-11-26 18:11:00` has the temperature `warm`, which is not a number",
            &format!(
                "`{long}` at `2021-11-26 18:10:00` has the sensor_id `{long}`, which is longer"
            ),
            "`b\\n` at `2021-11-26 18:10:00` has the sensor_id `b\\n`, which has white space",
            "` b` at `2021-11-26 18:10:00` has the sensor_id ` b`, which has white space",
            "`double` at `2021-11-26T20:10:00+02:00` has the temperature 6, but the same moment is there as \
             `2021-11-26 18:10:00+00:00` with 5, which is taken",
            "7 of the items",
        ] {
            assert!(output.contains(words), "{words}: {output}");
        }
        assert_eq!(
            directory.path().join("data/readings.db").exists(),
            more.is_empty(),
            "{output}"
        );
    }
    assert_moved_to("sqlite:", &directory, &older.truth).await;

    let mut older = layout_b(DynamoKind::Dynoxide, 20).await;
    let mut without_sensor = item_b("2012-01-02 03:04:05", "", "5");
    without_sensor.remove("sensorID");
    let mut of_number = item_b("2012-01-02 03:04:08", "x", "7");
    of_number.insert("sensorID".to_owned(), number("7"));
    older.add("7", 1_325_473_448_000_000, "7");
    let bad = vec![
        without_sensor,
        item_b("2012-01-02 03:04:06", "x", "21,5"),
        item_b("noon", "x", "5"),
        of_number,
    ];
    fill(&older.client, &older.table, bad).await;
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let output = migrate(directory.path(), &older.url(), "sqlite:", &[], 1);
    for words in [
        "not taken  3",
        "`2012-01-02 03:04:05` has no sensorID",
        "`2012-01-02 03:04:06` has the temperature `21,5`, which is not a number",
        "`noon` has a time that is not a time",
    ] {
        assert!(output.contains(words), "{words}: {output}");
    }
    assert_moved_to("sqlite:", &directory, &older.truth).await;
}

#[tokio::test]
async fn a_table_of_neither_layout_is_refused_with_those_that_are_known() {
    let dynamo = DynamoServer::start();
    let direct = client(&dynamo);
    create_table(&direct, "other", &["id"]).await;
    let directory = tempfile::tempdir().unwrap();
    let url = |table: &str| {
        let address = dynamo.address();
        format!("dynamodb-table://{table}?region=eu-west-1&endpoint=http://{address}")
    };
    let output = migrate(directory.path(), &url("other"), "sqlite:", &[], 2);
    for words in [
        "other has the key id (HASH, S)",
        "sensor_id",
        "the hash key time alone",
    ] {
        assert!(output.contains(words), "{words}: {output}");
    }
    let output = migrate(directory.path(), &url("nothing"), "sqlite:", &[], 3);
    assert!(
        output.contains("there is no DynamoDB table nothing"),
        "{output}"
    );
    let output = migrate(directory.path(), "sqlite:", &url("other"), &[], 2);
    assert!(output.contains("read only"), "{output}");
}

#[tokio::test]
async fn a_migration_that_is_killed_at_any_moment_is_right_when_it_is_run_again() {
    let seed = setting("FIELDSTATION_MIGRATION_SEED").unwrap_or_else(Random::any_seed);
    println!("FIELDSTATION_MIGRATION_SEED={seed}");
    let mut random = Random::new(seed);
    for kind in KINDS {
        let older = layout_a(kind, 2_000).await;
        let directory = Arc::new(tempfile::tempdir().unwrap());
        let to = older.target("new").await;
        let data = directory.path().join("data");
        for _ in 0..5 {
            for to in [to.as_str(), "sqlite:"] {
                let from = older.url();
                let arguments = ["migrate", "--from", &from, "--to", to, "--data"];
                let arguments = [&arguments[..], &[data.to_str().unwrap()]].concat();
                let mut copying = command(directory.path(), &arguments)
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .spawn()
                    .unwrap();
                tokio::time::sleep(Duration::from_millis(random.below(2_500))).await;
                copying.kill().unwrap();
                copying.wait().unwrap();
            }
        }
        for to in [to.as_str(), "sqlite:"] {
            let output = migrate(directory.path(), &older.url(), to, &[], 0);
            assert!(output.contains("The same on both sides"), "{output}");
            assert_moved_to(to, &directory, &older.truth).await;
        }
    }
}

/// Migrates spellings without separators and without leading zeros.
#[tokio::test]
async fn times_in_the_basic_form_and_without_leading_zeros_move_too() {
    let mut older = layout_b(DynamoKind::Dynoxide, 10).await;
    older.add("x", 1_325_754_300_000_000, "1");
    older.add("x", 1_325_840_700_000_000, "2");
    let items = vec![
        item_b("2012-1-5 9:05:00", "x", "1"),
        item_b("20120105T090500", "x", "1.0"),
        item_b("20120106T090500", "x", "2"),
    ];
    fill(&older.client, &older.table, items).await;
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let output = migrate(directory.path(), &older.url(), "sqlite:", &[], 0);
    assert!(output.contains("repeated   1"), "{output}");
    assert_moved_to("sqlite:", &directory, &older.truth).await;
}

/// Statistics may be equal where readings are not: two temperatures are swapped.
#[tokio::test]
async fn sensors_with_equal_statistics_and_other_readings_are_copied() {
    let dynamo = DynamoServer::start();
    let url = dynamo.url();
    DynamoStore::create_tables(&location(&url), Some(&credentials()))
        .await
        .unwrap();
    let store = |server: &Server, degrees: [i64; 4]| {
        let client = server.client();
        let lines: String = degrees
            .iter()
            .enumerate()
            .map(|(n, degrees)| {
                let timestamp = format!("2026-11-20T13:00:0{n}Z");
                crate::support::reading("a", &timestamp, &degrees.to_string()) + "\n"
            })
            .collect();
        async move { client.store(lines).await }
    };
    let server = Server::with_args(&["--readings", "sqlite:"]);
    store(&server, [1, 5, 3, 2]).await;
    let everything = server.client().everything().await;
    let directory = Arc::clone(server.directory());
    server.stop();
    let remote = Server::with_args(&["--readings", &url]);
    store(&remote, [1, 3, 5, 2]).await;
    let output = migrate(directory.path(), "sqlite:", &url, &[], 0);
    assert!(output.contains("replaced   2"), "{output}");
    assert_eq!(remote.client().everything().await, everything);
}

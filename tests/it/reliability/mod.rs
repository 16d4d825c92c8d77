//! Tests each backend with each fault, as clients and operators see the fault. docs/explanation/reliability.md has the measurements.
//!
//! `FIELDSTATION_RELIABILITY_TABLE=docs/explanation/reliability.md cargo nextest run reliability` writes the tables again.

mod fault_case;
mod history;
mod probe;
mod table;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use fault_case::{FaultCase, Measurement, StoreUnderTest};
use probe::{Files, Greeting, Probe, Readings, Todos, timestamp};

use crate::support::{
    Database, DynamoServer, Fault, FaultProxy, RedisServer, S3Server, Server, run,
};

/// How long a client waits for the answer that reports denied access.
const DENIED_MAX: Duration = Duration::from_secs(1);

/// The network faults of every backend.
fn network(proxy: &FaultProxy, answer_max: Duration) -> Vec<FaultCase<'_>> {
    let seconds = Duration::from_secs_f64;
    [
        ("connections are refused", Fault::Refuse),
        ("connections are reset", Fault::Reset),
        ("nothing comes back", Fault::Blackhole),
        ("everything takes 0.2 s longer", Fault::Delay(seconds(0.1))),
        ("everything takes 2 s longer", Fault::Delay(seconds(1.0))),
        ("answers are cut off", Fault::CutAnswers),
    ]
    .map(|(name, fault)| by_proxy(name, proxy, fault, answer_max))
    .into()
}

fn by_proxy<'a>(
    name: &'static str,
    proxy: &'a FaultProxy,
    fault: Fault,
    answer_max: Duration,
) -> FaultCase<'a> {
    FaultCase {
        name,
        answer_max,
        begin: Box::new(move || proxy.set(fault)),
        end: Box::new(|| proxy.set(Fault::None)),
    }
}

/// An answer of a backend with a content length.
fn answer(head: &str, body: &str) -> &'static str {
    let length = body.len();
    let text =
        format!("HTTP/1.1 {head}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
    text.leak()
}

fn dynamodb_error(kind: &str, message: &str) -> &'static str {
    let body = format!(r#"{{"__type":"{kind}","message":"{message}"}}"#);
    answer(
        "400 Bad Request\r\ncontent-type: application/x-amz-json-1.0",
        &body,
    )
}

fn s3_error(status: &str, code: &str, message: &str) -> &'static str {
    let body = format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>");
    answer(&format!("{status}\r\ncontent-type: application/xml"), &body)
}

/// A server with a required backend.
fn server(store: &str, url: &str) -> Server {
    let option = format!("--{store}");
    let needed = ["--needed", "readings,files,todos,greeting"];
    // Writes to DynamoDB wait for three quarters of the request timeout.
    let time = ["--request-timeout-seconds", "12"];
    Server::with_args(&[&[option.as_str(), url][..], &needed, &time].concat())
}

/// Runs the fault cases in order, records the measurements, and asserts that the server kept every promise.
async fn run_fault_cases(server: &Server, probe: &dyn Probe, fault_cases: &[FaultCase<'_>]) {
    let store = StoreUnderTest::new(server, probe);
    let mut measured: Vec<Measurement> = Vec::new();
    for fault_case in fault_cases {
        let row = store.run(fault_case).await;
        println!("{row:?}");
        measured.push(row);
    }
    if probe.store() == "readings" {
        every_acknowledged_reading_is_there(&store).await;
    }
    table::write(probe.store(), &measured);
    let violations = store.violations.lock().unwrap().join("\n");
    assert!(
        violations.is_empty(),
        "promises that were not kept:\n{violations}"
    );
    table::assert_complete(probe.store(), &measured);
}

async fn every_acknowledged_reading_is_there(store: &StoreUnderTest<'_>) {
    for key in 0..store.probe.keys() {
        let path = format!("/api/readings?sensorId={key}");
        let export = store.server.client().get(&path).await.with_status(200);
        let stored: BTreeMap<String, u64> = export
            .text()
            .lines()
            .map(|line| {
                let reading: serde_json::Value = serde_json::from_str(line).unwrap();
                let time = reading["timestamp"].as_str().unwrap().to_owned();
                (time, reading["temperature"].as_u64().unwrap())
            })
            .collect();
        let history = store.history(key);
        for number in history.all_acknowledged() {
            assert_eq!(
                stored.get(&timestamp(*number)),
                Some(number),
                "{number} is lost"
            );
        }
        assert!(stored.len() as u64 <= history.sent);
    }
}

#[tokio::test]
async fn readings_on_dynamodb_through_every_fault() {
    const ANSWER_MAX: Duration = Duration::from_secs(9);
    let dynamodb = DynamoServer::start();
    let direct = dynamodb.url();
    let here = Path::new(".");
    let made = run(here, &["dynamodb", "create-tables", "--readings", &direct]);
    assert_eq!(made.code, Some(0), "{}", made.output);
    let proxy = FaultProxy::start(dynamodb.address());
    let server = server("readings", &dynamodb.url_through(proxy.address()));
    let mut fault_cases = network(&proxy, ANSWER_MAX);
    let denied = dynamodb_error(
        "com.amazon.coral.service#AccessDeniedException",
        "User: arn:aws:sts::1:assumed-role/task is not authorized to perform: dynamodb:TransactWriteItems",
    );
    let unknown = dynamodb_error(
        "com.amazon.coral.service#UnrecognizedClientException",
        "The security token included in the request is invalid.",
    );
    let throttled = dynamodb_error(
        "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException",
        "The level of configured provisioned throughput for the table was exceeded.",
    );
    fault_cases.extend([
        by_proxy(
            "rights to write are missing",
            &proxy,
            Fault::AnswerTo("TransactWriteItems", denied),
            DENIED_MAX,
        ),
        by_proxy(
            "rights are missing",
            &proxy,
            Fault::Answer(denied),
            DENIED_MAX,
        ),
        by_proxy(
            "credentials are rejected",
            &proxy,
            Fault::Answer(unknown),
            DENIED_MAX,
        ),
        by_proxy(
            "every request is throttled",
            &proxy,
            Fault::Answer(throttled),
            ANSWER_MAX,
        ),
    ]);
    run_fault_cases(&server, &Readings, &fault_cases).await;
    let check = ["dynamodb", "recount", "--check", "--readings", &direct];
    let checked = run(here, &check);
    assert_eq!(checked.code, Some(0), "{}", checked.output);
}

#[tokio::test]
async fn files_on_s3_through_every_fault() {
    const ANSWER_MAX: Duration = Duration::from_secs(10);
    let s3 = S3Server::start();
    let proxy = FaultProxy::start(s3.address());
    let server = server("files", &S3Server::url_at(proxy.address()));
    let mut fault_cases = network(&proxy, ANSWER_MAX);
    let denied = s3_error("403 Forbidden", "AccessDenied", "Access Denied");
    let unknown = s3_error(
        "403 Forbidden",
        "InvalidAccessKeyId",
        "The AWS Access Key Id you provided does not exist in our records.",
    );
    let throttled = s3_error("503 Slow Down", "SlowDown", "Reduce your request rate.");
    fault_cases.extend([
        by_proxy(
            "rights are missing",
            &proxy,
            Fault::Answer(denied),
            DENIED_MAX,
        ),
        by_proxy(
            "credentials are rejected",
            &proxy,
            Fault::Answer(unknown),
            DENIED_MAX,
        ),
        by_proxy(
            "every request is throttled",
            &proxy,
            Fault::Answer(throttled),
            ANSWER_MAX,
        ),
    ]);
    run_fault_cases(&server, &Files, &fault_cases).await;
}

#[tokio::test]
async fn todos_on_postgresql_through_every_fault() {
    const ANSWER_MAX: Duration = Duration::from_secs(2);
    let database = Database::new();
    let name = database.name();
    // The server has a separate user, so the test can change the password.
    let role = format!("{name}_station");
    let password = |password: &str| {
        database.sql_elsewhere(&format!("ALTER ROLE {role} LOGIN PASSWORD '{password}'"));
    };
    let cut = || {
        database.sql_elsewhere(&format!(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '{name}'"
        ));
    };
    let open = |is_open: bool| {
        database.sql_elsewhere(&format!(
            "ALTER DATABASE {name} ALLOW_CONNECTIONS {is_open}"
        ));
    };
    database.sql_elsewhere(&format!("DROP ROLE IF EXISTS {role}"));
    database.sql_elsewhere(&format!("CREATE ROLE {role}"));
    password("right");
    database.sql_elsewhere(&format!("ALTER DATABASE {name} OWNER TO {role}"));
    let proxy = FaultProxy::start(database.address());
    let url = format!(
        "postgres://{role}:right@{}/{name}?sslmode=disable",
        proxy.address()
    );
    let server = server("todos", &url);
    let probe = Todos::add(&server.client()).await;
    let mut fault_cases = network(&proxy, ANSWER_MAX);
    fault_cases.extend([
        FaultCase {
            name: "the password is another one",
            answer_max: ANSWER_MAX,
            begin: Box::new(|| {
                password("other");
                cut();
            }),
            end: Box::new(|| password("right")),
        },
        FaultCase {
            name: "the database takes no connections",
            answer_max: ANSWER_MAX,
            begin: Box::new(|| {
                open(false);
                cut();
            }),
            end: Box::new(|| open(true)),
        },
    ]);
    run_fault_cases(&server, &probe, &fault_cases).await;
    drop(fault_cases);
    drop(server);
    database.sql_elsewhere(&format!("ALTER DATABASE {name} OWNER TO postgres"));
    database.sql(&format!("DROP OWNED BY {role} CASCADE"));
    database.sql_elsewhere(&format!("DROP ROLE {role}"));
}

#[tokio::test]
async fn the_greeting_on_redis_through_every_fault() {
    const ANSWER_MAX: Duration = Duration::from_secs(2);
    let redis = parking_lot::Mutex::new(RedisServer::start());
    let address = redis.lock().address();
    let user = |password: &str| {
        let password = format!(">{password}");
        let rights = [
            "ACL",
            "SETUSER",
            "station",
            "on",
            "resetpass",
            &password,
            "~*",
            "&*",
            "+@all",
        ];
        redis.lock().command(&rights);
    };
    user("right");
    let proxy = FaultProxy::start(address);
    let url = format!("redis://station:right@{}", proxy.address());
    let server = server("greeting", &url);
    let mut fault_cases = network(&proxy, ANSWER_MAX);
    fault_cases.extend([
        FaultCase {
            name: "the password is another one",
            answer_max: ANSWER_MAX,
            begin: Box::new(|| {
                user("other");
                redis.lock().command(&["CLIENT", "KILL", "USER", "station"]);
            }),
            end: Box::new(|| user("right")),
        },
        FaultCase {
            name: "the server is killed and started again",
            answer_max: ANSWER_MAX,
            begin: Box::new(|| redis.lock().kill9()),
            end: Box::new(|| {
                redis.lock().start_again();
                user("right");
            }),
        },
    ]);
    run_fault_cases(&server, &Greeting, &fault_cases).await;
}

//! PostgreSQL goes away, and comes back.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{add, change, titles};
use crate::support::{Answer, Client, Database, Fault, FaultProxy, Server};

/// A client is to know by then.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(2);
/// A machine that runs other tests at the same time adds this much to anything.
const NOISE: Duration = Duration::from_millis(500);
/// Todos are back by then.
const RETURN_TIME_MAX: Duration = Duration::from_secs(5);

/// A server whose PostgreSQL is behind a network that can fail.
struct Setting {
    database: Database,
    proxy: FaultProxy,
    server: Server,
}

impl Setting {
    fn new() -> Self {
        let database = Database::new();
        let proxy = FaultProxy::start(database.address());
        let url = database.url_at(&proxy.address(), "?sslmode=disable");
        let server = Server::with_args(&["--todos", &url]);
        Self {
            database,
            proxy,
            server,
        }
    }

    /// The other routes do what they always do.
    async fn assert_the_rest_works(&self) {
        let client = self.server.client();
        let begin = Instant::now();
        let reading = r#"{"sensorId":"a","temperature":1,"timestamp":"2026-11-20T13:00:00"}"#;
        client.put(reading).await.with_status(200);
        client.get("/api/stats").await.with_status(200);
        client.get("/livez").await.with_status(200);
        assert!(begin.elapsed() < ANSWER_TIME_MAX);
    }

    /// Waits until todos are there again.
    async fn assert_it_is_back(&self) {
        let client = self.server.client();
        let begin = Instant::now();
        while client.get("/api/todos").await.status != 200 {
            assert!(begin.elapsed() < RETURN_TIME_MAX, "{}", self.server.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        add(&client, "after").await.with_status(201);
        let connections = self.database.connections();
        assert!(connections <= 10, "{connections} connections");
    }
}

/// Asserts an answer that says to come back, in time.
fn assert_unavailable(answer: &Answer, begin: Instant) {
    assert!(
        begin.elapsed() < ANSWER_TIME_MAX + NOISE,
        "{:?}",
        begin.elapsed()
    );
    answer.problem(503, "unavailable");
    let seconds: u32 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds));
    assert!(!answer.text().contains("127.0.0.1"), "{}", answer.text());
}

async fn assert_everything_is_unavailable(client: &Client, path: &str) {
    // All at once, so that they wait for each other where they can.
    let patch = json!({"title":"x"}).to_string();
    let requests = (0..24).map(|number| {
        let (method, path, body) = match number % 5 {
            0 => ("GET", "/api/todos", None),
            1 => ("GET", path, None),
            2 => ("POST", "/api/todos", Some(patch.clone())),
            3 => ("PATCH", path, Some(patch.clone())),
            _ => ("DELETE", path, None),
        };
        let request = client.request(method, path);
        async move {
            let begin = Instant::now();
            let request = match body {
                Some(body) => request.body(body),
                None => request,
            };
            assert_unavailable(&Answer::to(request).await, begin);
        }
    });
    futures_util::future::join_all(requests).await;
}

async fn goes_and_comes_back(fault: Fault) {
    let setting = Setting::new();
    let client = setting.server.client();
    let made = add(&client, "before").await.with_status(201);
    let path = made.header("location").unwrap();
    setting.proxy.set(fault);
    assert_everything_is_unavailable(&client, path).await;
    setting.assert_the_rest_works().await;
    // Again, now that no connection is left.
    assert_everything_is_unavailable(&client, path).await;
    setting.proxy.set(Fault::None);
    setting.assert_it_is_back().await;
    let titles = titles(&client).await;
    assert!(titles.contains(&"after".to_owned()), "{titles:?}");
}

#[tokio::test]
async fn nobody_listens() {
    goes_and_comes_back(Fault::Refuse).await;
}

#[tokio::test]
async fn connections_are_reset() {
    goes_and_comes_back(Fault::Reset).await;
}

#[tokio::test]
async fn the_network_swallows_everything() {
    goes_and_comes_back(Fault::Blackhole).await;
}

#[tokio::test]
async fn answers_are_cut() {
    goes_and_comes_back(Fault::CutAnswers).await;
}

#[tokio::test]
async fn somebody_else_answers() {
    goes_and_comes_back(Fault::Answer("HTTP/1.1 400 Bad Request\r\n\r\n")).await;
}

#[tokio::test]
async fn a_slow_network_is_no_outage() {
    let setting = Setting::new();
    let client = setting.server.client();
    add(&client, "before").await.with_status(201);
    setting.proxy.set(Fault::Delay(Duration::from_millis(60)));
    for _ in 0..3 {
        add(&client, "meanwhile").await.with_status(201);
        assert_eq!(client.get("/api/todos").await.status, 200);
    }
    setting.proxy.set(Fault::Delay(Duration::from_secs(2)));
    let begin = Instant::now();
    assert_unavailable(&client.get("/api/todos").await, begin);
    setting.proxy.set(Fault::None);
    setting.assert_it_is_back().await;
}

#[tokio::test]
async fn what_is_acknowledged_is_there_wherever_the_network_is_cut() {
    let setting = Setting::new();
    let client = setting.server.client();
    let mut acknowledged = HashSet::new();
    let mut sent = HashSet::new();
    // From within the greeting to long after the statement.
    for bytes in (40..6000).step_by(170) {
        setting.proxy.set(Fault::CutAfter(bytes));
        for attempt in 0..2 {
            let title = format!("{bytes} {attempt}");
            sent.insert(title.clone());
            let answer = add(&client, &title).await;
            match answer.status {
                201 => {
                    acknowledged.insert(title);
                }
                _ => {
                    answer.problem(503, "unavailable");
                }
            }
        }
    }
    setting.proxy.set(Fault::None);
    setting.assert_it_is_back().await;
    let all = titles(&client).await;
    let stored: HashSet<String> = all.iter().cloned().collect();
    // One sent twice by us would be here twice.
    assert_eq!(stored.len(), all.len());
    let lost: Vec<_> = acknowledged.difference(&stored).collect();
    assert!(lost.is_empty(), "{lost:?}");
    assert!(!acknowledged.is_empty() && acknowledged.len() < sent.len());
}

/// A server that is started while PostgreSQL is away.
async fn starts_first(fault: Fault) {
    let database = Database::new();
    let proxy = FaultProxy::start(database.address());
    proxy.set(fault);
    let begin = Instant::now();
    let url = database.url_at(&proxy.address(), "?sslmode=disable");
    let server = Server::with_args(&["--todos", &url]);
    assert!(begin.elapsed() < Duration::from_secs(5));
    let setting = Setting {
        database,
        proxy,
        server,
    };
    let client = setting.server.client();
    let begin = Instant::now();
    assert_unavailable(&client.get("/api/todos").await, begin);
    setting.assert_the_rest_works().await;
    setting.proxy.set(Fault::None);
    setting.assert_it_is_back().await;
    assert_eq!(titles(&client).await, ["after"]);
}

#[tokio::test]
async fn a_server_starts_while_nobody_listens() {
    starts_first(Fault::Refuse).await;
}

#[tokio::test]
async fn a_server_starts_while_the_network_swallows_everything() {
    starts_first(Fault::Blackhole).await;
}

#[tokio::test]
async fn connections_that_died_unseen_are_replaced() {
    let setting = Setting::new();
    let client = setting.server.client();
    let made = add(&client, "before").await.with_status(201);
    let path = made.header("location").unwrap();
    let kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                WHERE application_name = 'fieldstation' AND datname = current_database()";
    for _ in 0..3 {
        // Reading and adding can be done again on another connection.
        assert_eq!(setting.database.sql(kill).trim(), "1");
        client.get(path).await.with_status(200);
        assert_eq!(setting.database.sql(kill).trim(), "1");
        add(&client, "more").await.with_status(201);
        // A change is not sent twice: it may have been made. After a moment the connection is asked first.
        assert_eq!(setting.database.sql(kill).trim(), "1");
        tokio::time::sleep(Duration::from_millis(1100)).await;
        change(&client, path, None, json!({"title":"changed"}))
            .await
            .with_status(200);
    }
    assert_eq!(titles(&client).await.len(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_table_is_waited_for_within_bounds() {
    let setting = Setting::new();
    let client = setting.server.client();
    add(&client, "before").await.with_status(201);
    let lock = "BEGIN; LOCK TABLE todos IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(4); COMMIT";
    std::thread::scope(|scope| {
        scope.spawn(|| setting.database.sql(lock));
        let asking = async {
            let waiting = "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted \
                           AND relation = 'todos'::regclass";
            while setting.database.sql(waiting).trim() != "1" {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            let begin = Instant::now();
            assert_unavailable(&client.get("/api/todos").await, begin);
            let begin = Instant::now();
            assert_unavailable(&add(&client, "meanwhile").await, begin);
            setting.assert_the_rest_works().await;
        };
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(asking));
    });
    setting.assert_it_is_back().await;
    // What was given up was not made behind our back.
    assert_eq!(titles(&client).await, ["before", "after"]);
}

#[tokio::test]
async fn a_database_that_takes_no_writes_is_unavailable_for_them() {
    let setting = Setting::new();
    let client = setting.server.client();
    add(&client, "before").await.with_status(201);
    let name = setting.database.name();
    let read_only = |on: &str| {
        setting.database.sql(&format!(
            "ALTER DATABASE {name} SET default_transaction_read_only = {on}; \
             SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE application_name = 'fieldstation' AND datname = '{name}'"
        ))
    };
    read_only("on");
    assert_eq!(titles(&client).await, ["before"]);
    let begin = Instant::now();
    assert_unavailable(&add(&client, "meanwhile").await, begin);
    // A session of this database is bound by it, too.
    let reset = format!("ALTER DATABASE {name} RESET default_transaction_read_only");
    setting.database.sql_elsewhere(&reset);
    setting.assert_it_is_back().await;
}

#[tokio::test]
async fn requests_that_are_given_up_leave_no_connections() {
    let setting = Setting::new();
    let client = setting.server.client();
    add(&client, "before").await.with_status(201);
    setting.proxy.set(Fault::Blackhole);
    for _ in 0..3 {
        let given_up = (0..20).map(|_| {
            let request = client.request("GET", "/api/todos");
            Answer::try_to(request.timeout(Duration::from_millis(100)))
        });
        for answer in futures_util::future::join_all(given_up).await {
            assert!(answer.is_err());
        }
    }
    setting.proxy.set(Fault::None);
    setting.assert_it_is_back().await;
    setting.assert_the_rest_works().await;
}

//! Outages of PostgreSQL, and the return to normal work.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{add, change, titles};
use crate::support::{Answer, Client, Database, Fault, FaultProxy, Server};

/// The time limit for an answer.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(2);
/// The possible delay because of other tests on the same machine.
const TEST_DELAY_MAX: Duration = Duration::from_millis(500);
/// The time limit for the return of todos.
const RECOVERY_TIME_MAX: Duration = Duration::from_secs(5);

/// A server with PostgreSQL behind an unreliable network.
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

    /// Asserts that the other routes work as usual.
    async fn assert_other_routes_work(&self) {
        let client = self.server.client();
        let begin = Instant::now();
        let reading = r#"{"sensorId":"a","temperature":1,"timestamp":"2026-11-20T13:00:00"}"#;
        client.put(reading).await.with_status(200);
        client.get("/api/stats").await.with_status(200);
        client.get("/livez").await.with_status(200);
        assert!(begin.elapsed() < ANSWER_TIME_MAX);
    }

    /// Waits until todos work again.
    async fn wait_for_recovery(&self) {
        let client = self.server.client();
        let begin = Instant::now();
        while client.get("/api/todos").await.status != 200 {
            assert!(begin.elapsed() < RECOVERY_TIME_MAX, "{}", self.server.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        add(&client, "after").await.with_status(201);
        let connections = self.database.connections();
        assert!(connections <= 10, "{connections} connections");
    }
}

/// Asserts a timely answer, with the request to try again later.
fn assert_unavailable(answer: &Answer, begin: Instant) {
    assert!(
        begin.elapsed() < ANSWER_TIME_MAX + TEST_DELAY_MAX,
        "{:?}",
        begin.elapsed()
    );
    answer.problem(503, "unavailable");
    let seconds: u32 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds));
    assert!(!answer.text().contains("127.0.0.1"), "{}", answer.text());
}

async fn assert_all_requests_are_unavailable(client: &Client, path: &str) {
    // All requests run at once and compete for the connections.
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

async fn survives_outage(fault: Fault) {
    let setting = Setting::new();
    let client = setting.server.client();
    let made = add(&client, "before").await.with_status(201);
    let path = made.header("location").unwrap();
    setting.proxy.set(fault);
    assert_all_requests_are_unavailable(&client, path).await;
    setting.assert_other_routes_work().await;
    // The pool has no connection any more.
    assert_all_requests_are_unavailable(&client, path).await;
    setting.proxy.set(Fault::None);
    setting.wait_for_recovery().await;
    let titles = titles(&client).await;
    assert!(titles.contains(&"after".to_owned()), "{titles:?}");
}

#[tokio::test]
async fn todos_return_after_postgresql_refused_connections() {
    survives_outage(Fault::Refuse).await;
}

#[tokio::test]
async fn todos_return_after_connections_were_reset() {
    survives_outage(Fault::Reset).await;
}

#[tokio::test]
async fn todos_return_after_the_network_lost_every_packet() {
    survives_outage(Fault::Blackhole).await;
}

#[tokio::test]
async fn todos_return_after_answers_were_cut_off() {
    survives_outage(Fault::CutAnswers).await;
}

#[tokio::test]
async fn todos_return_after_another_program_answered() {
    survives_outage(Fault::Answer("HTTP/1.1 400 Bad Request\r\n\r\n")).await;
}

#[tokio::test]
async fn a_slow_network_is_not_an_outage() {
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
    setting.wait_for_recovery().await;
}

#[tokio::test]
async fn no_acknowledged_todo_is_lost_wherever_the_network_is_cut() {
    let setting = Setting::new();
    let client = setting.server.client();
    let mut acknowledged = HashSet::new();
    let mut sent = HashSet::new();
    // The cuts range from the greeting to long after the statement.
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
    setting.wait_for_recovery().await;
    let all = titles(&client).await;
    let stored: HashSet<String> = all.iter().cloned().collect();
    // A repeated statement would add the todo twice.
    assert_eq!(stored.len(), all.len());
    let lost: Vec<_> = acknowledged.difference(&stored).collect();
    assert!(lost.is_empty(), "{lost:?}");
    assert!(!acknowledged.is_empty() && acknowledged.len() < sent.len());
}

/// Starts a server during an outage of PostgreSQL.
async fn starts_during_outage(fault: Fault) {
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
    setting.assert_other_routes_work().await;
    setting.proxy.set(Fault::None);
    setting.wait_for_recovery().await;
    assert_eq!(titles(&client).await, ["after"]);
}

#[tokio::test]
async fn a_server_starts_while_postgresql_refuses_connections() {
    starts_during_outage(Fault::Refuse).await;
}

#[tokio::test]
async fn a_server_starts_while_the_network_loses_every_packet() {
    starts_during_outage(Fault::Blackhole).await;
}

#[tokio::test]
async fn dead_connections_are_replaced() {
    let setting = Setting::new();
    let client = setting.server.client();
    let made = add(&client, "before").await.with_status(201);
    let path = made.header("location").unwrap();
    let kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                WHERE application_name = 'fieldstation' AND datname = current_database()";
    for _ in 0..3 {
        // A read and an addition are repeated on another connection.
        assert_eq!(setting.database.sql(kill).trim(), "1");
        client.get(path).await.with_status(200);
        assert_eq!(setting.database.sql(kill).trim(), "1");
        add(&client, "more").await.with_status(201);
        // The server never repeats a change, because the first attempt may have had an effect. A connection idle for a second is tested
        // before use, so the change succeeds after a second.
        assert_eq!(setting.database.sql(kill).trim(), "1");
        tokio::time::sleep(Duration::from_millis(1100)).await;
        change(&client, path, None, json!({"title":"changed"}))
            .await
            .with_status(200);
    }
    assert_eq!(titles(&client).await.len(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_table_makes_todos_unavailable_and_nothing_is_added_later() {
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
            setting.assert_other_routes_work().await;
        };
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(asking));
    });
    setting.wait_for_recovery().await;
    // The server did not make the refused addition (503) later.
    assert_eq!(titles(&client).await, ["before", "after"]);
}

#[tokio::test]
async fn a_read_only_database_is_unavailable_for_writes_only() {
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
    // A session in this database could not reset the setting.
    let reset = format!("ALTER DATABASE {name} RESET default_transaction_read_only");
    setting.database.sql_elsewhere(&reset);
    setting.wait_for_recovery().await;
}

#[tokio::test]
async fn abandoned_requests_leave_no_connections() {
    let setting = Setting::new();
    let client = setting.server.client();
    add(&client, "before").await.with_status(201);
    setting.proxy.set(Fault::Blackhole);
    for _ in 0..3 {
        let abandoned = (0..20).map(|_| {
            let request = client.request("GET", "/api/todos");
            Answer::try_to(request.timeout(Duration::from_millis(100)))
        });
        for answer in futures_util::future::join_all(abandoned).await {
            assert!(answer.is_err());
        }
    }
    setting.proxy.set(Fault::None);
    setting.wait_for_recovery().await;
    setting.assert_other_routes_work().await;
}

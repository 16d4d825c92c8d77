//! Reports of an outage of PostgreSQL: in the log, in `/health` and in answers.

use std::time::{Duration, Instant};

use futures_util::future::join_all;

use super::{add, titles};
use crate::support::{Client, Database, Fault, FaultProxy, Server};

const WAIT_MAX: Duration = Duration::from_secs(10);

/// The number of log lines with these words.
fn lines(server: &Server, words: &str) -> usize {
    let log = server.log();
    log.lines().filter(|line| line.contains(words)).count()
}

async fn reason(client: &Client) -> Option<String> {
    let health = client.get("/health").await.json();
    health["stores"]["todos"]["reason"]
        .as_str()
        .map(str::to_owned)
}

/// Waits until the log reports the end of the outage.
async fn wait_for_end_of_outage(server: &Server) {
    let begin = Instant::now();
    while add(&server.client(), "after").await.status != 201
        || lines(server, "trouble with a backend has ended") == 0
    {
        assert!(begin.elapsed() < WAIT_MAX, "{}", server.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn an_outage_has_a_line_in_the_log_at_its_start_and_at_its_end() {
    let database = Database::new();
    let proxy = FaultProxy::start(database.address());
    let server = Server::with_args(&[
        "--todos",
        &database.url_at(&proxy.address(), "?sslmode=disable"),
    ]);
    let client = server.client();
    add(&client, "before").await.with_status(201);
    proxy.set(Fault::Refuse);
    for _ in 0..20 {
        join_all((0..20).map(|_| client.get("/api/todos"))).await;
    }
    add(&client, "meanwhile").await.problem(503, "unavailable");
    assert!(reason(&client).await.unwrap().contains("cannot be reached"));
    assert_eq!(lines(&server, "WARN"), 1, "{}", server.log());
    proxy.set(Fault::None);
    wait_for_end_of_outage(&server).await;
    assert_eq!(
        lines(&server, "trouble with a backend"),
        2,
        "{}",
        server.log()
    );
    assert!(lines(&server, "\"failures\":") >= 1, "{}", server.log());
}

#[tokio::test]
async fn waiting_clients_make_few_connections_during_an_outage() {
    let database = Database::new();
    // A server that closes and counts every connection.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let count = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = std::sync::Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            drop(stream);
        }
    });
    let server = Server::with_args(&["--todos", &database.url_at(&address, "?sslmode=disable")]);
    let client = server.client();
    let begin = Instant::now();
    let mut answers = 0;
    while begin.elapsed() < Duration::from_secs(3) {
        for answer in join_all((0..5).map(|_| client.get("/api/todos"))).await {
            answer.problem(503, "unavailable");
            answers += 1;
        }
    }
    let connections = count.load(std::sync::atomic::Ordering::Relaxed);
    println!("{answers} answers, {connections} connections");
    assert!(answers > 100, "{answers}");
    assert!(connections < 40, "{connections}");
}

#[tokio::test]
async fn rights_that_are_taken_away_are_named_at_once() {
    let database = Database::new();
    drop(Server::with_args(&["--todos", &database.url()]));
    let user = format!("clerk_{}", database.name());
    database.sql(&format!(
        "SET password_encryption = 'scram-sha-256'; CREATE ROLE {user} LOGIN PASSWORD 'clerk';
         GRANT ALL ON fieldstation_migrations, todos TO {user}"
    ));
    let url = format!("{}?sslmode=disable", database.url_for(&user, "clerk"));
    let server = Server::with_args(&["--todos", &url]);
    let client = server.client();
    add(&client, "before").await.with_status(201);
    database.sql(&format!("REVOKE INSERT ON todos FROM {user}"));
    for _ in 0..10 {
        let begin = Instant::now();
        let answer = add(&client, "meanwhile").await;
        assert!(begin.elapsed() < Duration::from_secs(1));
        answer.problem_saying(503, "unavailable", &["lacks a right", "GRANT"]);
        assert_eq!(answer.header("retry-after"), Some("30"));
        // Reads succeed, and do not end the outage.
        assert_eq!(titles(&client).await, ["before"]);
        let reason = reason(&client).await.unwrap();
        assert!(reason.contains("GRANT INSERT"), "{reason}");
    }
    assert_eq!(lines(&server, "has ended"), 0, "{}", server.log());
    assert!(lines(&server, "trouble") <= 2, "{}", server.log());
    database.sql(&format!("GRANT INSERT ON todos TO {user}"));
    wait_for_end_of_outage(&server).await;
    assert_eq!(reason(&client).await, None);
    drop(server);
    database.sql(&format!("DROP OWNED BY {user}; DROP ROLE {user}"));
}

#[tokio::test]
async fn a_changed_password_and_a_missing_database_are_reported() {
    let database = Database::new();
    let user = format!("clerk_{}", database.name());
    database.sql(&format!(
        "SET password_encryption = 'scram-sha-256'; CREATE ROLE {user} LOGIN PASSWORD 'clerk'; GRANT CREATE, USAGE ON SCHEMA public TO {user}"
    ));
    let url = format!("{}?sslmode=disable", database.url_for(&user, "clerk"));
    let server = Server::with_args(&["--todos", &url]);
    let client = server.client();
    add(&client, "before").await.with_status(201);
    let cut =
        format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{user}'");
    database.sql(&format!(
        "SET password_encryption = 'scram-sha-256'; ALTER ROLE {user} PASSWORD 'other'; {cut}"
    ));
    let begin = Instant::now();
    let answer = client.get("/api/todos").await;
    assert!(begin.elapsed() < Duration::from_secs(1));
    answer.problem_saying(503, "unavailable", &["does not let this server in"]);
    assert_eq!(answer.header("retry-after"), Some("30"));
    assert!(reason(&client).await.unwrap().contains("password"));
    assert_eq!(lines(&server, "trouble"), 1, "{}", server.log());
    database.sql(&format!(
        "SET password_encryption = 'scram-sha-256'; ALTER ROLE {user} PASSWORD 'clerk'"
    ));
    wait_for_end_of_outage(&server).await;

    let (name, away) = (database.name(), format!("{}_away", database.name()));
    database.sql_elsewhere(&format!(
        "ALTER DATABASE {name} ALLOW_CONNECTIONS false; {cut}"
    ));
    database.sql_elsewhere(&format!("ALTER DATABASE {name} RENAME TO {away}"));
    let begin = Instant::now();
    loop {
        let answer = client.get("/api/todos").await;
        answer.problem(503, "unavailable");
        if answer.text().contains("no such database") {
            break;
        }
        assert!(begin.elapsed() < WAIT_MAX, "{}", answer.text());
    }
    database.sql_elsewhere(&format!(
        "ALTER DATABASE {away} RENAME TO {name}; ALTER DATABASE {name} ALLOW_CONNECTIONS true"
    ));
    wait_for_end_of_outage(&server).await;
    drop(server);
    database.sql(&format!("DROP OWNED BY {user}; DROP ROLE {user}"));
}

#[tokio::test]
async fn missing_tables_are_reported() {
    let database = Database::new();
    let server = Server::with_args(&["--todos", &database.url()]);
    let client = server.client();
    add(&client, "before").await.with_status(201);
    database.sql("ALTER TABLE todos RENAME TO todos_away");
    for _ in 0..3 {
        let answer = client.get("/api/todos").await;
        answer.problem_saying(503, "unavailable", &["gone"]);
        assert!(reason(&client).await.unwrap().contains("gone"));
    }
    assert_eq!(lines(&server, "trouble"), 1, "{}", server.log());
    database.sql("ALTER TABLE todos_away RENAME TO todos");
    wait_for_end_of_outage(&server).await;
}

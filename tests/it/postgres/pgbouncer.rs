//! PostgreSQL behind PgBouncer in transaction mode. Todos work when the configuration says so, and otherwise an error names PgBouncer.

use std::sync::Arc;

use futures_util::future::join_all;
use serde_json::json;

use super::{add, change, titles};
use crate::support::{Database, PgBouncer, Server, run};

fn url(database: &Database, pooler: &PgBouncer, parameters: &str) -> String {
    database.url_at(&pooler.address(), &format!("?sslmode=disable{parameters}"))
}

#[tokio::test]
async fn todos_work_behind_a_configured_pgbouncer() {
    let database = Database::new();
    let pooler = PgBouncer::start(&database, "");
    // Two servers with more connections than the pooler, so transactions share connections.
    let url = url(
        &database,
        &pooler,
        "&pgbouncer=true&schema=My%20%22todos%22",
    );
    let servers = [
        Server::with_args(&["--todos", &url]),
        Server::with_args(&["--todos", &url]),
    ];
    let clients = servers.each_ref().map(Server::client);
    let made = join_all((0..60).map(|number| {
        let client = &clients[number % 2];
        async move {
            add(client, &format!("todo {number}"))
                .await
                .with_status(201)
        }
    }))
    .await;
    join_all(made.iter().enumerate().map(|(number, made)| {
        let client = &clients[(number + 1) % 2];
        async move {
            let (path, tag) = (made.header("location").unwrap(), made.header("etag"));
            let done = change(client, path, tag, json!({"status":"completed"})).await;
            done.with_status(200);
            let stale = change(client, path, tag, json!({"status":"pending"})).await;
            stale.problem(412, "precondition-failed");
        }
    }))
    .await;
    assert_eq!(titles(&clients[0]).await.len(), 60);
    let list = clients[1].get("/request").await.with_status(200).json();
    assert_eq!(list["number_of_todos"], 60);
    for client in &clients {
        let health = client.get("/health").await.with_status(200).json();
        assert_eq!(health["stores"]["todos"]["state"], "healthy");
    }
    let tables = "SELECT count(*) FROM \"My \"\"todos\"\"\".todos WHERE status = 'completed'";
    assert_eq!(database.sql(tables).trim(), "60");
    // No transaction stays open on a shared connection.
    let prepared = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'fieldstation' \
                    AND state = 'idle in transaction' AND datname = current_database()";
    assert_eq!(database.sql(prepared).trim(), "0");
    for (server, number) in servers.into_iter().zip(1..) {
        assert!(
            !server.log().contains("trouble"),
            "{number}: {}",
            server.log()
        );
        assert_eq!(server.stop().code, Some(0));
    }
    let log = pooler.log();
    assert!(!log.contains("prepared statement"), "{log}");
}

#[tokio::test]
async fn the_manifest_can_configure_pgbouncer() {
    let database = Database::new();
    let pooler = PgBouncer::start(&database, "");
    let mut manifest = database.manifest();
    manifest["database_server_port"] = json!(pooler.address().port());
    manifest["pgbouncer"] = json!(true);
    manifest["schema"] = json!("of_todos");
    let directory = Arc::new(tempfile::tempdir().unwrap());
    std::fs::write(directory.path().join("manifest.json"), manifest.to_string()).unwrap();
    let server = Server::try_in(&directory, &[]).unwrap();
    add(&server.client(), "a").await.with_status(201);
    assert_eq!(database.sql("SELECT title FROM of_todos.todos").trim(), "a");
}

#[test]
fn todos_of_the_older_app_can_be_imported_through_pgbouncer() {
    let database = Database::new();
    database.sql(super::existing_tables::OLDER_TABLE);
    database.sql(
        "INSERT INTO todos SELECT n, 'old', NULL, NULL, 'Done' FROM generate_series(1, 500) AS n",
    );
    let pooler = PgBouncer::start(&database, "");
    let from = url(&database, &pooler, "&pgbouncer=true");
    let to = format!("{from}&schema=fieldstation");
    let directory = tempfile::tempdir().unwrap();
    for added in ["500 added", "0 added"] {
        let moved = run(directory.path(), &["migrate", "--from", &from, "--to", &to]);
        assert_eq!(moved.code, Some(0), "{}", moved.output);
        assert!(moved.output.contains(added), "{}", moved.output);
    }
    let count = "SELECT count(*), sum(number) FROM fieldstation.todos WHERE status = 'completed'";
    assert_eq!(database.sql(count).trim(), "500|125250");
}

#[test]
fn an_unconfigured_pgbouncer_is_reported() {
    let database = Database::new();
    // The default settings, and settings to ignore the unknown parameter.
    for settings in ["", "ignore_startup_parameters = extra_float_digits"] {
        let pooler = PgBouncer::start(&database, settings);
        let directory = Arc::new(tempfile::tempdir().unwrap());
        let url = url(&database, &pooler, "");
        let exited = Server::try_in(&directory, &["--todos", &url]).expect_err("it starts");
        assert_eq!(exited.code, Some(3), "{}", exited.output);
        for words in ["PgBouncer", "?pgbouncer=true"] {
            assert!(exited.output.contains(words), "{}", exited.output);
        }
    }
    // No table was made.
    let tables = database.sql("SELECT count(*) FROM pg_tables WHERE tablename = 'todos'");
    assert_eq!(tables.trim(), "0");
}

#[test]
fn a_pgbouncer_that_does_not_know_the_user_is_not_an_outage() {
    let database = Database::new();
    let pooler = PgBouncer::start(&database, "auth_type = md5\nauth_file = /dev/null");
    let url = url(&database, &pooler, "&pgbouncer=true");
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let exited = Server::try_in(&directory, &["--todos", &url]).expect_err("it starts");
    assert_eq!(exited.code, Some(3), "{}", exited.output);
    assert!(exited.output.contains("does not let"), "{}", exited.output);
    for password in database.passwords() {
        assert!(!exited.output.contains(password), "{}", exited.output);
    }
}

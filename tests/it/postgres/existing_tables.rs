//! Relations that exist before the server starts. The server reports them with advice, and leaves them unchanged.

use std::sync::Arc;

use super::{add, titles};
use crate::support::{Database, Exited, Server};

/// The table of the older todo app.
pub const OLDER_TABLE: &str = "CREATE TABLE todos (id serial PRIMARY KEY, title text, description text, deadline timestamp, status text)";

/// The error of a failed start.
fn start_error(url: &str) -> Exited {
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let started = Server::try_in(&directory, &["--todos", url]);
    started.expect_err("it starts")
}

/// Asserts that the error has these words, and no message of PostgreSQL.
#[track_caller]
fn assert_reported(exited: &Exited, words: &[&str]) {
    assert_eq!(exited.code, Some(3), "{}", exited.output);
    for word in words {
        assert!(exited.output.contains(word), "{word}: {}", exited.output);
    }
    for sql in [
        "already exists",
        "error returned from database",
        "CREATE TABLE todos",
    ] {
        assert!(!exited.output.contains(sql), "{}", exited.output);
    }
}

/// Creates a user with these grants. Returns the name and the URL.
fn create_user(database: &Database, grants: &str) -> (String, String) {
    let user = format!("clerk_{}", database.name());
    let grants = grants.replace("{user}", &user);
    database.sql(&format!(
        "SET password_encryption = 'scram-sha-256'; CREATE ROLE {user} LOGIN PASSWORD 'clerk'; {grants}"
    ));
    let url = format!("{}?sslmode=disable", database.url_for(&user, "clerk"));
    (user, url)
}

fn drop_user(database: &Database, user: &str) {
    database.sql(&format!("DROP OWNED BY {user}; DROP ROLE {user}"));
}

#[tokio::test]
async fn the_table_of_the_older_app_is_recognised_and_stays_unchanged() {
    let database = Database::new();
    database.sql(OLDER_TABLE);
    database.sql("INSERT INTO todos VALUES (7, 'old', NULL, NULL, 'Done')");
    let exited = start_error(&database.url());
    assert_reported(
        &exited,
        &[
            "another program",
            "id integer, title text, description text, deadline timestamp without time zone, status text",
            "postgres",
            "fieldstation migrate --from",
            "?schema=fieldstation",
            "manifest.json",
        ],
    );
    // Another schema works.
    let url = format!("{}&schema=fieldstation", database.url());
    let server = Server::with_args(&["--todos", &url]);
    add(&server.client(), "new").await.with_status(201);
    assert_eq!(titles(&server.client()).await, ["new"]);
    let there = "SELECT title FROM todos; SELECT title FROM fieldstation.todos; SELECT count(*) FROM pg_class \
                 WHERE relname = 'fieldstation_migrations' AND relnamespace = 'public'::regnamespace";
    assert_eq!(database.sql(there), "old\nnew\n0\n");
    // A second server and a restarted server use the same schema.
    let second = Server::with_args(&["--todos", &url]);
    assert_eq!(titles(&second.client()).await, ["new"]);
    let server = server.restart();
    assert_eq!(titles(&server.client()).await, ["new"]);
}

#[test]
fn every_other_relation_with_a_needed_name_is_reported() {
    let has_made_tables = |database: &Database| {
        let server = Server::with_args(&["--todos", &database.url()]);
        drop(server);
    };
    let shapes: [(&str, bool, &[&str]); 11] = [
        (
            "CREATE TABLE todos (id uuid, what text)",
            false,
            &[
                "a table of another program",
                "id uuid, what text",
                "?schema=",
            ],
        ),
        (
            "CREATE TABLE t (id int, title text); CREATE VIEW todos AS SELECT * FROM t",
            false,
            &["a view of another program", "?schema="],
        ),
        ("CREATE SEQUENCE todos", false, &["a sequence", "?schema="]),
        (
            "CREATE TYPE todos AS ENUM ('a')",
            false,
            &["a type", "?schema="],
        ),
        (
            "CREATE TABLE t (id int); CREATE INDEX todos_in_order ON t (id)",
            false,
            &["todos_in_order", "an index on t", "?schema="],
        ),
        (
            "CREATE TABLE fieldstation_migrations (version int)",
            false,
            &["fieldstation_migrations", "?schema="],
        ),
        (
            "DROP TABLE todos",
            true,
            &["missing", "fieldstation_migrations", "backup"],
        ),
        (
            "ALTER TABLE todos DROP COLUMN title_folded",
            true,
            &["lacks columns", "title_folded text", "backup"],
        ),
        (
            "DROP TABLE fieldstation_migrations",
            true,
            &["fieldstation_migrations", "missing", "restore"],
        ),
        (
            "UPDATE fieldstation_migrations SET success = false WHERE version = 1",
            true,
            &["change 1", "not completed"],
        ),
        (
            "UPDATE fieldstation_migrations SET checksum = '\\x00' WHERE version = 2",
            true,
            &["change 2", "edited"],
        ),
    ];
    for (sql, after_ours, words) in shapes {
        let database = Database::new();
        if after_ours {
            has_made_tables(&database);
        }
        database.sql(sql);
        assert_reported(&start_error(&database.url()), words);
    }
}

#[test]
fn missing_rights_are_reported_with_the_grant() {
    // The default since PostgreSQL 15.
    let database = Database::new();
    database.sql("REVOKE CREATE ON SCHEMA public FROM PUBLIC");
    let (user, url) = create_user(&database, "");
    assert_reported(
        &start_error(&url),
        &[
            "may not make tables",
            "GRANT CREATE ON SCHEMA public TO",
            &user,
            "?schema=",
        ],
    );
    let elsewhere = format!("{url}&schema=station");
    assert_reported(
        &start_error(&elsewhere),
        &[
            "no schema station",
            "CREATE SCHEMA \"station\" AUTHORIZATION",
            &user,
        ],
    );
    database.sql("CREATE SCHEMA station");
    assert_reported(
        &start_error(&elsewhere),
        &["may not use", "GRANT USAGE, CREATE ON SCHEMA station"],
    );
    database.sql(&format!("GRANT USAGE, CREATE ON SCHEMA station TO {user}"));
    drop(Server::with_args(&["--todos", &elsewhere]));
    drop_user(&database, &user);
}

#[tokio::test]
async fn a_user_who_may_only_read_and_write_existing_tables_is_sufficient() {
    let database = Database::new();
    drop(Server::with_args(&["--todos", &database.url()]));
    let (user, url) = create_user(
        &database,
        "GRANT SELECT ON fieldstation_migrations TO {user}; GRANT SELECT, INSERT, UPDATE ON todos TO {user}",
    );
    assert_reported(
        &start_error(&url),
        &["lacks rights", "GRANT DELETE ON public.todos TO"],
    );
    database.sql(&format!("GRANT DELETE ON todos TO {user}"));
    let server = Server::with_args(&["--todos", &url]);
    add(&server.client(), "a").await.with_status(201);
    drop(server);
    // Only the owner can update tables of an older version.
    database.sql("DELETE FROM fieldstation_migrations WHERE version = 2; DROP TABLE todos_moved; ALTER TABLE todos DROP COLUMN number");
    database.sql(&format!("GRANT CREATE ON SCHEMA public TO {user}"));
    assert_reported(&start_error(&url), &["belong to postgres", "OWNER TO"]);
    drop_user(&database, &user);
}

#[tokio::test]
async fn tables_of_an_older_version_are_updated_while_that_version_still_writes() {
    let database = Database::new();
    drop(Server::with_args(&["--todos", &database.url()]));
    database.sql("DELETE FROM fieldstation_migrations WHERE version = 2; DROP TABLE todos_moved; ALTER TABLE todos DROP COLUMN number");
    // An insert of the older version.
    let insert = |number: u32| {
        database.sql(&format!(
            "INSERT INTO todos (id, title, title_folded, description, description_folded, deadline, status, created_at, updated_at)
             VALUES ('00000000-0000-7000-8000-{number:012}', '{number}', '{number}', '', '', 9223372036854775807, 'pending', {number}, {number})"
        ));
    };
    insert(1);
    insert(2);
    let server = Server::with_args(&["--todos", &database.url()]);
    insert(3);
    let list = server
        .client()
        .get("/request")
        .await
        .with_status(200)
        .json();
    let numbers: Vec<i64> = list["res"]
        .as_array()
        .unwrap()
        .iter()
        .map(|todo| todo["id"].as_i64().unwrap())
        .collect();
    assert_eq!(numbers, [268_435_456, 268_435_457, 268_435_458]);
}

#[tokio::test]
async fn a_database_with_another_encoding_is_reported() {
    let database = Database::new();
    let name = format!("{}_ascii", database.name());
    database.sql_elsewhere(&format!(
        "CREATE DATABASE {name} ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
    ));
    let url = database.url().replace(database.name(), &name);
    let exited = start_error(&url);
    database.sql_elsewhere(&format!("DROP DATABASE {name} WITH (FORCE)"));
    assert_reported(&exited, &["SQL_ASCII", "ENCODING 'UTF8'"]);
}

#[tokio::test]
async fn a_server_waits_for_a_read_only_database_without_tables() {
    let database = Database::new();
    let name = database.name();
    database.sql_elsewhere(&format!(
        "ALTER DATABASE {name} SET default_transaction_read_only = on"
    ));
    let server = Server::with_args(&["--todos", &database.url()]);
    let client = server.client();
    client.get("/api/todos").await.problem_saying(
        503,
        "unavailable",
        &["takes no writes", "not made yet"],
    );
    database.sql_elsewhere(&format!(
        "ALTER DATABASE {name} SET default_transaction_read_only = off"
    ));
    let begin = std::time::Instant::now();
    while add(&client, "a").await.status != 201 {
        assert!(begin.elapsed().as_secs() < 10, "{}", server.log());
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_todos_table_earlier_in_the_search_path_is_ignored() {
    let database = Database::new();
    let server = Server::with_args(&["--todos", &database.url()]);
    add(&server.client(), "ours").await.with_status(201);
    drop(server);
    // The search path has the schema of the user's name before public.
    database.sql("CREATE SCHEMA postgres; CREATE TABLE postgres.todos (id int)");
    database.sql_elsewhere(&format!(
        "ALTER DATABASE {} SET search_path = postgres, public",
        database.name()
    ));
    let server = Server::with_args(&["--todos", &database.url()]);
    assert_eq!(titles(&server.client()).await, ["ours"]);
}

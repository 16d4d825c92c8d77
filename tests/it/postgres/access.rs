//! The configuration of PostgreSQL, and access to PostgreSQL.

use std::fs;
use std::sync::Arc;

use serde_json::{Value, json};

use super::{add, titles};
use crate::support::{Database, Exited, Server, run};

/// Starts a server in a directory with this `manifest.json`.
fn with_manifest(text: &str, arguments: &[&str]) -> Result<Server, Exited> {
    let directory = Arc::new(tempfile::tempdir().unwrap());
    fs::write(directory.path().join("manifest.json"), text).unwrap();
    Server::try_in(&directory, arguments)
}

#[tokio::test]
async fn the_manifest_configures_the_database() {
    let database = Database::new();
    let manifest = database.manifest().to_string();
    let server = with_manifest(&manifest, &[]).unwrap();
    add(&server.client(), "in PostgreSQL")
        .await
        .with_status(201);
    assert_eq!(
        database.sql("SELECT title FROM todos").trim(),
        "in PostgreSQL"
    );
    for password in database.passwords() {
        assert!(!server.log().contains(password), "{}", server.log());
    }
    drop(server);

    // A URL has precedence over the file.
    let server = with_manifest(&manifest, &["--todos", "sqlite:"]).unwrap();
    assert!(titles(&server.client()).await.is_empty());
    assert_eq!(database.sql("SELECT count(*) FROM todos").trim(), "1");
    drop(server);

    let mut secure = database.manifest();
    secure["database_server_host"] = json!("localhost");
    secure["sslmode"] = json!("verify-full");
    secure["sslrootcert"] = json!(database.certificate_authority());
    let server = with_manifest(&secure.to_string(), &[]).unwrap();
    assert_eq!(titles(&server.client()).await, ["in PostgreSQL"]);
}

#[test]
fn a_mistake_in_the_manifest_is_a_configuration_error() {
    let whole = json!({
        "database_server_host": "127.0.0.1", "database_server_port": 1, "database": "d", "db_user": "u",
        "db_password": "s3cret",
    });
    let with = |key: &str, value: Value| {
        let mut manifest = whole.clone();
        manifest[key] = value;
        manifest.to_string()
    };
    for (text, words) in [
        ("{".to_owned(), "JSON"),
        ("[]".to_owned(), "object"),
        ("{}".to_owned(), "database_server_host"),
        (
            with("database_server_host", json!(7)),
            "database_server_host",
        ),
        (
            with("database_server_port", json!("x")),
            "database_server_port",
        ),
        (with("database", Value::Null), "database"),
        (with("db_user", json!("")), "db_user"),
        (with("db_password", json!(["s3cret"])), "db_password"),
        (with("sslmode", json!("maybe")), "sslmode"),
        (with("schema", json!(7)), "schema"),
        (with("schema", json!("pg_catalog")), "schema"),
        (with("pgbouncer", json!("yes")), "pgbouncer"),
        (with("sslrootcert", json!("/no/such/file")), "/no/such/file"),
    ] {
        let exited = with_manifest(&text, &[]).expect_err("it starts");
        assert_eq!(exited.code, Some(2), "{text}: {}", exited.output);
        assert!(exited.output.contains("manifest.json"), "{}", exited.output);
        assert!(exited.output.contains(words), "{words}: {}", exited.output);
        assert!(!exited.output.contains("s3cret"), "{}", exited.output);
    }
}

#[test]
fn a_mistake_in_the_url_is_a_configuration_error() {
    let directory = tempfile::tempdir().unwrap();
    for (url, words) in [
        ("postgres://ann:s3cret@host", "database"),
        ("postgres://ann:s3cret/x@host/todos", "%2F"),
        (
            "postgres://ann:s3cret@host/todos?sslmode=allow",
            "verify-full",
        ),
        ("postgres://ann:s3cret@host/todos?colour=red", "sslmode"),
        ("mysql://ann:s3cret@host/todos", "postgres:"),
        ("sqlite:elsewhere", "--data"),
    ] {
        let exited = run(directory.path(), &["serve", "--todos", url]);
        assert_eq!(exited.code, Some(2), "{url}: {}", exited.output);
        assert!(exited.output.contains(words), "{words}: {}", exited.output);
        assert!(!exited.output.contains("s3cret"), "{}", exited.output);
    }
}

#[test]
fn a_server_without_access_does_not_start() {
    let database = Database::new();
    let elsewhere = database.url().replace(database.name(), "no_such_database");
    for (url, words) in [
        (
            database.url_for("postgres", "wr0ng"),
            "password authentication",
        ),
        (elsewhere, "no_such_database"),
    ] {
        let directory = Arc::new(tempfile::tempdir().unwrap());
        let started = Server::try_in(&directory, &["--todos", &url]);
        let exited = started.expect_err("it starts");
        assert_eq!(exited.code, Some(3), "{}", exited.output);
        assert!(exited.output.contains(words), "{}", exited.output);
        assert!(!exited.output.contains("wr0ng"), "{}", exited.output);
        for password in database.passwords() {
            assert!(!exited.output.contains(password), "{}", exited.output);
        }
    }
}

#[tokio::test]
async fn sslmode_decides_about_encryption() {
    let database = Database::new();
    let authority = database.certificate_authority();
    let authority = format!("&sslrootcert={}", authority.display());
    let localhost = |parameters: &str| database.url_at_localhost(parameters);
    let address = |parameters: &str| database.url_at(&database.address(), parameters);
    let encrypted = "SELECT DISTINCT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                     WHERE application_name = 'fieldstation' AND datname = current_database()";
    for (url, expected) in [
        (address(""), "t"),
        (address("?sslmode=disable"), "f"),
        (address("?sslmode=prefer"), "t"),
        (address("?sslmode=require"), "t"),
        (address(&format!("?sslmode=verify-ca{authority}")), "t"),
        (localhost(&format!("?sslmode=verify-full{authority}")), "t"),
    ] {
        let server = Server::with_args(&["--todos", &url]);
        titles(&server.client()).await;
        assert_eq!(database.sql(encrypted).trim(), expected, "{url}");
    }
    for url in [
        // The issuer of the certificate is unknown.
        localhost("?sslmode=verify-full"),
        localhost("?sslmode=verify-ca"),
        // The certificate is for another name.
        address(&format!("?sslmode=verify-full{authority}")),
    ] {
        let directory = Arc::new(tempfile::tempdir().unwrap());
        let started = Server::try_in(&directory, &["--todos", &url]);
        let exited = started.expect_err("it starts");
        assert_eq!(exited.code, Some(3), "{}", exited.output);
        assert!(exited.output.contains("certificate"), "{}", exited.output);
    }
}

#[tokio::test]
async fn a_user_without_the_right_to_add_extensions_can_still_search() {
    let database = Database::new();
    let user = format!("clerk_{}", database.name());
    database.sql(&format!(
        "SET password_encryption = 'scram-sha-256'; CREATE ROLE {user} LOGIN PASSWORD 'clerk'; GRANT CREATE, USAGE ON SCHEMA public TO {user}"
    ));
    let server = Server::with_args(&["--todos", &database.url_for(&user, "clerk")]);
    let client = server.client();
    add(&client, "Water the plants").await.with_status(201);
    let found = client.get("/api/todos?text=PLANT").await.json();
    assert_eq!(found["todos"].as_array().unwrap().len(), 1);
    let extensions = database.sql("SELECT count(*) FROM pg_extension WHERE extname = 'pg_trgm'");
    assert_eq!(extensions.trim(), "0");
    drop(server);
    database.sql(&format!("DROP OWNED BY {user}; DROP ROLE {user}"));
}

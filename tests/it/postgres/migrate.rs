//! Todos of a server move between SQLite and PostgreSQL, in both directions.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{add, change};
use crate::support::{Answer, Client, Database, Exited, Server, run};

fn migrate(from: &str, to: &str, data: &std::path::Path) -> Exited {
    let directory = tempfile::tempdir().unwrap();
    let data = data.to_str().unwrap();
    run(
        directory.path(),
        &["migrate", "--from", from, "--to", to, "--data", data],
    )
}

/// All todos of a server, by number.
async fn all_todos(client: &Client) -> BTreeMap<i64, Value> {
    let list = client.get("/request").await.with_status(200).json();
    let mut all = BTreeMap::new();
    for todo in list["res"].as_array().unwrap() {
        let number = todo["id"].as_i64().unwrap();
        let whole = client.get(&format!("/api/todos/{number}")).await;
        all.insert(number, whole.with_status(200).json());
    }
    all
}

#[tokio::test]
async fn todos_move_to_postgresql_and_back_unchanged() {
    let server = Server::start();
    let client = server.client();
    for number in 0..30 {
        let made = add(&client, &format!("todo {number}"))
            .await
            .with_status(201);
        let path = made.header("location").unwrap();
        match number % 3 {
            0 => {
                let done = json!({"status":"completed","deadline":"0001-01-01T00:00Z","description":"é 💡\n"});
                change(&client, path, None, done).await.with_status(200);
            }
            1 if number % 2 == 0 => {
                Answer::to(client.request("DELETE", path))
                    .await
                    .with_status(204);
            }
            _ => {}
        }
    }
    let before = all_todos(&client).await;
    assert_eq!(before.len(), 25);
    let (directory, data) = (server.directory().clone(), server.data());
    // A directory in use cannot be the source.
    let database = Database::new();
    let url = database.url();
    let held = migrate("sqlite:", &url, &data);
    assert_eq!(held.code, Some(3), "{}", held.output);
    assert_eq!(server.stop().code, Some(0));

    let moved = migrate("sqlite:", &url, &data);
    assert_eq!(moved.code, Some(0), "{}", moved.output);
    assert!(
        moved.output.contains("The same on both sides."),
        "{}",
        moved.output
    );
    let shared = Server::with_args(&["--todos", &url]);
    assert_eq!(all_todos(&shared.client()).await, before);
    // New todos have larger numbers than the imported todos.
    add(&shared.client(), "there").await.with_status(201);
    let with_new = all_todos(&shared.client()).await;
    assert_eq!(with_new.len(), 26);
    assert_eq!(with_new.last_key_value().unwrap().1["title"], "there");

    // Back into another directory while the server runs.
    let empty = std::sync::Arc::new(tempfile::tempdir().unwrap());
    let copy = empty.path().join("data");
    let moved = migrate(&url, "sqlite:", &copy);
    assert_eq!(moved.code, Some(0), "{}", moved.output);
    let other = Server::try_in(&empty, &[]).unwrap();
    assert_eq!(all_todos(&other.client()).await, with_new);
    drop(other);

    // Back into the first directory: only new and changed todos are imported.
    let (number, todo) = before.first_key_value().unwrap();
    let path = format!("/api/todos/{number}");
    change(&shared.client(), &path, None, json!({"title":"theirs"}))
        .await
        .with_status(200);
    let moved = migrate(&url, "sqlite:", &data);
    // An import never overwrites a todo that was not imported from this store.
    assert_eq!(moved.code, Some(1), "{}", moved.output);
    assert!(moved.output.contains("1 added"), "{}", moved.output);
    assert!(
        moved
            .output
            .contains("1 changed here since they were copied"),
        "{}",
        moved.output
    );
    let server = Server::try_in(&directory, &[]).unwrap();
    let after = all_todos(&server.client()).await;
    assert_eq!(after.len(), 26);
    assert_eq!(&after[number], todo);
}

#[tokio::test]
async fn todos_move_from_one_database_to_another() {
    let (one, other) = (Database::new(), Database::new());
    let server = Server::with_args(&["--todos", &one.url()]);
    for title in ["a", "b"] {
        add(&server.client(), title).await.with_status(201);
    }
    let there = Server::with_args(&["--todos", &other.url()]);
    let made = add(&there.client(), "c").await.with_status(201);
    let nowhere = tempfile::tempdir().unwrap();
    let moved = migrate(&one.url(), &other.url(), nowhere.path());
    assert_eq!(moved.code, Some(0), "{}", moved.output);
    // The first numbers of both stores are the same.
    assert!(
        moved.output.contains("1 have another number here"),
        "{}",
        moved.output
    );
    assert!(moved.output.contains("holds more"), "{}", moved.output);
    assert_eq!(all_todos(&there.client()).await.len(), 3);
    let path = made.header("location").unwrap();
    there.client().get(path).await.with_status(200);
    let again = migrate(&one.url(), &other.url(), nowhere.path());
    assert!(again.output.contains("  0 added"), "{}", again.output);
    assert_eq!(again.code, Some(0), "{}", again.output);
}

//! Imports the todos of the older todo app to PostgreSQL and to SQLite, and compares each field with the oracle.

use std::process::{Command, Stdio};
use std::time::Instant;

use super::existing_tables::OLDER_TABLE;
use super::older_oracle::{
    OLD_ROWS, assert_complete, expected, in_postgres, in_sqlite, older_database,
};
use super::{add, change};
use crate::support::{Database, Exited, Server, run, setting};

/// The number of todos, unless `FIELDSTATION_TEST_TODOS` is set.
const TODOS: u64 = 2_000;

fn migrate(arguments: &[&str]) -> Exited {
    let directory = tempfile::tempdir().unwrap();
    let mut all = vec!["migrate"];
    all.extend(arguments);
    run(directory.path(), &all)
}

#[test]
fn the_todos_of_the_older_app_are_imported_exactly() {
    let count = setting("FIELDSTATION_TEST_TODOS").unwrap_or(TODOS);
    let database = older_database(count);
    let expected = expected(&database);
    let before = database.sql(OLD_ROWS);
    assert_eq!(expected.len() as u64, count);
    assert!(expected.values().any(|parts| parts.len() == 3));

    // Into a schema of the same database, with the command from the message of the server.
    let url = format!("{}&schema=fieldstation", database.url());
    let begin = Instant::now();
    let moved = migrate(&["--from", &database.url(), "--to", &url]);
    println!(
        "{count} to PostgreSQL in {:?}\n{}",
        begin.elapsed(),
        moved.output
    );
    assert_eq!(moved.code, Some(0), "{}", moved.output);
    assert_complete(&expected, in_postgres(&database, "fieldstation"));

    // Into a data directory.
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let to_sqlite = || {
        let data = data.to_str().unwrap();
        migrate(&["--from", &database.url(), "--to", "sqlite:", "--data", data])
    };
    let begin = Instant::now();
    let moved = to_sqlite();
    println!("{count} to SQLite in {:?}", begin.elapsed());
    assert_eq!(moved.code, Some(0), "{}", moved.output);
    assert_complete(&expected, in_sqlite(&data));

    // The report names the differences.
    for words in [
        "\"Done\" became completed",
        "\"maybe\" became pending",
        "(nothing) became pending",
        "had no title",
        "white space around the title",
        "title over 200 characters",
        "control characters in the description",
        "over 10,000 characters",
        "outside the years 1 to 9999",
        "The same on both sides.",
    ] {
        assert!(moved.output.contains(words), "{words}: {}", moved.output);
    }
    assert!(!moved.output.contains("\"pending\" became"));

    // Another import changes nothing in any store.
    for again in [
        migrate(&["--from", &database.url(), "--to", &url]),
        to_sqlite(),
    ] {
        assert_eq!(again.code, Some(0), "{}", again.output);
        assert!(again.output.contains("  0 added"), "{}", again.output);
    }
    assert_complete(&expected, in_postgres(&database, "fieldstation"));
    assert_complete(&expected, in_sqlite(&data));
    assert_eq!(database.sql(OLD_ROWS), before);
}

/// The number of todos in the schema of the import.
fn imported(database: &Database) -> usize {
    let exists = "SELECT to_regclass('fieldstation.todos') IS NOT NULL";
    if database.sql(exists).trim() != "t" {
        return 0;
    }
    let count = database.sql("SELECT count(*) FROM fieldstation.todos");
    count.trim().parse().unwrap()
}

#[test]
fn an_interrupted_import_can_be_repeated() {
    let database = older_database(1_500);
    let expected = expected(&database);
    let url = format!("{}&schema=fieldstation", database.url());
    let mut cut = 0;
    for copied in [0, 200, 500, 800, 1_100, 1_400] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_fieldstation"))
            .args(["migrate", "--from", &database.url(), "--to", &url])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Interrupts the import after this number of copied todos.
        while child.try_wait().unwrap().is_none() && imported(&database) <= copied {}
        cut += usize::from(child.try_wait().unwrap().is_none());
        let _ = child.kill();
        child.wait().unwrap();
    }
    assert!(cut > 0, "no import was interrupted");
    let moved = migrate(&["--from", &database.url(), "--to", &url]);
    assert_eq!(moved.code, Some(0), "{}", moved.output);
    assert_complete(&expected, in_postgres(&database, "fieldstation"));
}

#[tokio::test]
async fn after_an_import_numbers_work_in_links_and_both_stores_may_change() {
    let database = Database::new();
    database.sql(OLDER_TABLE);
    database.sql(
        "INSERT INTO todos SELECT n, 'old ' || n, 'd', '2025-03-01 10:00', 'Done' FROM generate_series(1, 6) AS n",
    );
    let manifest = {
        let mut manifest = database.manifest();
        manifest["schema"] = serde_json::json!("fieldstation");
        manifest
    };
    let directory = std::sync::Arc::new(tempfile::tempdir().unwrap());
    std::fs::write(directory.path().join("manifest.json"), manifest.to_string()).unwrap();
    // Both programs read the same file. The file configures the source and the target.
    let again = || {
        run(
            directory.path(),
            &["migrate", "--from", "manifest:", "--to", "manifest:"],
        )
    };
    let moved = again();
    assert_eq!(moved.code, Some(0), "{}", moved.output);
    for password in database.passwords() {
        assert!(!moved.output.contains(password));
    }

    let server = Server::try_in(&directory, &[]).unwrap();
    let client = server.client();
    let todo = client.get("/api/todos/3").await.with_status(200).json();
    assert_eq!(
        (&todo["title"], &todo["status"]),
        (&"old 3".into(), &"completed".into())
    );
    assert_eq!(todo["deadline"], "2025-03-01T10:00:00Z");
    let made = add(&client, "new").await.with_status(201);
    let list = client.get("/request").await.json();
    assert_eq!(list["number_of_todos"], 7);
    assert_eq!(list["res"][6]["id"], 1 << 28);
    assert_eq!(list["res"][2]["deadline"], "Sat, 01 Mar 2025 10:00:00 GMT");

    // In the server, todos 1 and 2 are changed and 4 is removed. In the older app, 2, 3 and 4 are changed, 5 is removed, 8 is new.
    for path in ["/api/todos/1", "/api/todos/2"] {
        let mine = serde_json::json!({"title": "mine"});
        change(&client, path, None, mine).await.with_status(200);
    }
    let request = client.request("DELETE", "/api/todos/4");
    crate::support::Answer::to(request).await.with_status(204);
    database.sql("UPDATE public.todos SET title = 'theirs' WHERE id IN (2, 3, 4); DELETE FROM public.todos WHERE id = 5; INSERT INTO public.todos VALUES (8, 'late')");
    let second = again();
    assert_eq!(second.code, Some(1), "{}", second.output);
    for words in [
        "1 added",
        "1 changed there since they were copied",
        "2 changed here since they were copied: left as they are here: 1, 2",
        "1 removed here since they were copied: not brought back: 4",
        "3 DIFFERENT: 1, 2, 4",
    ] {
        assert!(second.output.contains(words), "{words}: {}", second.output);
    }
    let list = client.get("/request").await.json();
    let titles: Vec<&str> = list["res"]
        .as_array()
        .unwrap()
        .iter()
        .map(|todo| todo["title"].as_str().unwrap())
        .collect();
    assert_eq!(
        titles,
        ["mine", "mine", "theirs", "old 5", "old 6", "late", "new"]
    );
    let path = made.header("location").unwrap();
    client.get(path).await.with_status(200);
}

#[test]
fn a_source_without_todos_is_reported() {
    let database = Database::new();
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let data = data.to_str().unwrap();
    let to_sqlite = |url: &str| migrate(&["--from", url, "--to", "sqlite:", "--data", data]);
    let assert_error = |url: &str, words: &[&str]| {
        let exited = to_sqlite(url);
        assert!(matches!(exited.code, Some(2 | 3)), "{}", exited.output);
        for word in words {
            assert!(exited.output.contains(word), "{word}: {}", exited.output);
        }
        assert!(
            !exited.output.contains("error returned"),
            "{}",
            exited.output
        );
    };
    let url = database.url();
    assert_error(&url, &["no table todos"]);
    database.sql("CREATE TABLE todos (id int, what text)");
    assert_error(&url, &["neither the older app's", "what text"]);
    database.sql("DROP TABLE todos; CREATE TABLE todos (id int, title text, description text, deadline timestamp, status text); INSERT INTO todos VALUES (1), (1), (NULL)");
    assert_error(
        &url,
        &["1 rows without an id, and 1 with an id that another row has"],
    );
    database.sql("DROP TABLE todos; CREATE SCHEMA a; CREATE SCHEMA b");
    for schema in ["a", "b"] {
        database.sql(&OLDER_TABLE.replace("todos", &format!("{schema}.todos")));
    }
    assert_error(&url, &["several tables todos", "a, b", "?schema="]);
    let chosen = to_sqlite(&format!("{url}&schema=b"));
    assert_eq!(chosen.code, Some(0), "{}", chosen.output);
    // The table of the older app cannot be the target.
    let url = format!("{url}&schema=a");
    let exited = migrate(&[
        "--from",
        &format!("{}&schema=b", database.url()),
        "--to",
        &url,
    ]);
    assert_eq!(exited.code, Some(3), "{}", exited.output);
    assert!(
        exited.output.contains("another program"),
        "{}",
        exited.output
    );
}

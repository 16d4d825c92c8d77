//! The older todo app's data, in its own shape, moved to PostgreSQL and to SQLite, and compared field by field with what it was.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use serde_json::Value;

use super::foreign::OLDER_TABLE;
use super::{add, change};
use crate::support::{Database, Exited, Server, run, setting};

/// How many todos there are, unless `FIELDSTATION_TEST_TODOS` says.
const TODOS: u64 = 2_000;

/// What the older app's table may hold: ids of 28 bits that look random (none twice, since the factor is odd), nulls, free words, times of all sorts.
const FILL: &str = r#"
SELECT setseed(0.25);
INSERT INTO todos
SELECT id,
    CASE WHEN a < 2 THEN NULL WHEN a < 4 THEN '' WHEN a < 6 THEN '  padded ' || n || ' '
        WHEN a < 8 THEN repeat('läng ', 50) || n WHEN a < 9 THEN E'two\nlines\x07 ' || n WHEN a < 10 THEN E'\t'
        ELSE 'Título 💡 "' || n || '"' END,
    CASE WHEN b < 10 THEN NULL WHEN b < 12 THEN E'bell\x07 ' || n WHEN b < 13 THEN repeat('0123456789é', 2100) || n
        ELSE E'more\r\n\tof ' || n END,
    CASE WHEN c < 20 THEN NULL WHEN c < 21 THEN 'infinity' WHEN c < 22 THEN '-infinity' WHEN c < 23 THEN '0044-03-15 12:00 BC'
        WHEN c < 24 THEN '12000-01-01' WHEN c < 25 THEN '0001-01-01' WHEN c < 26 THEN '9999-12-31 23:59:59.999999'
        ELSE timestamp '1999-12-31 23:59:59.5' + random() * interval '9000 days' END,
    (ARRAY['pending', 'in progress', 'completed', 'Done', 'In-Progress', 'in_progress', 'todo', 'WIP', NULL, '', 'maybe'])[1 + d::int]
FROM (
    SELECT n, (n * 2654435761 % 268435456)::int AS id, random() * 100 AS a, random() * 100 AS b, random() * 100 AS c,
        floor(random() * 11) AS d
    FROM generate_series(1::bigint, COUNT) AS n
) AS rows;
"#;

const OLD_ROWS: &str = "SELECT row_to_json(rows) FROM (
    SELECT id, title, description, status, deadline::text AS deadline_text, extract(epoch FROM deadline)::text AS seconds
    FROM public.todos ORDER BY id) AS rows";

/// A todo of either side, as far as both know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fields {
    title: String,
    description: String,
    /// Microseconds since 1970.
    deadline: Option<i64>,
    status: String,
}

/// An empty database with the older app's table in it.
fn older(count: u64) -> Database {
    let database = Database::new();
    database.sql(OLDER_TABLE);
    database.sql(&FILL.replace("COUNT", &count.to_string()));
    database
}

fn migrate(arguments: &[&str]) -> Exited {
    let directory = tempfile::tempdir().unwrap();
    let mut all = vec!["migrate"];
    all.extend(arguments);
    run(directory.path(), &all)
}

/// What each row is to become, worked out by itself: by number, and in parts where it is long.
fn expected(database: &Database) -> BTreeMap<i64, Vec<Fields>> {
    let rows = database.sql(OLD_ROWS);
    let rows = rows
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    rows.map(|row| (row["id"].as_i64().unwrap(), expected_of(&row)))
        .collect()
}

fn expected_of(row: &Value) -> Vec<Fields> {
    let text = |key: &str| row[key].as_str().unwrap_or_default();
    let visible = |text: &str| text.replace('\u{7}', "\\x07");
    let (title, description) = (text("title"), text("description"));
    let mut before = String::new();
    let has_controls = title.chars().any(char::is_control);
    let line: String = title.replace(['\n', '\t', '\u{7}'], " ").trim().to_owned();
    let short: String = if line.is_empty() {
        "(no title)".to_owned()
    } else if line.chars().count() > 200 {
        let short: String = line.chars().take(199).collect();
        format!("{}…", short.trim_end())
    } else {
        line.clone()
    };
    if has_controls || line.chars().count() > 200 {
        before += &visible(title);
    }
    // PostgreSQL counts from the year 0 of astronomers: only the text tells what is outside.
    let seconds = row["seconds"].as_str();
    let deadline_text = row["deadline_text"].as_str();
    let is_outside = deadline_text.is_some_and(|text| {
        text.contains("infinity") || text.contains("BC") || text.starts_with("12000")
    });
    let deadline = seconds.filter(|_| !is_outside).map(|seconds| {
        let (whole, part) = seconds.split_once('.').unwrap_or((seconds, ""));
        let micros: i64 = format!("{part:0<6}").parse().unwrap();
        let sign = if whole.starts_with('-') { -1 } else { 1 };
        whole.parse::<i64>().unwrap() * 1_000_000 + sign * micros
    });
    if is_outside {
        if !before.is_empty() {
            before.push('\n');
        }
        before += &format!("Deadline: {}", deadline_text.unwrap());
    }
    if !before.is_empty() && !description.is_empty() {
        before += "\n\n";
    }
    let whole: Vec<char> = (before + &visible(description)).chars().collect();
    let status = match text("status") {
        "completed" | "Done" => "completed",
        "in progress" | "In-Progress" | "in_progress" | "WIP" => "in progress",
        _ => "pending",
    };
    let parts = whole.len().div_ceil(10_000).max(1);
    (0..parts)
        .map(|part| Fields {
            title: match part {
                0 => short.clone(),
                _ if short.chars().count() > 196 => {
                    let cut: String = short.chars().take(195).collect();
                    format!("{}… ({})", cut.trim_end(), part + 1)
                }
                _ => format!("{short} ({})", part + 1),
            },
            description: whole.iter().skip(part * 10_000).take(10_000).collect(),
            deadline,
            status: status.to_owned(),
        })
        .collect()
}

/// What is in the tables of a server, by number.
fn in_postgres(database: &Database, schema: &str) -> BTreeMap<i64, Fields> {
    let rows = database.sql(&format!(
        "SELECT row_to_json(todos) FROM {schema}.todos ORDER BY number"
    ));
    let rows = rows
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    rows.map(|row| {
        let text = |key: &str| row[key].as_str().unwrap().to_owned();
        let fields = Fields {
            title: text("title"),
            description: text("description"),
            deadline: row["deadline"]
                .as_i64()
                .filter(|micros| *micros != i64::MAX),
            status: text("status"),
        };
        (row["number"].as_i64().unwrap(), fields)
    })
    .collect()
}

fn in_sqlite(data: &std::path::Path) -> BTreeMap<i64, Fields> {
    let connection = Connection::open(data.join("station.db")).unwrap();
    let mut statement = connection
        .prepare("SELECT number, title, description, deadline, status FROM todos")
        .unwrap();
    let rows = statement.query_map([], |row| {
        let deadline: i64 = row.get(3)?;
        let fields = Fields {
            title: row.get(1)?,
            description: row.get(2)?,
            deadline: Some(deadline).filter(|micros| *micros != i64::MAX),
            status: row.get(4)?,
        };
        Ok((row.get(0)?, fields))
    });
    rows.unwrap().map(Result::unwrap).collect()
}

/// Field by field: each row with its number, and what it goes on in with numbers above.
#[track_caller]
fn assert_whole(expected: &BTreeMap<i64, Vec<Fields>>, mut found: BTreeMap<i64, Fields>) {
    let mut further = Vec::new();
    for (number, parts) in expected {
        let here = found.remove(number);
        assert_eq!(here.as_ref(), parts.first(), "{number}");
        further.extend(parts[1..].iter().cloned());
    }
    assert!(found.keys().all(|number| *number >= 1 << 28));
    let mut found: Vec<Fields> = found.into_values().collect();
    let key = |fields: &Fields| (fields.title.clone(), fields.description.clone());
    found.sort_by_key(key);
    further.sort_by_key(key);
    assert_eq!(found, further);
}

#[test]
fn the_older_apps_todos_come_over_to_the_last_digit() {
    let count = setting("FIELDSTATION_TEST_TODOS").unwrap_or(TODOS);
    let database = older(count);
    let expected = expected(&database);
    let before = database.sql(OLD_ROWS);
    assert_eq!(expected.len() as u64, count);
    assert!(expected.values().any(|parts| parts.len() == 3));

    // Into a schema of the same database, by the command that the server names.
    let url = format!("{}&schema=fieldstation", database.url());
    let begin = Instant::now();
    let moved = migrate(&["--from", &database.url(), "--to", &url]);
    println!(
        "{count} to PostgreSQL in {:?}\n{}",
        begin.elapsed(),
        moved.output
    );
    assert_eq!(moved.code, Some(0), "{}", moved.output);
    assert_whole(&expected, in_postgres(&database, "fieldstation"));

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
    assert_whole(&expected, in_sqlite(&data));

    // The report names what is other than it was.
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

    // Once more nothing is other than it was, on any side.
    for again in [
        migrate(&["--from", &database.url(), "--to", &url]),
        to_sqlite(),
    ] {
        assert_eq!(again.code, Some(0), "{}", again.output);
        assert!(again.output.contains("  0 added"), "{}", again.output);
    }
    assert_whole(&expected, in_postgres(&database, "fieldstation"));
    assert_whole(&expected, in_sqlite(&data));
    assert_eq!(database.sql(OLD_ROWS), before);
}

#[tokio::test]
async fn a_move_that_is_broken_off_goes_on_where_it_was() {
    let database = older(1_500);
    let expected = expected(&database);
    let url = format!("{}&schema=fieldstation", database.url());
    let mut cut = 0;
    for milliseconds in [300, 500, 700, 900, 1_200, 1_500] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_fieldstation"))
            .args(["migrate", "--from", &database.url(), "--to", &url])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
        cut += usize::from(child.try_wait().unwrap().is_none());
        let _ = child.kill();
        child.wait().unwrap();
    }
    assert!(cut > 0, "it was never broken off");
    let moved = migrate(&["--from", &database.url(), "--to", &url]);
    assert_eq!(moved.code, Some(0), "{}", moved.output);
    assert_whole(&expected, in_postgres(&database, "fieldstation"));
}

#[tokio::test]
async fn numbers_work_in_links_after_the_move_and_both_sides_may_change() {
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
    // The file that both programs read says where from and where to.
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

    // Here 1 and 2 are changed, and 4 is removed; there 2, 3 and 4 are changed, 5 is removed, and 8 is new.
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
fn what_is_not_there_to_move_is_named() {
    let database = Database::new();
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let data = data.to_str().unwrap();
    let to_sqlite = |url: &str| migrate(&["--from", url, "--to", "sqlite:", "--data", data]);
    let refused = |url: &str, words: &[&str]| {
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
    refused(&url, &["no table todos"]);
    database.sql("CREATE TABLE todos (id int, what text)");
    refused(&url, &["neither the older app's", "what text"]);
    database.sql("DROP TABLE todos; CREATE TABLE todos (id int, title text, description text, deadline timestamp, status text); INSERT INTO todos VALUES (1), (1), (NULL)");
    refused(
        &url,
        &["1 rows without an id, and 1 with an id that another one has"],
    );
    database.sql("DROP TABLE todos; CREATE SCHEMA a; CREATE SCHEMA b");
    for schema in ["a", "b"] {
        database.sql(&OLDER_TABLE.replace("todos", &format!("{schema}.todos")));
    }
    refused(&url, &["several tables todos", "a, b", "?schema="]);
    let chosen = to_sqlite(&format!("{url}&schema=b"));
    assert_eq!(chosen.code, Some(0), "{}", chosen.output);
    // Into the table of the older app itself nothing goes.
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

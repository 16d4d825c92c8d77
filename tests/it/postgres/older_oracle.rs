//! The table of the older todo app with values of all kinds. An oracle computes the todos of each row independently.

use std::collections::BTreeMap;

use rusqlite::Connection;
use serde_json::Value;

use super::existing_tables::OLDER_TABLE;
use crate::support::Database;

/// Fills the table: unique pseudo-random ids of 28 bits (the factor is odd), nulls, free text, and times of all kinds.
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

pub(super) const OLD_ROWS: &str = "SELECT row_to_json(rows) FROM (
    SELECT id, title, description, status, deadline::text AS deadline_text, extract(epoch FROM deadline)::text AS seconds
    FROM public.todos ORDER BY id) AS rows";

/// The fields of a todo in both stores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fields {
    title: String,
    description: String,
    /// Microseconds since 1970.
    deadline: Option<i64>,
    status: String,
}

/// A new database with the filled table of the older app.
pub(super) fn older_database(count: u64) -> Database {
    let database = Database::new();
    database.sql(OLDER_TABLE);
    database.sql(&FILL.replace("COUNT", &count.to_string()));
    database
}

/// The expected todos of each row by number. A row with a long description becomes several todos.
pub(super) fn expected(database: &Database) -> BTreeMap<i64, Vec<Fields>> {
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
    // The text shows whether a deadline is outside the years 1 to 9999.
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

/// The todos of a server by number.
pub(super) fn in_postgres(database: &Database, schema: &str) -> BTreeMap<i64, Fields> {
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

pub(super) fn in_sqlite(data: &std::path::Path) -> BTreeMap<i64, Fields> {
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

/// Asserts that each row has a todo with the same number, and that further todos have the rest of long descriptions.
#[track_caller]
pub(super) fn assert_complete(
    expected: &BTreeMap<i64, Vec<Fields>>,
    mut found: BTreeMap<i64, Fields>,
) {
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

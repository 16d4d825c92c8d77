//! Checks `station.db`: the structure of the file, the definitions of the tables, each row, and the number of rows.

use std::time::Duration;

use rusqlite::backup::Backup;
use rusqlite::{Connection, MAIN_DB};

use super::schema::{CHECKSUMS_SINCE, DATABASE, TODOS_SINCE};
use crate::error::StoreError;
use crate::storage::sqlite::checksums;

/// A table with checksums of rows.
struct Table {
    name: &'static str,
    /// The name of a row in messages.
    what: &'static str,
    /// The column that identifies a row in messages.
    key: &'static str,
}

const TODOS: Table = table("todos", "the todo", "id");
const FILES: Table = table("files", "the row of the file of the device", "device");

const TABLES: [Table; 5] = [
    TODOS,
    FILES,
    table("greeting", "the greeting", "word"),
    table("todos_moved", "what was moved of the todo", "id"),
    table("todo_numbers", "the last number of a todo,", "last"),
];

const fn table(name: &'static str, what: &'static str, key: &'static str) -> Table {
    Table { name, what, key }
}

/// How many pages are copied at a time.
const COPIED_PAGES: i32 = 1024;

/// How many rows the tables have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rows {
    pub(crate) todos: u64,
    pub(crate) files: u64,
    /// Whether rows have checksums, and the checksums were compared. Rows of older versions have no checksums until a server opens the
    /// file.
    pub(crate) have_checksums: bool,
}

/// Checks a file, and changes nothing. No process may write to the file meanwhile. Calls `problem` with each problem, and `progress` with
/// the number of newly read rows.
///
/// # Errors
/// When the file belongs to another program, was written by a newer version, or cannot be read at all. Damage is a problem, not an error.
pub(crate) fn check(
    connection: &Connection,
    problem: &mut dyn FnMut(String),
    progress: &mut dyn FnMut(u64),
) -> Result<Rows, StoreError> {
    let version = DATABASE.version_of(connection)?;
    if version == 0 {
        return Err(DATABASE.damaged("there is nothing in it"));
    }
    if let Err(error) = DATABASE.check_tables(connection) {
        problem(error.message().to_owned());
    }
    check_structure(connection, "100", problem);
    let mut rows = Rows {
        have_checksums: version >= CHECKSUMS_SINCE,
        ..Rows::default()
    };
    if rows.have_checksums {
        for table in &TABLES {
            if let Err(error) = check_table(connection, table, problem, progress) {
                problem(failed(&format!("read {}", table.name), error));
            }
        }
    }
    let counted = [
        (1, &FILES, &mut rows.files),
        (TODOS_SINCE, &TODOS, &mut rows.todos),
    ];
    for (since, table, count) in counted {
        if version < since {
            continue;
        }
        match count_of(connection, table) {
            Ok(counted) => *count = counted,
            Err(error) => problem(failed(&format!("count {}", table.name), error)),
        }
    }
    if version >= TODOS_SINCE {
        check_texts(connection, problem);
    }
    Ok(rows)
}

/// Checks the rows of files, and their indexes.
///
/// # Errors
/// [`crate::error::StoreErrorKind::Damaged`] names the first problem.
pub(crate) fn check_files(connection: &Connection) -> Result<(), StoreError> {
    let mut found = None;
    let mut problem = |problem: String| {
        found.get_or_insert(problem);
    };
    check_structure(connection, "files", &mut problem);
    check_table(connection, &FILES, &mut problem, &mut |_| {})
        .map_err(|error| DATABASE.error("read files", error))?;
    match found {
        None => Ok(()),
        Some(problem) => Err(DATABASE.damaged(problem)),
    }
}

/// SQL to select the rows of a table that match their checksums; all rows where they have no checksums.
///
/// # Errors
/// When the file cannot be read.
pub(crate) fn sound_rows(connection: &Connection, table: &str) -> Result<String, StoreError> {
    Ok(match DATABASE.version_of(connection)? >= CHECKSUMS_SINCE {
        true => format!("(SELECT * FROM {table}_checked WHERE checksum = computed)"),
        false => table.to_owned(),
    })
}

/// SQLite's own check of pages, indexes and constraints. `of` is the name of a table, or the number of problems to name in all tables.
fn check_structure(connection: &Connection, of: &str, problem: &mut dyn FnMut(String)) {
    let mut look = || -> rusqlite::Result<()> {
        let mut statement = connection.prepare(&format!("PRAGMA integrity_check({of})"))?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let line: String = row.get(0)?;
            if line != "ok" {
                problem(format!("the structure of the file: {line}"));
            }
        }
        Ok(())
    };
    if let Err(error) = look() {
        problem(failed("check the structure", error));
    }
}

/// Compares each row with its checksum, and all rows with the ledger.
fn check_table(
    connection: &Connection,
    table: &Table,
    problem: &mut dyn FnMut(String),
    progress: &mut dyn FnMut(u64),
) -> rusqlite::Result<()> {
    let Table { name, what, key } = table;
    let mut statement = connection.prepare(&format!(
        "SELECT {key}, checksum, checksum = computed FROM {name}_checked"
    ))?;
    let mut rows = statement.query([])?;
    let (mut count, mut sum) = (0_i64, 0_i64);
    while let Some(row) = rows.next()? {
        if !row.get::<_, bool>(2)? {
            problem(checksums::mismatch(
                what,
                &checksums::shown(row.get_ref(0)?),
            ));
        }
        count += 1;
        sum = sum.wrapping_add(row.get(1)?);
        progress(1);
    }
    let mut ledger =
        connection.prepare("SELECT row_count, checksums FROM ledger WHERE table_name = ?1")?;
    let expected = ledger
        .query_map([name], |row| Ok((row.get(0)?, row.get(1)?)))?
        .next()
        .transpose()?;
    match expected {
        Some(expected) if expected == (count, sum) => {}
        Some((expected, _)) if expected != count => problem(format!(
            "there are {count} rows in {name}, and the ledger says that there are {expected}"
        )),
        Some(_) => problem(format!(
            "the checksums of the rows in {name} do not add up to what the ledger says"
        )),
        None => problem(format!("the ledger does not tell of {name}")),
    }
    Ok(())
}

fn count_of(connection: &Connection, table: &Table) -> rusqlite::Result<u64> {
    // An index may have lost rows.
    let sql = format!("SELECT count(*) FROM {} NOT INDEXED", table.name);
    connection.query_row(&sql, [], |row| row.get::<_, i64>(0).map(i64::unsigned_abs))
}

/// Checks the full-text index of the todos against the todos. The statement of this check is an INSERT that changes nothing, so a file
/// that is only read is copied into a temporary database first.
fn check_texts(connection: &Connection, problem: &mut dyn FnMut(String)) {
    let sql = "INSERT INTO todos_trigrams (todos_trigrams, rank) VALUES ('integrity-check', 1)";
    let ask = || match connection.is_readonly(MAIN_DB)? {
        true => temporary_copy(connection)?.execute(sql, []),
        false => connection.execute(sql, []),
    };
    if let Err(error) = ask() {
        problem(format!(
            "the index of the texts of todos is not that of the todos: {error}"
        ));
    }
}

fn temporary_copy(connection: &Connection) -> rusqlite::Result<Connection> {
    let mut copy = Connection::open("")?;
    checksums::register(&copy)?;
    Backup::new(connection, &mut copy)?.run_to_completion(COPIED_PAGES, Duration::ZERO, None)?;
    Ok(copy)
}

fn failed(what: &str, error: rusqlite::Error) -> String {
    DATABASE.error(what, error).message().to_owned()
}

//! The tables of `readings.db`: created, checked, and brought to the version that this program knows.

use std::collections::BTreeSet;

use rusqlite::Connection;

use super::format::file::{FILE_NAME, damaged, failed};
use super::format::ledger::Ledger;
use super::upgrade;
use crate::error::StoreError;
use crate::storage::sqlite;

/// Marks the file as ours for `file(1)` and for us: "FSTN".
pub(crate) const APPLICATION_ID: i32 = 0x4653_544e;
pub(crate) const VERSION: i32 = 2;

/// `sensors` and `log` belong to each commit, the other tables to sealing. The metadata of chunks is apart from their data,
/// so that a sensor's chunks lie side by side, few bytes each, and a window is a short scan.
const TABLES: &str = "
    CREATE TABLE sensors (
        number INTEGER PRIMARY KEY,
        id TEXT NOT NULL,
        checksum INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE log (
        sequence INTEGER PRIMARY KEY,
        data BLOB NOT NULL
    ) STRICT;
    CREATE TABLE chunks (
        sensor INTEGER NOT NULL,
        first INTEGER NOT NULL,
        last INTEGER NOT NULL,
        count INTEGER NOT NULL,
        sum INTEGER NOT NULL,
        minimum INTEGER NOT NULL,
        maximum INTEGER NOT NULL,
        latest INTEGER NOT NULL,
        data INTEGER NOT NULL,
        sealed_through INTEGER NOT NULL,
        checksum INTEGER NOT NULL,
        PRIMARY KEY (sensor, first)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE chunk_data (
        id INTEGER PRIMARY KEY,
        data BLOB NOT NULL
    ) STRICT;
    CREATE TABLE ledger (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        generation INTEGER NOT NULL,
        log_sealed INTEGER NOT NULL,
        chunks INTEGER NOT NULL,
        chunk_checksums INTEGER NOT NULL,
        counted_through INTEGER NOT NULL,
        folding_mark INTEGER NOT NULL,
        folding_before INTEGER NOT NULL,
        day_rows INTEGER NOT NULL,
        day_checksums INTEGER NOT NULL,
        checksum INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE periods (
        key INTEGER PRIMARY KEY,
        data BLOB NOT NULL
    ) STRICT;
";

/// The text that creates one of the tables as they are now.
pub(crate) fn table(name: &str) -> Option<&'static str> {
    let begin = format!("CREATE TABLE {name} (");
    statements(TABLES).find(|sql| sql.starts_with(&begin))
}

fn statements(tables: &'static str) -> impl Iterator<Item = &'static str> {
    let statements = tables.split(';').map(str::trim);
    statements.filter(|sql| !sql.is_empty())
}

/// Makes the tables in a new file; in another one, checks them, and first brings those of an older version up to date.
pub(crate) fn create_or_check(connection: &Connection) -> Result<(), StoreError> {
    match marks(connection)? {
        (0, 0) => create(connection).map_err(|error| failed("create readings.db", error)),
        (APPLICATION_ID, upgrade::OLDEST_VERSION..VERSION) => {
            upgrade::run(connection)?;
            check(connection, TABLES)
        }
        (APPLICATION_ID, VERSION) => check(connection, TABLES),
        marks => Err(unknown(marks)),
    }
}

/// Checks the tables of a file that is only read; those of an older version are read as they are.
pub(crate) fn check_reader(connection: &Connection) -> Result<(), StoreError> {
    match marks(connection)? {
        (APPLICATION_ID, upgrade::OLDEST_VERSION) => upgrade::read_as_now(connection),
        (APPLICATION_ID, VERSION) => check(connection, TABLES),
        marks => Err(unknown(marks)),
    }
}

fn unknown(marks: (i32, i32)) -> StoreError {
    match marks {
        (APPLICATION_ID, version) if version > VERSION => {
            sqlite::newer(FILE_NAME, version.into(), VERSION)
        }
        _ => damaged("it is not a Fieldstation database"),
    }
}

/// The application's id and the version of the schema.
fn marks(connection: &Connection) -> Result<(i32, i32), StoreError> {
    let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let read =
        || -> rusqlite::Result<_> { Ok((pragma("application_id")?, pragma("user_version")?)) };
    read().map_err(|error| failed("read readings.db", error))
}

/// The definitions of the tables are data on disk like any other. In which order they were made does not matter.
pub(crate) fn check(connection: &Connection, tables: &'static str) -> Result<(), StoreError> {
    let read_failed = |error| failed("read the schema", error);
    let mut statement = connection
        .prepare("SELECT sql FROM main.sqlite_schema")
        .map_err(read_failed)?;
    let found = statement
        .query_map([], |row| row.get::<_, String>(0))
        .and_then(Iterator::collect::<rusqlite::Result<BTreeSet<_>>>)
        .map_err(read_failed)?;
    let expected: BTreeSet<_> = statements(tables).map(str::to_owned).collect();
    if expected == found {
        Ok(())
    } else {
        Err(damaged("its tables are not the ones it was created with"))
    }
}

fn create(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch("BEGIN IMMEDIATE")?;
    connection.execute_batch(TABLES)?;
    Ledger::of_new_file().write(connection)?;
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    connection.pragma_update(None, "user_version", VERSION)?;
    connection.execute_batch("COMMIT")
}

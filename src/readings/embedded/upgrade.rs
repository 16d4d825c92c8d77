//! `readings.db` of an older version: moved to the version of now, or read as it is.
//!
//! No checksum of a row changes on the way, so what was damaged before is found afterwards as it would have been.

use rusqlite::Connection;

use super::format::file::{damaged, failed};
use super::schema;
use crate::error::StoreError;

/// The oldest version that can be moved.
pub(crate) const OLDEST_VERSION: i32 = 1;

/// The tables of version 1.
const TABLES_1: &str = "
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
        checksum INTEGER NOT NULL
    ) STRICT;
";

/// A table that has other columns now, and its rows of version 1 with the columns of now.
struct Changed {
    table: &'static str,
    rows: &'static str,
}

const CHANGED: &[Changed] = &[
    Changed {
        table: "chunks",
        rows: "sensor, first, last, count, sum, minimum, maximum, latest, data, 0 AS sealed_through, checksum",
    },
    Changed {
        table: "ledger",
        rows: "id, generation, log_sealed, chunks, chunk_checksums, -1 AS counted_through, -1 AS folding_mark, 0 AS folding_before, \
               0 AS day_rows, 0 AS day_checksums, checksum",
    },
];

/// A table that there was not; it is filled at the start that follows.
const NEW: &str = "periods";

/// Moves a file of version 1 to the version of now, in one transaction.
pub(crate) fn run(connection: &Connection) -> Result<(), StoreError> {
    schema::check(connection, TABLES_1)?;
    tracing::info!("moving readings.db to schema version {}", schema::VERSION);
    let transaction = connection
        .unchecked_transaction()
        .map_err(|error| failed("move readings.db to a new version", error))?;
    let definition = |table: &str| {
        schema::table(table).ok_or_else(|| damaged(format!("table {table} is not known any more")))
    };
    transaction
        .execute_batch(definition(NEW)?)
        .map_err(|error| failed("add a table", error))?;
    for Changed { table, rows } in CHANGED {
        let create = definition(table)?;
        let sql = format!(
            "ALTER TABLE {table} RENAME TO {table}_before; {create};
             INSERT INTO {table} SELECT {rows} FROM {table}_before; DROP TABLE {table}_before;"
        );
        transaction
            .execute_batch(&sql)
            .map_err(|error| failed(&format!("move table {table} to a new version"), error))?;
    }
    transaction
        .pragma_update(None, "user_version", schema::VERSION)
        .and_then(|()| transaction.commit())
        .map_err(|error| failed("move readings.db to a new version", error))
}

/// Lets a connection that only reads see the tables of version 1 with the columns of now.
pub(crate) fn read_as_now(connection: &Connection) -> Result<(), StoreError> {
    schema::check(connection, TABLES_1)?;
    for Changed { table, rows } in CHANGED {
        connection
            .execute_batch(&format!(
                "CREATE TEMP VIEW {table} AS SELECT {rows} FROM main.{table}"
            ))
            .map_err(|error| failed("read an older version", error))?;
    }
    Ok(())
}

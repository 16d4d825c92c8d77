//! The table `log`: each commit adds rows, and later commits remove the sealed rows.

use rusqlite::{Connection, params};

use super::file::{failed, signed, unsigned};
use crate::error::StoreError;

/// Adds a row.
pub(crate) fn append(connection: &Connection, sequence: u64, row: &[u8]) -> Result<(), StoreError> {
    connection
        .prepare_cached("INSERT INTO log VALUES (?, ?)")
        .and_then(|mut statement| statement.execute(params![signed(sequence), row]))
        .map(drop)
        .map_err(|error| failed("write to the log", error))
}

/// Removes about `rows_max` of the oldest rows, and no row after sequence `sealed`. Returns the last sequence of the removed rows.
pub(crate) fn remove_oldest(
    connection: &Connection,
    sealed: u64,
    rows_max: u64,
) -> Result<u64, StoreError> {
    let remove = || -> rusqlite::Result<u64> {
        let mut oldest = connection.prepare_cached("SELECT min(sequence) FROM log")?;
        let Some(oldest) = oldest.query_row([], |row| row.get::<_, Option<i64>>(0))? else {
            return Ok(sealed);
        };
        let through = sealed.min(unsigned(oldest) + rows_max);
        connection
            .prepare_cached("DELETE FROM log WHERE sequence <= ?")?
            .execute([signed(through)])?;
        Ok(through)
    };
    remove().map_err(|error| failed("remove sealed log rows", error))
}

//! `readings.db`: how its connections are opened.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::format::file::{FILE_NAME, failed};
use super::schema;
use crate::error::StoreError;
use crate::storage::data_directory::DataDirectory;
use crate::storage::sqlite::{self, write_ahead_log};

/// Opens the connection that writes, creating the file if it is missing. What it recovers is durable when this returns,
/// whatever became of the flushes of an earlier process.
pub(crate) fn open_writer(path: &Path) -> Result<Connection, StoreError> {
    write_ahead_log::write_again(FILE_NAME, path)?;
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )
    .map_err(|error| failed("open readings.db", error))?;
    configure(&connection, 8 * 1024)?;
    connection
        // Takes effect in a new file only: pages that sealed log rows leave can be given back to the disk.
        .pragma_update(None, "auto_vacuum", "INCREMENTAL")
        .and_then(|()| connection.pragma_update(None, "journal_mode", "WAL"))
        // A commit is acknowledged once the write-ahead log is flushed: that is what FULL adds to WAL.
        .and_then(|()| connection.pragma_update(None, "synchronous", "FULL"))
        .and_then(|()| connection.pragma_update(None, "journal_size_limit", 2 * WAL_PAGES * 4096))
        // The writer folds the log, and hears of it when that fails.
        .and_then(|()| connection.pragma_update(None, "wal_autocheckpoint", 0))
        .map_err(|error| failed("set up readings.db", error))?;
    schema::create_or_check(&connection)?;
    Ok(connection)
}

/// Pages in the write-ahead log before it is copied into the file: the copy costs two flushes, and what is rewritten in the
/// meantime is copied once.
pub(crate) const WAL_PAGES: i32 = 4_000;

/// Opens one more connection that only reads, while the database is where it was opened first.
pub(crate) fn open_reader_of(directory: &DataDirectory) -> Result<Connection, StoreError> {
    let path = directory.join(FILE_NAME);
    if directory.is_read_only() {
        let connection = open_untouched(&path)?;
        schema::check_reader(&connection)?;
        return Ok(connection);
    }
    directory.check_database(FILE_NAME)?;
    open_reader(&path)
}

/// Opens a connection that changes nothing, and no file beside the database either.
pub(crate) fn open_untouched(path: &Path) -> Result<Connection, StoreError> {
    let connection = sqlite::open_untouched(path)?;
    configure(&connection, 1024)?;
    Ok(connection)
}

/// Opens a connection that only reads.
pub(crate) fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )
    .map_err(|error| failed("open readings.db", error))?;
    configure(&connection, 1024)?;
    Ok(connection)
}

fn configure(connection: &Connection, cache_kib: i64) -> Result<(), StoreError> {
    connection.set_prepared_statement_cache_capacity(32);
    connection
        .pragma_update(None, "cache_size", -cache_kib)
        .and_then(|()| connection.pragma_update(None, "cell_size_check", true))
        .and_then(|()| connection.busy_timeout(sqlite::BUSY_TIMEOUT))
        .map_err(|error| failed("set up readings.db", error))
}

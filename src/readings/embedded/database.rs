//! `readings.db`: its schema, how it is opened, and what its errors mean.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

use super::codec::{self, CodecError};
use crate::data_directory::DataDirectory;
use crate::error::{StoreError, StoreErrorKind};
use crate::sqlite::{self, write_ahead_log};

/// The file's name in the data directory.
pub(crate) const FILE_NAME: &str = "readings.db";

/// Marks the file as ours for `file(1)` and for us: "FSTN".
pub(super) const APPLICATION_ID: i32 = 0x4653_544e;
pub(super) const SCHEMA_VERSION: i32 = 1;

/// `sensors` and `log` belong to each commit, the other tables to sealing. The metadata of chunks is apart from their data,
/// so that a sensor's chunks lie side by side, few bytes each, and a window is a short scan.
const SCHEMA: &str = "
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

/// What the file says of itself as a whole; updated in every transaction that seals. A row that vanished from `chunks`
/// shows by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ledger {
    /// How many transactions have sealed.
    pub(crate) generation: u64,
    /// Every reading in log rows up to this sequence is in chunks, or again in a later row.
    pub(crate) log_sealed: u64,
    /// How many chunks there are.
    pub(crate) chunks: u64,
    /// The wrapping sum of their checksums.
    pub(crate) chunk_checksums: u64,
}

impl Ledger {
    fn checksum(&self) -> u64 {
        codec::hash_integers(&[
            self.generation,
            self.log_sealed,
            self.chunks,
            self.chunk_checksums,
        ])
    }

    pub(crate) fn read(connection: &Connection) -> Result<Self, StoreError> {
        let row = connection
            .prepare_cached(
                "SELECT generation, log_sealed, chunks, chunk_checksums, checksum FROM ledger",
            )
            .and_then(|mut statement| {
                statement
                    .query_row([], |row| {
                        let ledger = Self {
                            generation: unsigned(row.get(0)?),
                            log_sealed: unsigned(row.get(1)?),
                            chunks: unsigned(row.get(2)?),
                            chunk_checksums: unsigned(row.get(3)?),
                        };
                        Ok((ledger, unsigned(row.get(4)?)))
                    })
                    .optional()
            })
            .map_err(|error| failed("read the ledger", error))?;
        match row {
            Some((ledger, checksum)) if checksum == ledger.checksum() => Ok(ledger),
            _ => Err(damaged(
                "the ledger is missing or does not match its checksum",
            )),
        }
    }

    pub(crate) fn write(&self, connection: &Connection) -> rusqlite::Result<()> {
        connection
            .prepare_cached("INSERT OR REPLACE INTO ledger VALUES (1, ?, ?, ?, ?, ?)")?
            .execute(params![
                signed(self.generation),
                signed(self.log_sealed),
                signed(self.chunks),
                signed(self.chunk_checksums),
                signed(self.checksum()),
            ])?;
        Ok(())
    }
}

/// SQLite's integers are signed; checksums and counters keep their bits.
pub(crate) fn signed(value: u64) -> i64 {
    value.cast_signed()
}

pub(crate) fn unsigned(value: i64) -> u64 {
    value.cast_unsigned()
}

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
    create_or_check_schema(&connection)?;
    Ok(connection)
}

/// Pages in the write-ahead log before it is copied into the file: the copy costs two flushes, and what is rewritten in the
/// meantime is copied once.
pub(super) const WAL_PAGES: i32 = 4_000;

/// Opens one more connection that only reads, while the database is where it was opened first.
pub(crate) fn open_reader_of(directory: &DataDirectory) -> Result<Connection, StoreError> {
    let path = directory.join(FILE_NAME);
    if directory.is_read_only() {
        return open_untouched(&path);
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

fn create_or_check_schema(connection: &Connection) -> Result<(), StoreError> {
    let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let read =
        || -> rusqlite::Result<_> { Ok((pragma("application_id")?, pragma("user_version")?)) };
    match read().map_err(|error| failed("read readings.db", error))? {
        (0, 0) => create_schema(connection).map_err(|error| failed("create readings.db", error)),
        versions => check_version(connection, versions),
    }
}

/// Refuses a database that is not ours, or that another version of this program wrote.
pub(crate) fn check_file(connection: &Connection) -> Result<(), StoreError> {
    let read = || -> rusqlite::Result<_> {
        Ok((
            connection.pragma_query_value(None, "application_id", |row| row.get(0))?,
            connection.pragma_query_value(None, "user_version", |row| row.get(0))?,
        ))
    };
    let versions = read().map_err(|error| failed("read readings.db", error))?;
    check_version(connection, versions)
}

fn check_version(connection: &Connection, versions: (i32, i32)) -> Result<(), StoreError> {
    match versions {
        (APPLICATION_ID, SCHEMA_VERSION) => check_schema(connection),
        (APPLICATION_ID, version) if version > SCHEMA_VERSION => {
            Err(sqlite::newer(FILE_NAME, version.into(), SCHEMA_VERSION))
        }
        _ => Err(damaged("it is not a Fieldstation database")),
    }
}

/// The definitions of the tables are data on disk like any other.
pub(super) fn check_schema(connection: &Connection) -> Result<(), StoreError> {
    let read_failed = |error| failed("read the schema", error);
    let mut statement = connection
        .prepare("SELECT sql FROM sqlite_schema ORDER BY rowid")
        .map_err(read_failed)?;
    let found = statement
        .query_map([], |row| row.get::<_, String>(0))
        .and_then(Iterator::collect::<rusqlite::Result<Vec<_>>>)
        .map_err(read_failed)?;
    let expected = SCHEMA
        .split(';')
        .map(str::trim)
        .filter(|sql| !sql.is_empty());
    if expected.eq(found) {
        Ok(())
    } else {
        Err(damaged("its tables are not the ones it was created with"))
    }
}

fn create_schema(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch("BEGIN IMMEDIATE")?;
    connection.execute_batch(SCHEMA)?;
    Ledger::default().write(connection)?;
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    connection.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    connection.execute_batch("COMMIT")
}

/// What is on disk is not what was written.
pub(crate) fn damaged(what: impl AsRef<str>) -> StoreError {
    sqlite::damaged(FILE_NAME, what)
}

/// An error of SQLite while doing something.
pub(crate) fn failed(what: &str, error: rusqlite::Error) -> StoreError {
    sqlite::failed(FILE_NAME, what, error)
}

/// Bytes that a codec does not read: damaged, or in a format that a later version has added.
pub(crate) fn unreadable(what: &str, error: CodecError) -> StoreError {
    match error {
        CodecError::Format(format) => StoreError::new(
            StoreErrorKind::Unsupported,
            format!(
                "{FILE_NAME} was written by a newer version of fieldstation: {what} is in format {format}, which this program does \
                 not know; use the version that wrote it, or a newer one"
            ),
        ),
        error => damaged(format!("in {what}, {error}")),
    }
}

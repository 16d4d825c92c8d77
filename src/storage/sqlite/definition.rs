//! The definition of an embedded database: the differences from other databases, and the opening of connections.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::{BUSY_TIMEOUT, checksums, damaged, open_untouched, query_error, write_ahead_log};
use crate::error::StoreError;

/// An embedded database: the file, the tables, and the settings of the connections.
#[derive(Debug)]
pub(crate) struct DatabaseDefinition {
    /// The file's name in a data directory.
    pub(crate) file_name: &'static str,
    /// The application id in the header of the file, for `file(1)` and for this program.
    pub(crate) application_id: i32,
    /// The scripts to make the tables, in order. The `user_version` of the file counts the finished scripts.
    pub(crate) migrations: &'static [&'static str],
    /// Writes the first rows of a new file, after all migrations.
    pub(crate) first_rows: fn(&Connection) -> rusqlite::Result<()>,
    /// Pragmas of every connection.
    pub(crate) pragmas: &'static str,
    /// Pragmas of the writing connection, before the file gets a write-ahead log.
    pub(crate) writer_pragmas: &'static str,
    /// How many prepared statements a connection keeps.
    pub(crate) prepared_statements_max: usize,
    /// How many pages the write-ahead log has before a checkpoint copies them into the file.
    pub(crate) checkpoint_pages: i32,
}

impl DatabaseDefinition {
    /// Opens the writing connection, creates a missing file, and brings the tables up to date. On success all commits recovered from the
    /// write-ahead log are durable, even if flushes of an earlier process failed.
    ///
    /// # Errors
    /// When the file cannot be opened, belongs to another program, is damaged, or was written by a newer version.
    pub(crate) fn open_writer(&self, path: &Path) -> Result<Connection, StoreError> {
        self.make_log_durable(path)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
        let mut connection = self.open(path, flags)?;
        connection
            .execute_batch(self.writer_pragmas)
            .and_then(|()| connection.pragma_update(None, "journal_mode", "WAL"))
            // A commit is acknowledged once the write-ahead log is flushed. In WAL mode only FULL flushes the log with each commit.
            .and_then(|()| connection.pragma_update(None, "synchronous", "FULL"))
            // `Checkpointer` makes the checkpoints instead, because `Checkpointer` has to see every failure.
            .and_then(|()| connection.pragma_update(None, "wal_autocheckpoint", 0))
            .map_err(|error| self.open_error(error))?;
        self.migrate(&mut connection)?;
        Ok(connection)
    }

    /// Opens a connection for reads only. A server may use the database at the same time. SQLite may make files beside the database.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub(crate) fn open_reader(&self, path: &Path) -> Result<Connection, StoreError> {
        self.open(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
    }

    /// Opens a connection to read a file. No process may write to the file meanwhile. The connection makes and changes no file.
    ///
    /// # Errors
    /// Those of [`open_untouched`].
    pub(crate) fn open_untouched(&self, path: &Path) -> Result<Connection, StoreError> {
        let connection = open_untouched(path)?;
        self.configure(&connection)?;
        Ok(connection)
    }

    /// Opens an existing file to read and to change the rows. The tables stay unchanged.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub(crate) fn open_as_it_is(&self, path: &Path) -> Result<Connection, StoreError> {
        self.open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)
    }

    /// Makes the write-ahead log of the file durable. To be called before the first connection of a process recovers from the log.
    ///
    /// # Errors
    /// When the log cannot be read, written or flushed.
    pub(crate) fn make_log_durable(&self, path: &Path) -> Result<(), StoreError> {
        write_ahead_log::make_durable(self.file_name, path)
    }

    /// An error of SQLite. `what` completes "could not".
    pub(crate) fn error(&self, what: &str, error: rusqlite::Error) -> StoreError {
        query_error(self.file_name, what, error)
    }

    /// The error for a damaged file: the content differs from the written content.
    pub(crate) fn damaged(&self, what: impl AsRef<str>) -> StoreError {
        damaged(self.file_name, what)
    }

    pub(super) fn open_error(&self, error: rusqlite::Error) -> StoreError {
        self.error(&format!("open {}", self.file_name), error)
    }

    fn open(&self, path: &Path, flags: OpenFlags) -> Result<Connection, StoreError> {
        let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)
            .map_err(|error| self.open_error(error))?;
        self.configure(&connection)?;
        Ok(connection)
    }

    fn configure(&self, connection: &Connection) -> Result<(), StoreError> {
        connection.set_prepared_statement_cache_capacity(self.prepared_statements_max);
        connection
            .busy_timeout(BUSY_TIMEOUT)
            .and_then(|()| connection.execute_batch(self.pragmas))
            .and_then(|()| connection.pragma_update(None, "cell_size_check", true))
            .and_then(|()| checksums::register(connection))
            .map_err(|error| self.open_error(error))
    }
}

//! One moment of a database that a server may be writing to, and a copy of it.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::data_directory::DataDirectory;
use super::durable_file;
use super::sqlite::{DatabaseDefinition, can_open_untouched, open_untouched};
use crate::error::{StoreError, StoreErrorKind};

/// How long to wait for a server that is just opening or closing the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

/// How many pages are copied between two reports of progress: 1 MiB.
const PAGES_PER_STEP: i32 = 256;

/// After how many steps the disk is told to begin. One large flush at the end would be felt by whoever commits beside it.
const STEPS_PER_FLUSH: u32 = 16;

/// A read transaction: what was committed before it began, whatever is written meanwhile.
#[derive(Debug)]
pub(crate) struct DatabaseSnapshot {
    database: &'static DatabaseDefinition,
    connection: Connection,
    /// Where no lock of SQLite's keeps servers from writing.
    _held: Option<DataDirectory>,
}

impl DatabaseSnapshot {
    /// Begins to read the database of a data directory. Takes no lock that a server would notice. `None` when there is no such
    /// file, or nothing in it yet.
    ///
    /// # Errors
    /// When it cannot be read, is not ours, or was written by a newer version.
    pub(crate) fn of(
        directory: &Path,
        database: &'static DatabaseDefinition,
    ) -> Result<Option<Self>, StoreError> {
        let path = directory.join(database.file_name);
        match path.symlink_metadata() {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unreadable(&path, error)),
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let opened = Connection::open_with_flags(&path, flags).and_then(begun);
        let (connection, held) = match opened {
            Ok(connection) => (connection, None),
            Err(error) => match error.sqlite_error_code() {
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                    return Err(database.error("read it", error));
                }
                // Where no server has made them, the files beside the database cannot be made on a full disk, or on one that
                // cannot be written to. It can be read without them as long as no server begins to write.
                _ if can_open_untouched(&path) => {
                    let held = DataDirectory::open_read_only(directory)?;
                    let connection =
                        begun(open_untouched(&path)?).map_err(|error| unreadable(&path, error))?;
                    (connection, Some(held))
                }
                _ => return Err(unreadable(&path, error)),
            },
        };
        let has_tables = database.version_of(&connection)? > 0;
        Ok(has_tables.then_some(Self {
            database,
            connection,
            _held: held,
        }))
    }

    /// How large a copy is going to be.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn bytes(&self) -> Result<u64, StoreError> {
        let number = |name| {
            self.connection
                .pragma_query_value(None, name, |row| row.get::<_, i64>(0))
                .map(i64::unsigned_abs)
                .map_err(|error| self.failed(error))
        };
        Ok(number("page_count")?.saturating_mul(number("page_size")?))
    }

    /// Copies it page by page into a file that is not there yet, which is durable when this returns. `progress` is told how
    /// many bytes more are copied.
    ///
    /// # Errors
    /// When the one cannot be read or the other not be written; what is there then is of no use.
    pub(crate) fn copy(
        self,
        target: &Path,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), StoreError> {
        let database = self.database;
        let name = database.file_name;
        let broken = |error| durable_file::failed(&format!("write a copy of {name}"), error);
        let file = File::options()
            .write(true)
            .create_new(true)
            .open(target)
            .map_err(broken)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut copy =
            Connection::open_with_flags(target, flags).map_err(|error| self.failed(error))?;
        // Nobody reads it before it is complete: no journal, and flushes of our own.
        copy.pragma_update(None, "journal_mode", "OFF")
            .and_then(|()| copy.pragma_update(None, "synchronous", "OFF"))
            .map_err(|error| self.failed(error))?;
        self.copy_pages(&mut copy, &file, progress)?;
        drop(self.connection);
        // The copy is marked to have a write-ahead log beside it, which even a reader would make.
        copy.pragma_update(None, "journal_mode", "DELETE")
            .and_then(|()| copy.close().map_err(|(_, error)| error))
            .map_err(|error| database.error(&format!("copy {name}"), error))?;
        file.sync_all().map_err(broken)
    }

    fn copy_pages(
        &self,
        copy: &mut Connection,
        file: &File,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), StoreError> {
        let page_bytes = self
            .connection
            .pragma_query_value(None, "page_size", |row| row.get::<_, i64>(0))
            .map_err(|error| self.failed(error))?
            .unsigned_abs();
        let backup = Backup::new(&self.connection, copy).map_err(|error| self.failed(error))?;
        let mut copied_pages = 0;
        for step in 1.. {
            let result = backup
                .step(PAGES_PER_STEP)
                .map_err(|error| self.failed(error))?;
            let now = backup.progress();
            let now_pages = u64::try_from(now.pagecount - now.remaining).unwrap_or_default();
            progress(now_pages.saturating_sub(copied_pages) * page_bytes);
            copied_pages = now_pages;
            match result {
                StepResult::Done => return Ok(()),
                StepResult::More => {}
                // The one database is being read already, and nobody else knows of the other.
                _ => break,
            }
            if step % STEPS_PER_FLUSH == 0 {
                file.sync_data().map_err(|error| {
                    durable_file::failed(&format!("write a copy of {}", self.name()), error)
                })?;
            }
        }
        Err(StoreError::new(
            StoreErrorKind::Unavailable,
            format!("could not copy {}: it is locked", self.name()),
        ))
    }

    const fn name(&self) -> &'static str {
        self.database.file_name
    }

    fn failed(&self, error: rusqlite::Error) -> StoreError {
        self.database.error(&format!("copy {}", self.name()), error)
    }
}

/// A connection that reads, and its moment.
fn begun(connection: Connection) -> rusqlite::Result<Connection> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    // The moment is that of the first read, not of this.
    connection.execute_batch("BEGIN; SELECT count(*) FROM sqlite_schema")?;
    Ok(connection)
}

fn unreadable(path: &Path, error: impl std::error::Error + Send + Sync + 'static) -> StoreError {
    StoreError::new(
        StoreErrorKind::Unavailable,
        format!("cannot read {}", path.display()),
    )
    .with_source(error)
}

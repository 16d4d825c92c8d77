//! A consistent copy of a database while a server writes to it.

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

/// How long to wait while a server opens or closes the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

/// How many pages are copied between two reports of progress: 1 MiB.
const PAGES_PER_STEP: i32 = 256;

/// The copy is flushed each time after this number of steps. A single large flush at the end would delay the commits of a server on the
/// same disk.
const STEPS_PER_FLUSH: u32 = 16;

/// A read transaction. The transaction sees all earlier commits, and none of the later commits of a server.
#[derive(Debug)]
pub(crate) struct DatabaseSnapshot {
    database: &'static DatabaseDefinition,
    connection: Connection,
    /// A lock against servers, for a database opened without a lock of SQLite.
    _held: Option<DataDirectory>,
}

impl DatabaseSnapshot {
    /// Begins a snapshot of the database of a data directory. A server does not notice the snapshot. `None` when the file is missing or has
    /// no tables yet.
    ///
    /// # Errors
    /// When the file cannot be read, belongs to another program, or was written by a newer version.
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
        let opened = Connection::open_with_flags(&path, flags).and_then(begin);
        let (connection, held) = match opened {
            Ok(connection) => (connection, None),
            Err(error) => match error.sqlite_error_code() {
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                    return Err(database.error("read it", error));
                }
                // Without a server, SQLite would have to create the files beside the database. SQLite cannot create files on a full disk or
                // on a read-only medium. As long as no server begins to write, the database can be read without these files.
                _ if can_open_untouched(&path) => {
                    let held = DataDirectory::open_read_only(directory)?;
                    let connection =
                        begin(open_untouched(&path)?).map_err(|error| unreadable(&path, error))?;
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

    /// The size of a copy.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) fn bytes(&self) -> Result<u64, StoreError> {
        let number = |name| {
            self.connection
                .pragma_query_value(None, name, |row| row.get::<_, i64>(0))
                .map(i64::unsigned_abs)
                .map_err(|error| self.failed(error))
        };
        Ok(number("page_count")?.saturating_mul(number("page_size")?))
    }

    /// Copies the database page by page into a new file. The file is durable when this returns. Calls `progress` with the number of newly
    /// copied bytes.
    ///
    /// # Errors
    /// When the database cannot be read or the copy cannot be written. The copy is then not complete.
    pub(crate) fn copy(
        self,
        target: &Path,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), StoreError> {
        let database = self.database;
        let name = database.file_name;
        let broken = |error| durable_file::io_error(&format!("write a copy of {name}"), error);
        let file = File::options()
            .write(true)
            .create_new(true)
            .open(target)
            .map_err(broken)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut copy =
            Connection::open_with_flags(target, flags).map_err(|error| self.failed(error))?;
        // Nobody reads the copy before the end of the copying, so the copy needs no journal. The copy is flushed here.
        copy.pragma_update(None, "journal_mode", "OFF")
            .and_then(|()| copy.pragma_update(None, "synchronous", "OFF"))
            .map_err(|error| self.failed(error))?;
        self.copy_pages(&mut copy, &file, progress)?;
        drop(self.connection);
        // The header of the copy asks for a write-ahead log. Even a reader would create this log.
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
                // Busy or locked, although the database is being read already and the copy has no other user.
                _ => break,
            }
            if step % STEPS_PER_FLUSH == 0 {
                file.sync_data().map_err(|error| {
                    durable_file::io_error(&format!("write a copy of {}", self.name()), error)
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

/// Begins the read transaction.
fn begin(connection: Connection) -> rusqlite::Result<Connection> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    // The snapshot begins with the first read, not with BEGIN.
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

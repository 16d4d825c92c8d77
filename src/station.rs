//! `station.db`: the embedded database of everything but readings, so that neither waits for the other.

mod copy;

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};
use tokio::sync::{Notify, Semaphore};

use crate::data_directory::DataDirectory;
use crate::error::{StoreError, StoreErrorKind};
use crate::sqlite;

pub(crate) use copy::{check_copy, moment, open_copy};

/// The file's name in the data directory.
pub(crate) const FILE_NAME: &str = "station.db";

/// Marks the file as ours for `file(1)` and for us: "FSTS".
const APPLICATION_ID: i32 = 0x4653_5453;

/// The changes that make the tables, in order; the number of the last one that ran is the file's `user_version`.
const MIGRATIONS: &[&str] = &[
    include_str!("../migrations/sqlite/0001-files.sql"),
    include_str!("../migrations/sqlite/0002-todos.sql"),
    include_str!("../migrations/sqlite/0003-greeting.sql"),
    include_str!("../migrations/sqlite/0004-todo-search.sql"),
    include_str!("../migrations/sqlite/0005-todo-numbers.sql"),
];

const READERS: usize = 4;

/// The open database. What it acknowledges is flushed to disk; a read sees every write that was acknowledged before it.
#[derive(Debug)]
pub struct StationDatabase {
    /// What is written with; in a directory that is only read, a connection like the others.
    writer: Mutex<Connection>,
    /// One write at a time; the others wait without a thread each.
    writing: Semaphore,
    readers: Mutex<Vec<Connection>>,
    reading: Semaphore,
    broken: OnceLock<()>,
    breaks: Notify,
    // Held for as long as the file is open.
    directory: Arc<DataDirectory>,
}

impl StationDatabase {
    /// Opens the database, creating it if it is missing, and brings its tables up to date.
    ///
    /// # Errors
    /// When it cannot be opened, is not ours, or was written by a newer version.
    pub fn open(directory: Arc<DataDirectory>) -> Result<Arc<Self>, StoreError> {
        let writer = if directory.is_read_only() {
            let connection = open_reader_of(&directory)?;
            check_up_to_date(&connection)?;
            connection
        } else {
            let connection = directory.open_database(FILE_NAME, open_writer)?;
            directory.sync()?;
            connection
        };
        Ok(Arc::new(Self {
            writer: Mutex::new(writer),
            writing: Semaphore::new(1),
            readers: Mutex::default(),
            reading: Semaphore::new(READERS),
            broken: OnceLock::new(),
            breaks: Notify::new(),
            directory,
        }))
    }

    /// Runs a transaction that adds or changes something. It is committed and durable when this returns `Ok`, and undone when
    /// `work` fails. `what` completes "could not".
    ///
    /// # Errors
    /// Those of `work`; [`StoreErrorKind::StorageFull`] when there is no room; [`StoreErrorKind::Unavailable`] after a failure of
    /// the disk, which nothing is acknowledged after, and while the directory is away; [`StoreErrorKind::Unconfirmed`] when the
    /// directory went away meanwhile.
    pub async fn write<T, W>(self: &Arc<Self>, what: &'static str, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: FnOnce(&Transaction<'_>) -> Result<T, WorkError> + Send + 'static,
    {
        self.open_for_additions()?;
        let _turn = self.writing.acquire().await.map_err(|_| closed())?;
        let this = Arc::clone(self);
        blocking(move || {
            // Whoever waited for a turn may have had it end in a failure of the disk.
            this.open_for_additions()?;
            this.transact(what, work)
        })
        .await
    }

    /// Runs a transaction that removes something, also on a full disk: what it needs is taken from the reserve. It may run more
    /// than once, and only the last time counts.
    ///
    /// # Errors
    /// Those of [`Self::write`].
    pub async fn remove<T, W>(
        self: &Arc<Self>,
        what: &'static str,
        work: W,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: Fn(&Transaction<'_>) -> Result<T, WorkError> + Send + 'static,
    {
        self.open_for_changes()?;
        let _turn = self.writing.acquire().await.map_err(|_| closed())?;
        let this = Arc::clone(self);
        blocking(move || {
            this.open_for_changes()?;
            let disk = this.directory.disk();
            disk.with_reserve(|| this.transact(what, &work))
        })
        .await
    }

    fn transact<T>(
        &self,
        what: &'static str,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, WorkError>,
    ) -> Result<T, StoreError> {
        let mut connection = self.writer.lock();
        let done = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(WorkError::Sqlite)
            .and_then(|transaction| {
                let answer = work(&transaction)?;
                transaction.commit()?;
                Ok(answer)
            });
        let is_undone = connection.is_autocommit();
        drop(connection);
        let answer =
            done.map_err(|error| error.into_store(|error| self.failed(what, error, is_undone)))?;
        self.directory.confirm(FILE_NAME)?;
        Ok(answer)
    }

    /// Runs reads that see one moment.
    ///
    /// # Errors
    /// Those of `work`.
    pub async fn read<T, W>(self: &Arc<Self>, what: &'static str, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: FnOnce(&Transaction<'_>) -> Result<T, WorkError> + Send + 'static,
    {
        let _turn = self.reading.acquire().await.map_err(|_| closed())?;
        let this = Arc::clone(self);
        blocking(move || {
            let failed = |error| sqlite::failed(FILE_NAME, what, error);
            let idle = this.readers.lock().pop();
            let mut connection = match idle {
                Some(connection) => connection,
                None => open_reader_of(&this.directory)?,
            };
            let answer = connection
                .transaction()
                .map_err(failed)
                .and_then(|transaction| {
                    work(&transaction).map_err(|error| error.into_store(failed))
                });
            this.readers.lock().push(connection);
            answer
        })
        .await
    }

    /// Whether a write would be taken now, or a read where nothing else is asked for.
    ///
    /// # Errors
    /// [`StoreErrorKind::Unavailable`] after a failure of the disk, once closed, and while the directory is away;
    /// [`StoreErrorKind::StorageFull`] while there is no room.
    pub fn ready(&self) -> Result<(), StoreError> {
        self.is_open()?;
        self.directory.ready()
    }

    /// Whether something may be added now.
    ///
    /// # Errors
    /// As [`Self::ready`]; [`StoreErrorKind::ReadOnly`] where nothing is ever written.
    pub(crate) fn open_for_additions(&self) -> Result<(), StoreError> {
        self.is_open()?;
        self.directory.check_additions()
    }

    fn open_for_changes(&self) -> Result<(), StoreError> {
        self.is_open()?;
        self.directory.check_changes()
    }

    fn is_open(&self) -> Result<(), StoreError> {
        if self.broken.get().is_some() {
            return Err(broken());
        }
        if self.writing.is_closed() {
            return Err(closed());
        }
        Ok(())
    }

    /// Resolves once the disk has failed a write: the process should drain and stop.
    pub async fn broke(&self) -> StoreError {
        loop {
            let breaks = self.breaks.notified();
            if self.broken.get().is_some() {
                return broken();
            }
            breaks.await;
        }
    }

    /// Refuses what comes from now on, and waits for what is under way.
    pub async fn close(self: &Arc<Self>) {
        // Each turn is waited for before the door is shut on those that still queue for one.
        let writing = self.writing.acquire().await;
        self.writing.close();
        let reading = self.reading.acquire_many(READERS as u32).await;
        self.reading.close();
        drop((writing, reading));
        // The last connection to close moves the write-ahead log into the file: the readers go first.
        self.readers.lock().clear();
    }

    /// Past an error of input or output nobody knows what is on the disk: a flush that is tried again lies. A write that found no
    /// room, and is undone, is no such error.
    fn failed(&self, what: &str, error: rusqlite::Error, is_undone: bool) -> StoreError {
        let is_of_the_disk =
            error.sqlite_error_code() == Some(rusqlite::ErrorCode::SystemIoFailure);
        let mut error = sqlite::failed(FILE_NAME, what, error);
        if is_undone {
            error = self.directory.explain(error);
        }
        let is_explained = error.kind() == StoreErrorKind::StorageFull;
        if !is_undone || (is_of_the_disk && !is_explained) {
            let _ = self.broken.set(());
            self.breaks.notify_waiters();
        }
        error
    }
}

/// Why the work of a transaction failed: SQLite, or what the slice says of its own.
#[derive(Debug)]
pub enum WorkError {
    /// An error of SQLite.
    Sqlite(rusqlite::Error),
    /// A condition of the slice is not met.
    Store(StoreError),
}

impl WorkError {
    fn into_store(self, failed: impl FnOnce(rusqlite::Error) -> StoreError) -> StoreError {
        match self {
            Self::Sqlite(error) => failed(error),
            Self::Store(error) => error,
        }
    }
}

impl From<rusqlite::Error> for WorkError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<StoreError> for WorkError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        StoreError::new(
            StoreErrorKind::Internal,
            format!("work on {FILE_NAME} was cut off"),
        )
        .with_source(error)
    })?
}

fn broken() -> StoreError {
    StoreError::new(
        StoreErrorKind::Unavailable,
        format!(
            "{FILE_NAME} takes no more writes: the disk failed one; see the log, and restart the server"
        ),
    )
}

fn closed() -> StoreError {
    StoreError::new(
        StoreErrorKind::Unavailable,
        "the server is shutting down; send this to another one",
    )
}

fn open_writer(path: &Path) -> Result<Connection, StoreError> {
    let failed = |error| sqlite::failed(FILE_NAME, "open station.db", error);
    let mut connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )
    .map_err(failed)?;
    configure(&connection).map_err(failed)?;
    connection
        .pragma_update(None, "journal_mode", "WAL")
        // A commit is acknowledged once the write-ahead log is flushed: that is what FULL adds to WAL.
        .and_then(|()| connection.pragma_update(None, "synchronous", "FULL"))
        .map_err(failed)?;
    migrate(&mut connection)?;
    Ok(connection)
}

/// Opens one more connection that only reads, while the database is where it was opened first.
fn open_reader_of(directory: &DataDirectory) -> Result<Connection, StoreError> {
    let path = directory.join(FILE_NAME);
    if directory.is_read_only() {
        let failed = |error| sqlite::failed(FILE_NAME, "open station.db", error);
        let connection = sqlite::open_untouched(&path)?;
        configure(&connection).map_err(failed)?;
        return Ok(connection);
    }
    directory.check_database(FILE_NAME)?;
    open_reader(&path)
}

pub(crate) fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let failed = |error| sqlite::failed(FILE_NAME, "open station.db", error);
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )
    .map_err(failed)?;
    configure(&connection).map_err(failed)?;
    Ok(connection)
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(64);
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.busy_timeout(Duration::from_secs(5))
}

/// Refuses a database that has to be brought up to date, and may not be.
fn check_up_to_date(connection: &Connection) -> Result<(), StoreError> {
    let seen = seen(connection)?;
    if seen == MIGRATIONS.len() {
        return Ok(());
    }
    Err(StoreError::new(
        StoreErrorKind::Unavailable,
        format!(
            "{FILE_NAME} has schema version {seen}, and this program reads {}; it is brought up to date by a server that may write: \
             start one without --read-only once, on a copy if need be",
            MIGRATIONS.len()
        ),
    ))
}

/// How many of the changes this file has seen.
fn seen(connection: &Connection) -> Result<usize, StoreError> {
    let failed = |error| sqlite::failed(FILE_NAME, "read station.db", error);
    let pragma = |name: &str| {
        connection
            .pragma_query_value(None, name, |row| row.get::<_, i32>(0))
            .map_err(failed)
    };
    let application = pragma("application_id")?;
    let version = pragma("user_version")?;
    let ours = application == APPLICATION_ID || (application == 0 && version == 0);
    let seen = usize::try_from(version).ok().filter(|_| ours);
    let Some(seen) = seen else {
        return Err(sqlite::damaged(
            FILE_NAME,
            "it is not a Fieldstation database",
        ));
    };
    if seen > MIGRATIONS.len() {
        return Err(StoreError::new(
            StoreErrorKind::Damaged,
            format!(
                "{FILE_NAME} has schema version {seen}, and this program knows {}; run the version of fieldstation that \
                 wrote it, or a newer one",
                MIGRATIONS.len()
            ),
        ));
    }
    Ok(seen)
}

/// Runs the changes that this file has not seen, each in a transaction with its number.
fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let failed = |error| sqlite::failed(FILE_NAME, "bring station.db up to date", error);
    let seen = seen(connection)?;
    let unseen = MIGRATIONS.get(seen..).unwrap_or_default();
    for (number, change) in (seen + 1..).zip(unseen) {
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(failed)?;
        transaction.execute_batch(change).map_err(failed)?;
        transaction
            .pragma_update(None, "application_id", APPLICATION_ID)
            .and_then(|()| transaction.pragma_update(None, "user_version", number as i64))
            .and_then(|()| transaction.commit())
            .map_err(failed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(directory: &Path) -> Arc<StationDatabase> {
        StationDatabase::open(Arc::new(DataDirectory::open(directory).unwrap())).unwrap()
    }

    #[tokio::test]
    async fn what_was_written_is_read_and_what_failed_is_undone() {
        let directory = tempfile::tempdir().unwrap();
        let database = open(directory.path());
        database
            .write("make a table", |transaction| {
                Ok(transaction.execute_batch("CREATE TABLE words (word TEXT NOT NULL) STRICT")?)
            })
            .await
            .unwrap();
        let refused: Result<(), _> = database
            .write("keep a word", |transaction| {
                transaction.execute("INSERT INTO words VALUES ('lost')", [])?;
                Err(StoreError::new(StoreErrorKind::Unsupported, "no").into())
            })
            .await;
        assert_eq!(refused.unwrap_err().kind(), StoreErrorKind::Unsupported);
        let words = |database: Arc<StationDatabase>| async move {
            database
                .read("read the words", |transaction| {
                    let mut statement = transaction.prepare("SELECT word FROM words")?;
                    let words = statement
                        .query_map([], |row| row.get::<_, String>(0))?
                        .collect::<rusqlite::Result<Vec<_>>>()?;
                    Ok(words)
                })
                .await
                .unwrap()
        };
        assert!(words(Arc::clone(&database)).await.is_empty());
        database
            .write("keep a word", |transaction| {
                transaction.execute("INSERT INTO words VALUES ('kept')", [])?;
                Ok(())
            })
            .await
            .unwrap();
        database.close().await;
        assert_eq!(
            database.ready().unwrap_err().kind(),
            StoreErrorKind::Unavailable
        );
        drop(database);
        assert_eq!(words(open(directory.path())).await, ["kept"]);
    }

    #[tokio::test]
    async fn todos_that_an_older_version_wrote_are_found_by_their_texts_and_numbers() {
        let directory = tempfile::tempdir().unwrap();
        let older = Connection::open(directory.path().join(FILE_NAME)).unwrap();
        for change in &MIGRATIONS[..3] {
            older.execute_batch(change).unwrap();
        }
        for (pragma, value) in [("application_id", APPLICATION_ID), ("user_version", 3)] {
            older.pragma_update(None, pragma, value).unwrap();
        }
        older
            .execute_batch(
                "INSERT INTO todos (id, title, title_folded, description, description_folded, deadline, status, created_at, updated_at)
                 VALUES ('1', 'Fix TV', 'fix tv', '', '', 0, 'pending', 0, 0), ('2', 'TV', 'tv', 'ok', 'ok', 0, 'pending', 0, 0)",
            )
            .unwrap();
        older.close().unwrap();
        let database = open(directory.path());
        let keys = |sql: &'static str, what: &'static str| {
            database.read("look for a text", move |transaction| {
                let mut statement = transaction.prepare(sql)?;
                let keys = statement
                    .query_map(rusqlite::params![what, 10], |row| row.get(0))?
                    .collect::<rusqlite::Result<Vec<i64>>>()?;
                Ok(keys)
            })
        };
        let with_trigrams = include_str!("todos/sql/sqlite/with_trigrams.sql");
        let with_beginning = include_str!("todos/sql/sqlite/with_beginning.sql");
        assert_eq!(keys(with_trigrams, "\"x t\"").await.unwrap(), [1]);
        assert_eq!(keys(with_beginning, "tv").await.unwrap(), [1, 2]);
        assert_eq!(keys(with_beginning, "k").await.unwrap(), [2]);
        assert!(keys(with_beginning, "vt").await.unwrap().is_empty());
        let numbers = "SELECT number FROM todos WHERE ?1 = '' ORDER BY key LIMIT ?2";
        assert_eq!(keys(numbers, "").await.unwrap(), [268_435_456, 268_435_457]);
        database.close().await;
    }

    #[test]
    fn a_file_that_is_not_ours_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE_NAME);
        Connection::open(&path)
            .unwrap()
            .pragma_update(None, "user_version", 7)
            .unwrap();
        let held = Arc::new(DataDirectory::open(directory.path()).unwrap());
        let error = StationDatabase::open(Arc::clone(&held)).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Damaged, "{error}");
        let connection = Connection::open(&path).unwrap();
        connection
            .pragma_update(None, "application_id", APPLICATION_ID)
            .unwrap();
        connection
            .pragma_update(None, "user_version", 1_000_000)
            .unwrap();
        let error = StationDatabase::open(held).unwrap_err();
        assert!(error.message().contains("1000000"), "{error}");
    }
}

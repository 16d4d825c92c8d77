//! `station.db`: the embedded database of everything but readings, so that neither waits for the other.

mod check;
mod copy;
mod schema;

use std::path::Path;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tracing::error;

use super::data_directory::DataDirectory;
use super::sqlite::ReaderPool;
use super::sqlite::write_ahead_log::Folding;
use super::sqlite::{self, write_ahead_log};
use crate::error::{StoreError, StoreErrorKind};
use crate::trouble::chain;

pub(crate) use self::check::{check, check_files, sound_rows};
pub(crate) use self::copy::{open_copy, snapshot};

use self::schema::DATABASE;

/// The file's name in the data directory.
pub(crate) const FILE_NAME: &str = "station.db";

const READERS: u32 = 4;

/// The open database. What it acknowledges is flushed to disk; a read sees every write that was acknowledged before it.
#[derive(Debug)]
pub struct AppDatabase {
    /// Before the writer, so that they are dropped first: the last connection to close moves the write-ahead log into the
    /// file, which one that only reads cannot.
    readers: Arc<ReaderPool>,
    /// What is written with; in a directory that is only read, a connection like the others.
    writer: Mutex<Connection>,
    folding: Folding,
    /// One write at a time; the others wait without a thread each.
    writing: Arc<Semaphore>,
    broken: OnceLock<()>,
    breaks: Notify,
    // Held for as long as the file is open.
    directory: Arc<DataDirectory>,
}

impl AppDatabase {
    /// Opens the database, creating it if it is missing, and brings its tables up to date.
    ///
    /// # Errors
    /// When it cannot be opened, is not ours, or was written by a newer version.
    pub fn open(directory: Arc<DataDirectory>) -> Result<Arc<Self>, StoreError> {
        let mut writer = if directory.is_read_only() {
            let connection = directory.open_reader(&DATABASE)?;
            DATABASE.check_up_to_date(&connection)?;
            connection
        } else {
            directory.open_writer(&DATABASE)?
        };
        let folding = Folding::of(&mut writer, DATABASE.checkpoint_pages)
            .map_err(|error| DATABASE.error("open station.db", error))?;
        let read = Arc::clone(&directory);
        Ok(Arc::new(Self {
            readers: ReaderPool::new(READERS, move || read.open_reader(&DATABASE)),
            writer: Mutex::new(writer),
            folding,
            writing: Arc::new(Semaphore::new(1)),
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
        let turn = self.turn().await?;
        let this = Arc::clone(self);
        blocking(move || {
            // A write that has begun ends, whether or not anybody waits for it, and has its turn until then.
            let _turn = turn;
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
        let turn = self.turn().await?;
        let this = Arc::clone(self);
        blocking(move || {
            let _turn = turn;
            this.open_for_changes()?;
            let disk = this.directory.disk();
            disk.with_reserve(|| this.transact(what, &work))
        })
        .await
    }

    async fn turn(&self) -> Result<OwnedSemaphorePermit, StoreError> {
        let turn = Arc::clone(&self.writing).acquire_owned().await;
        turn.map_err(|_| sqlite::stopped())
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
        let done =
            done.map_err(|error| error.into_store(|error| self.failed(what, error, is_undone)));
        // What is committed is durable, whatever becomes of this. Without room the log is folded later.
        if let Err(error) = self.folding.after_commit(&connection) {
            self.failed("fold the write-ahead log into station.db", error, true);
        }
        if self.broken.get().is_some() {
            write_ahead_log::leave(&connection);
        }
        drop(connection);
        let answer = done?;
        self.directory.confirm(FILE_NAME)?;
        Ok(answer)
    }

    /// Runs reads that see one moment. They are stopped when the caller stops waiting.
    ///
    /// # Errors
    /// Those of `work`.
    pub async fn read<T, W>(self: &Arc<Self>, what: &'static str, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: FnOnce(&Transaction<'_>) -> Result<T, WorkError> + Send + 'static,
    {
        let read = self.readers.read(move |reader| {
            let failed = |error| DATABASE.error(what, error);
            let connection = reader.connection()?;
            let transaction = connection.unchecked_transaction().map_err(failed)?;
            work(&transaction).map_err(|error| error.into_store(failed))
        });
        read.await
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
            return Err(sqlite::stopped());
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

    /// Refuses what comes from now on, stops the reads that are under way, and waits for the writes.
    pub async fn close(&self) {
        // The last connection to close moves the write-ahead log into the file: the readers go first.
        self.readers.close().await;
        // The turn is waited for before the door is shut on those that still queue for one.
        let turn = self.writing.acquire().await;
        self.writing.close();
        drop(turn);
    }

    /// Past an error of input or output nobody knows what is on the disk: a flush that is tried again lies. A write that found no
    /// room, and is undone, is no such error.
    fn failed(&self, what: &str, error: rusqlite::Error, is_undone: bool) -> StoreError {
        let is_failure_of_disk = write_ahead_log::is_failure_of_disk(&error);
        let mut error = DATABASE.error(what, error);
        if is_undone {
            error = self.directory.explain(error);
        }
        let is_explained = error.kind() == StoreErrorKind::StorageFull;
        if !is_undone || (is_failure_of_disk && !is_explained) {
            error!(error = chain(&error), "station.db takes no more writes");
            let _ = self.broken.set(());
            self.breaks.notify_waiters();
            return broken().with_source(error);
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

/// Opens the database of a data directory that no server holds, to look at it: its tables stay as they are. What SQLite recovers is
/// durable before anything is done with it, as at the start of a server.
///
/// # Errors
/// When it cannot be opened.
pub(crate) fn open_held(directory: &DataDirectory) -> Result<Connection, StoreError> {
    if directory.is_read_only() {
        return directory.open_reader(&DATABASE);
    }
    let path = directory.join(FILE_NAME);
    DATABASE.make_log_durable(&path)?;
    DATABASE.open_as_it_is(&path)
}

/// Opens a connection that only reads, beside the server that writes to the file.
///
/// # Errors
/// When it cannot be opened.
pub(crate) fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    DATABASE.open_reader(path)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn open(directory: &Path) -> Arc<AppDatabase> {
        AppDatabase::open(Arc::new(DataDirectory::open(directory).unwrap())).unwrap()
    }

    #[tokio::test]
    async fn what_was_written_is_read_and_what_failed_is_undone() {
        let directory = tempfile::tempdir().unwrap();
        let database = open(directory.path());
        let refused: Result<(), _> = database
            .write("keep a word", |transaction| {
                transaction.execute("INSERT INTO greeting (id, word) VALUES (1, 'lost')", [])?;
                Err(StoreError::new(StoreErrorKind::Unsupported, "no").into())
            })
            .await;
        assert_eq!(refused.unwrap_err().kind(), StoreErrorKind::Unsupported);
        let words = |database: Arc<AppDatabase>| async move {
            database
                .read("read the words", |transaction| {
                    let mut statement = transaction.prepare("SELECT word FROM greeting")?;
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
                transaction.execute("INSERT INTO greeting (id, word) VALUES (1, 'kept')", [])?;
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
    async fn a_write_that_nobody_waits_for_any_more_ends_before_the_database_is_closed() {
        let directory = tempfile::tempdir().unwrap();
        let database = open(directory.path());
        let (release, released) = std::sync::mpsc::sync_channel::<()>(1);
        let (begun, begins) = tokio::sync::oneshot::channel();
        let writing = Arc::clone(&database);
        let write = tokio::spawn(async move {
            let work = move |transaction: &Transaction<'_>| {
                transaction.execute("INSERT INTO greeting (id, word) VALUES (1, 'kept')", [])?;
                begun.send(()).unwrap();
                released.recv_timeout(Duration::from_secs(60)).unwrap();
                Ok(())
            };
            writing.write("keep a word", work).await
        });
        begins.await.unwrap();
        write.abort();
        let mut closing = std::pin::pin!(database.close());
        let early = tokio::time::timeout(Duration::from_millis(100), &mut closing).await;
        assert!(early.is_err(), "it was closed while something was written");
        release.send(()).unwrap();
        closing.await;
        let reader = open_reader(&directory.path().join(FILE_NAME)).unwrap();
        let word: String = reader
            .query_row("SELECT word FROM greeting", [], |row| row.get(0))
            .unwrap();
        assert_eq!(word, "kept");
    }
}

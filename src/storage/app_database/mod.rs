//! `station.db`: the embedded database of todos, files and the greeting. Readings have their own database, so that no write waits for a
//! write of the other database.

mod check;
mod copy;
mod schema;
mod work_error;

use std::path::Path;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
pub(crate) use rusqlite::Connection;
use rusqlite::{Transaction, TransactionBehavior};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tracing::error;

use super::data_directory::DataDirectory;
use super::sqlite::ReaderPool;
use super::sqlite::write_ahead_log::{self, Checkpointer};
use crate::error::chain;
use crate::error::{StoreError, StoreErrorKind};

pub(crate) use self::check::{check, check_files, sound_rows};
pub(crate) use self::copy::{open_copy, snapshot};
pub use self::work_error::WorkError;

use self::schema::DATABASE;

/// The file's name in the data directory.
pub(crate) const FILE_NAME: &str = "station.db";

const READERS: u32 = 4;

/// The open database. An acknowledged write is flushed to disk. A read sees every write acknowledged before the read began.
#[derive(Debug)]
pub struct AppDatabase {
    /// Before the writer, so that the readers are dropped first. The last closed connection makes a checkpoint, and a reading connection
    /// cannot make a checkpoint.
    readers: Arc<ReaderPool>,
    /// The writing connection; in a directory that is only read, a reading connection.
    writer: Mutex<Connection>,
    checkpointer: Checkpointer,
    /// Only a single write at a time. Waiting writes occupy no thread.
    writing: Arc<Semaphore>,
    is_broken: OnceLock<()>,
    broken: Notify,
    // Locked for as long as the file is open.
    directory: Arc<DataDirectory>,
}

impl AppDatabase {
    /// Opens the database, or creates a missing database, and brings the tables up to date.
    ///
    /// # Errors
    /// When the file cannot be opened, belongs to another program, is damaged, or was written by a newer version.
    pub fn open(directory: Arc<DataDirectory>) -> Result<Arc<Self>, StoreError> {
        let mut writer = if directory.is_read_only() {
            let connection = directory.open_reader(&DATABASE)?;
            DATABASE.check_up_to_date(&connection)?;
            connection
        } else {
            directory.open_writer(&DATABASE)?
        };
        let checkpointer = Checkpointer::new(&mut writer, DATABASE.checkpoint_pages)
            .map_err(|error| DATABASE.error("open station.db", error))?;
        let read = Arc::clone(&directory);
        Ok(Arc::new(Self {
            readers: ReaderPool::new(READERS, move || read.open_reader(&DATABASE)),
            writer: Mutex::new(writer),
            checkpointer,
            writing: Arc::new(Semaphore::new(1)),
            is_broken: OnceLock::new(),
            broken: Notify::new(),
            directory,
        }))
    }

    /// Runs a transaction to add or change rows. The transaction is committed and durable when this returns `Ok`, and rolled back when
    /// `work` fails. `what` completes "could not".
    ///
    /// # Errors
    /// Those of `work`; [`StoreErrorKind::StorageFull`] when the disk has no room; [`StoreErrorKind::Unavailable`] after a failure of
    /// the disk, and while the data directory is missing; [`StoreErrorKind::Unconfirmed`] when the data directory was removed or
    /// replaced during the transaction.
    pub async fn write<T, W>(self: &Arc<Self>, what: &'static str, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: FnOnce(&Transaction<'_>) -> Result<T, WorkError> + Send + 'static,
    {
        self.open_for_additions()?;
        let turn = self.turn().await?;
        let this = Arc::clone(self);
        blocking(move || {
            // After the start, a write runs to the end and keeps the permit, even if the caller stops waiting.
            let _turn = turn;
            // The disk may have failed while this write waited for the permit.
            this.open_for_additions()?;
            this.transact(what, work)
        })
        .await
    }

    /// Runs a transaction to remove rows, also on a full disk: the reserve gives the needed room. `work` may run more than once; only the
    /// last run is committed.
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
        turn.map_err(|_| StoreError::shutting_down())
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
        let done = done
            .map_err(|error| error.into_store(|error| self.write_error(what, error, is_undone)));
        // The commit is durable, whether the checkpoint succeeds or not. Without room a later checkpoint is made.
        if let Err(error) = self.checkpointer.after_commit(&connection) {
            self.write_error("copy the write-ahead log into station.db", error, true);
        }
        if self.is_broken.get().is_some() {
            write_ahead_log::forbid_checkpoint_on_close(&connection);
        }
        drop(connection);
        let answer = done?;
        self.directory.confirm(FILE_NAME)?;
        Ok(answer)
    }

    /// Runs reads in a single transaction, so that all reads see the same snapshot. When the caller stops waiting, the reads are stopped.
    ///
    /// # Errors
    /// Those of `work`.
    pub async fn read<T, W>(self: &Arc<Self>, what: &'static str, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: FnOnce(&Transaction<'_>) -> Result<T, WorkError> + Send + 'static,
    {
        let read = self.readers.read(move |reader| {
            let query_error = |error| DATABASE.error(what, error);
            let connection = reader.connection()?;
            let transaction = connection.unchecked_transaction().map_err(query_error)?;
            work(&transaction).map_err(|error| error.into_store(query_error))
        });
        read.await
    }

    /// Whether a write would be accepted now; in a directory that is only read, whether a read would be.
    ///
    /// # Errors
    /// [`StoreErrorKind::Unavailable`] after a failure of the disk, once closed, and while the data directory is missing;
    /// [`StoreErrorKind::StorageFull`] while the disk is full.
    pub fn ready(&self) -> Result<(), StoreError> {
        self.is_open()?;
        self.directory.ready()
    }

    /// Whether rows may be added now.
    ///
    /// # Errors
    /// Those of [`Self::ready`]; [`StoreErrorKind::ReadOnly`] in a directory that is only read.
    pub(crate) fn open_for_additions(&self) -> Result<(), StoreError> {
        self.is_open()?;
        self.directory.check_additions()
    }

    fn open_for_changes(&self) -> Result<(), StoreError> {
        self.is_open()?;
        self.directory.check_changes()
    }

    fn is_open(&self) -> Result<(), StoreError> {
        if self.is_broken.get().is_some() {
            return Err(disk_failed());
        }
        if self.writing.is_closed() {
            return Err(StoreError::shutting_down());
        }
        Ok(())
    }

    /// Resolves once the disk has failed a write: the process should drain and stop.
    pub async fn failed(&self) -> StoreError {
        loop {
            let notified = self.broken.notified();
            if self.is_broken.get().is_some() {
                return disk_failed();
            }
            notified.await;
        }
    }

    /// Refuses new requests, stops the reads under way, and waits for the writes under way. To be called once, after all stores with data
    /// in the database are closed.
    pub async fn close(&self) {
        // The last closed connection makes a checkpoint. Only the writer can make a checkpoint, so the readers are closed first.
        self.readers.close().await;
        // Waits for the permit first, and then refuses the waiting writes.
        let turn = self.writing.acquire().await;
        self.writing.close();
        drop(turn);
    }

    /// Names the error of a write. After an error of input or output the content of the disk is unknown, and a second flush may report
    /// success for lost data. So no later write is acknowledged. A failure for lack of room is harmless if the write was rolled back.
    fn write_error(&self, what: &str, error: rusqlite::Error, is_undone: bool) -> StoreError {
        let is_failure_of_disk = write_ahead_log::is_failure_of_disk(&error);
        let mut error = DATABASE.error(what, error);
        if is_undone {
            error = self.directory.explain(error);
        }
        let is_explained = error.kind() == StoreErrorKind::StorageFull;
        if !is_undone || (is_failure_of_disk && !is_explained) {
            error!(error = chain(&error), "station.db takes no more writes");
            let _ = self.is_broken.set(());
            self.broken.notify_waiters();
            return disk_failed().with_source(error);
        }
        error
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| StoreError::cut_off(&format!("work on {FILE_NAME}"), error))?
}

fn disk_failed() -> StoreError {
    StoreError::new(
        StoreErrorKind::Unavailable,
        format!(
            "{FILE_NAME} takes no more writes: the disk failed one; see the log, and restart the server"
        ),
    )
}

/// Opens the database of a data directory to check the database. No server may use the directory meanwhile. The tables are not migrated. As
/// at the start of a server, the write-ahead log is durable before SQLite recovers the commits from the log.
///
/// # Errors
/// When the file cannot be opened.
pub(crate) fn open_held(directory: &DataDirectory) -> Result<Connection, StoreError> {
    if directory.is_read_only() {
        return directory.open_reader(&DATABASE);
    }
    let path = directory.join(FILE_NAME);
    DATABASE.make_log_durable(&path)?;
    DATABASE.open_as_it_is(&path)
}

/// Opens a connection for reads only, while a server writes to the file.
///
/// # Errors
/// When the file cannot be opened.
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

//! Reads that see one moment: a read transaction on the chunks, and the tails that go with it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use rusqlite::Connection;

use super::committer::Shared;
use super::database::{self, Ledger, failed};
use super::index::Index;
use crate::data_directory::DataDirectory;
use crate::error::{StoreError, StoreErrorKind};

/// Connections that only read, opened as they are needed, up to a bound.
#[derive(Debug)]
pub(crate) struct ReaderPool {
    directory: Arc<DataDirectory>,
    state: Mutex<PoolState>,
    returned: Condvar,
    readers_max: usize,
}

#[derive(Debug, Default)]
struct PoolState {
    idle: VecDeque<Connection>,
    open: usize,
}

impl ReaderPool {
    pub(crate) fn new(directory: Arc<DataDirectory>, readers_max: usize) -> Self {
        Self {
            directory,
            state: Mutex::default(),
            returned: Condvar::new(),
            readers_max,
        }
    }

    /// A connection; waits for one while all are in use. Blocks: for the threads that may.
    fn take(self: &Arc<Self>) -> Result<Reader, StoreError> {
        let mut state = self.state.lock();
        let connection = loop {
            if let Some(connection) = state.idle.pop_back() {
                break connection;
            }
            if state.open < self.readers_max {
                state.open += 1;
                drop(state);
                break database::open_reader_of(&self.directory).inspect_err(|_| self.forget())?;
            }
            self.returned.wait(&mut state);
        };
        Ok(Reader {
            connection: Some(connection),
            pool: Arc::clone(self),
        })
    }

    fn forget(&self) {
        self.state.lock().open -= 1;
        self.returned.notify_one();
    }

    /// Closes the idle ones: the last connection to close removes the write-ahead log.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        state.open -= state.idle.len();
        state.idle.clear();
    }
}

/// A connection on loan.
#[derive(Debug)]
struct Reader {
    /// `None` only while it is given back.
    connection: Option<Connection>,
    pool: Arc<ReaderPool>,
}

impl Reader {
    fn connection(&self) -> Result<&Connection, StoreError> {
        self.connection.as_ref().ok_or_else(|| {
            StoreError::new(
                StoreErrorKind::Internal,
                "a reader was used after it was given back",
            )
        })
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else {
            return;
        };
        // A connection that cannot leave its transaction is not one to use again.
        if connection.is_autocommit() || connection.execute_batch("ROLLBACK").is_ok() {
            self.pool.state.lock().idle.push_back(connection);
            self.pool.returned.notify_one();
        } else {
            drop(connection);
            self.pool.forget();
        }
    }
}

/// A moment: the chunks as they were, and what was taken from the index to go with them.
#[derive(Debug)]
pub(crate) struct Snapshot<T> {
    reader: Reader,
    /// What `look` returned.
    pub(crate) seen: T,
}

impl<T> Snapshot<T> {
    /// The read transaction.
    pub(crate) fn connection(&self) -> Result<&Connection, StoreError> {
        self.reader.connection()
    }

    /// Takes what `look` picks from the index, together with a read transaction that sees the chunks of that same moment.
    ///
    /// A commit that seals becomes visible in the file a little before the tails let go of what was sealed. In between the
    /// generations differ, and both are looked at again.
    pub(crate) fn take(
        pool: &Arc<ReaderPool>,
        shared: &Shared,
        look: impl Fn(&Index) -> T,
    ) -> Result<Self, StoreError> {
        let reader = pool.take()?;
        loop {
            let connection = reader.connection()?;
            connection
                .execute_batch("BEGIN")
                .map_err(|error| failed("begin to read", error))?;
            let generation = Ledger::read(connection)?.generation;
            let index = shared.index.read();
            if index.generation == generation {
                let seen = look(&index);
                drop(index);
                return Ok(Self { reader, seen });
            }
            drop(index);
            connection
                .execute_batch("ROLLBACK")
                .map_err(|error| failed("read again", error))?;
            std::thread::sleep(Duration::from_micros(100));
        }
    }
}

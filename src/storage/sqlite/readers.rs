//! A pool of connections for reads. Requests get a connection in the order of arrival. When a caller stops waiting, the pool stops the
//! read.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::error::{StoreError, StoreErrorKind};

/// SQLite checks after this number of instructions whether the read was stopped. The instructions take a fraction of a millisecond.
const STEPS: i32 = 100;

/// How long closing waits for the stopped reads. A stopped read may still wait for the disk.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// Connections for reads. The pool opens a connection when a read needs one, up to a bound.
pub(crate) struct ReaderPool {
    open: Box<dyn Fn() -> Result<Connection, StoreError> + Send + Sync>,
    idle: Mutex<Vec<Connection>>,
    /// A permit for each connection. A request that waits for a permit occupies no thread.
    turns: Arc<Semaphore>,
    readers_max: u32,
    /// Stops every read.
    closing: CancellationToken,
}

impl ReaderPool {
    /// A pool of up to `readers_max` connections. `open` makes each connection.
    pub(crate) fn new(
        readers_max: u32,
        open: impl Fn() -> Result<Connection, StoreError> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            open: Box::new(open),
            idle: Mutex::default(),
            turns: Arc::new(Semaphore::new(readers_max as usize)),
            readers_max,
            closing: CancellationToken::new(),
        })
    }

    /// Waits for a connection, then runs `work` in a thread for blocking work. When the caller stops waiting, the request leaves the queue,
    /// or the work is stopped.
    ///
    /// # Errors
    /// Those of `work`; [`StoreErrorKind::Unavailable`] once the pool is closed.
    pub(crate) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(Reader) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let turn = tokio::select! {
            biased;
            () = self.closing.cancelled() => return Err(StoreError::shutting_down()),
            turn = Arc::clone(&self.turns).acquire_owned() => turn.map_err(|_| StoreError::shutting_down())?,
        };
        let (pool, stop) = (Arc::clone(self), self.closing.child_token());
        while_waited_for(&stop.clone(), move || work(pool.reader(stop, turn)?)).await
    }

    fn reader(
        self: Arc<Self>,
        stop: CancellationToken,
        turn: OwnedSemaphorePermit,
    ) -> Result<Reader, StoreError> {
        let idle = self.idle.lock().pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => (self.open)()?,
        };
        let asked = stop.clone();
        connection
            .progress_handler(STEPS, Some(move || asked.is_cancelled()))
            .map_err(|error| unexpected("begin to read", error))?;
        Ok(Reader {
            connection: Some(connection),
            pool: self,
            stop,
            _turn: turn,
        })
    }

    /// Refuses new reads, and stops the reads under way.
    pub(crate) fn stop(&self) {
        self.closing.cancel();
        self.idle.lock().clear();
    }

    /// Does what [`stop`](Self::stop) does, and waits a few seconds at most until all reads have ended and all connections are closed.
    pub(crate) async fn close(&self) {
        self.stop();
        let all = self.turns.acquire_many(self.readers_max);
        // A read may wait longer for the disk. Such a read keeps the connection, and nothing else depends on this connection.
        let _ = tokio::time::timeout(STOP_TIMEOUT, all).await;
    }
}

impl fmt::Debug for ReaderPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "up to {} readers", self.readers_max)
    }
}

/// A connection of the pool, on loan, and the permit for it.
#[derive(Debug)]
pub(crate) struct Reader {
    /// `None` only while the connection is returned.
    connection: Option<Connection>,
    pool: Arc<ReaderPool>,
    stop: CancellationToken,
    /// Released after the connection is returned.
    _turn: OwnedSemaphorePermit,
}

impl Reader {
    /// The connection. Statements fail once the read is stopped.
    pub(crate) fn connection(&self) -> Result<&Connection, StoreError> {
        self.connection
            .as_ref()
            .ok_or_else(|| unexpected("read", "the connection has been returned"))
    }

    /// For long loops without statements.
    ///
    /// # Errors
    /// [`StoreErrorKind::Unavailable`] once the read is stopped.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        if self.stop.is_cancelled() {
            Err(StoreError::shutting_down())
        } else {
            Ok(())
        }
    }

    /// The token to stop the read.
    pub(crate) fn stop(&self) -> &CancellationToken {
        &self.stop
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let Some(mut connection) = self.connection.take() else {
            return;
        };
        // The ROLLBACK must not be stopped. If the transaction cannot be ended, the connection is not used again.
        let is_clean = connection.progress_handler(0, None::<fn() -> bool>).is_ok()
            && (connection.is_autocommit() || connection.execute_batch("ROLLBACK").is_ok());
        let mut idle = self.pool.idle.lock();
        if is_clean && !self.pool.closing.is_cancelled() {
            idle.push(connection);
        }
    }
}

/// Runs `work` in a thread for blocking work, and cancels `stop` when the caller stops waiting.
///
/// # Errors
/// Those of `work`.
pub(crate) async fn while_waited_for<T: Send + 'static>(
    stop: &CancellationToken,
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let asked = stop.clone();
    let waited_for = stop.clone().drop_guard();
    let done = tokio::task::spawn_blocking(move || {
        // The caller may have stopped waiting before a thread was free.
        if asked.is_cancelled() {
            return Err(StoreError::shutting_down());
        }
        work()
    })
    .await
    .unwrap_or_else(|error| Err(StoreError::cut_off("a read", error)));
    waited_for.disarm();
    done
}

fn unexpected(
    what: &str,
    error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> StoreError {
    StoreError::new(StoreErrorKind::Internal, format!("could not {what}")).with_source(error)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use tempfile::TempDir;

    use super::*;

    /// A statement that runs longer than the tests wait.
    const LONG: &str = "WITH RECURSIVE numbers (number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM numbers LIMIT 10000000000)
         SELECT count(*) FROM numbers";
    const PATIENCE: Duration = Duration::from_secs(60);

    /// The readers of a database without tables.
    fn pool(readers_max: u32) -> (TempDir, Arc<ReaderPool>) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("test.db");
        let pool = ReaderPool::new(readers_max, move || Ok(Connection::open(&path).unwrap()));
        (directory, pool)
    }

    /// Begins a read with a long statement in a transaction, and returns during the read.
    async fn long_read(pool: &Arc<ReaderPool>) -> tokio::task::JoinHandle<Result<i64, StoreError>> {
        let (begun, begins) = tokio::sync::oneshot::channel();
        let pool = Arc::clone(pool);
        let read = tokio::spawn(async move {
            let work = move |reader: Reader| {
                let connection = reader.connection()?;
                connection
                    .execute_batch("CREATE TEMP TABLE IF NOT EXISTS mark (number INTEGER); BEGIN")
                    .unwrap();
                begun.send(()).unwrap();
                connection
                    .query_row(LONG, [], |row| row.get(0))
                    .map_err(|error| crate::storage::sqlite::query_error("test.db", "count", error))
            };
            pool.read(work).await
        });
        begins.await.unwrap();
        read
    }

    #[tokio::test]
    async fn a_read_that_nobody_waits_for_is_stopped_and_its_connection_is_as_good_as_new() {
        let (_directory, pool) = pool(1);
        long_read(&pool).await.abort();
        let next = pool.read(|reader| {
            let connection = reader.connection()?;
            assert!(connection.is_autocommit());
            // The read gets the same connection, and nothing stops the read.
            connection.execute_batch("SELECT * FROM mark").unwrap();
            let sql = LONG.replace("10000000000", "10000");
            Ok(connection.query_row(&sql, [], |row| row.get::<_, i64>(0)))
        });
        let counted = tokio::time::timeout(PATIENCE, next).await.unwrap();
        assert_eq!(counted.unwrap().unwrap(), 10_000);
    }

    #[tokio::test]
    async fn whoever_stops_waiting_leaves_the_line_and_the_others_keep_their_order() {
        let (_directory, pool) = pool(1);
        let (release, released) = mpsc::sync_channel::<()>(1);
        let (served, order) = mpsc::sync_channel(3);
        let first = Arc::clone(&pool);
        let holding = tokio::spawn(async move {
            let hold = move |_| Ok(released.recv_timeout(PATIENCE).is_ok());
            first.read(hold).await
        });
        let in_line = ["a", "b", "c"].map(|name| {
            let (pool, served) = (Arc::clone(&pool), served.clone());
            tokio::spawn(async move {
                let serve = move |_| {
                    served.send(name).unwrap();
                    Ok(())
                };
                pool.read(serve).await
            })
        });
        // The tasks enter the queue in the order of creation.
        tokio::task::yield_now().await;
        in_line[1].abort();
        release.send(()).unwrap();
        assert!(holding.await.unwrap().unwrap());
        let ends = futures_util::future::join_all(in_line).await;
        assert!(ends[1].as_ref().unwrap_err().is_cancelled());
        drop(served);
        assert_eq!(order.iter().collect::<Vec<_>>(), ["a", "c"]);
    }

    #[tokio::test]
    async fn closing_stops_the_reads_under_way_and_turns_the_line_away() {
        let (_directory, pool) = pool(1);
        let under_way = long_read(&pool).await;
        let waiting = tokio::spawn({
            let pool = Arc::clone(&pool);
            async move { pool.read(|_| Ok(0)).await }
        });
        tokio::task::yield_now().await;
        pool.close().await;
        let late = pool.read(|_| Ok(0)).await;
        for read in [under_way.await.unwrap(), waiting.await.unwrap(), late] {
            assert_eq!(read.unwrap_err().kind(), StoreErrorKind::Unavailable);
        }
        assert!(pool.idle.lock().is_empty());
    }

    #[tokio::test]
    async fn a_read_that_panics_costs_no_turn() {
        let (_directory, pool) = pool(1);
        let failed = pool
            .read(|_| -> Result<(), _> { panic!("on purpose") })
            .await;
        assert_eq!(failed.unwrap_err().kind(), StoreErrorKind::Internal);
        let next = tokio::time::timeout(PATIENCE, pool.read(|_| Ok(7))).await;
        assert_eq!(next.unwrap().unwrap(), 7);
    }
}

//! PostgreSQL as statements see it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::TryStreamExt;
use sqlx_core::error::{BoxDynError, Error};
use sqlx_core::query::query_with;
use sqlx_core::row::Row as _;
use sqlx_postgres::{PgArguments, PgConnection, PgRow};
use tokio::sync::Mutex;
use tokio::time::timeout;
use tracing::{info, warn};

use super::failure::{Cause, failed, migration_failed, timed_out};
use super::pool::{self, Pool};
use super::{Target, migrations};
use crate::error::{StoreError, StoreErrorKind};
use crate::todos::row::PAGE_BYTES_MAX;

/// How long an operation may take, the wait for a connection included: a client is to know within two seconds. The limit of a
/// statement, in settings.sql, is a little shorter.
const OPERATION_TIME_MAX: Duration = Duration::from_millis(1500);
/// How long a goodbye may take at shutdown.
const CLOSE_TIME_MAX: Duration = Duration::from_secs(5);

/// PostgreSQL as statements see it: a pool, tables that are up to date, and a limit of time.
pub(super) struct Database {
    target: Target,
    pool: Pool,
    is_migrated: AtomicBool,
    migrating: Mutex<()>,
}

/// A statement with its values, which can be sent again.
pub(super) struct Statement<'a> {
    /// Completes "could not".
    pub(super) what: &'static str,
    pub(super) sql: &'static str,
    pub(super) values: &'a (dyn Fn(&mut PgArguments) -> Result<(), BoxDynError> + Send + Sync),
    /// Whether sending it again does no more than sending it once.
    pub(super) is_repeatable: bool,
}

/// What a statement answered.
pub(super) struct Rows {
    pub(super) rows: Vec<PgRow>,
    /// Whether there are more, which were not read.
    pub(super) is_cut: bool,
}

impl Database {
    /// Connects and brings the tables up to date. A server that is away for the moment is no error: that is done once it is there.
    ///
    /// # Errors
    /// When PostgreSQL does not let us in, or its tables cannot be brought up to date.
    pub(super) fn open(target: Target) -> Result<Arc<Self>, StoreError> {
        let database = Arc::new(Self {
            pool: Pool::new(target.options.clone(), target.connections_max),
            target,
            is_migrated: AtomicBool::new(false),
            migrating: Mutex::new(()),
        });
        // A thread of its own, since the caller may be one of a runtime. The connection ends with it.
        let migrated = std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .map(|runtime| runtime.block_on(database.migrate()))
            });
            thread.join()
        });
        let migrated = match migrated {
            Ok(Ok(migrated)) => migrated,
            Ok(Err(error)) => return Err(no_thread().with_source(error)),
            Err(_) => return Err(no_thread()),
        };
        let (host, port) = (database.target.host(), database.target.options.get_port());
        let name = database.target.options.get_database();
        match migrated {
            Ok(()) => info!(host, port, database = name, "todos are in PostgreSQL"),
            Err((Cause::Away | Cause::ReadOnly | Cause::TooSlow, error)) => {
                let source = std::error::Error::source(&error).map(ToString::to_string);
                warn!(
                    host, port, database = name, %error, source,
                    "PostgreSQL is away; there are no todos until it is back"
                );
            }
            Err((_, error)) => return Err(error),
        }
        Ok(database)
    }

    /// What a statement answers, in time or not at all.
    ///
    /// # Errors
    /// As [`failed`] says; [`StoreErrorKind::Unavailable`] when it takes too long.
    pub(super) async fn rows(
        self: &Arc<Self>,
        statement: Statement<'_>,
    ) -> Result<Rows, StoreError> {
        let what = statement.what;
        let work = async {
            self.migrated().await?;
            self.send(&statement).await
        };
        match timeout(OPERATION_TIME_MAX, work).await {
            Ok(result) => result,
            Err(_) => {
                // What went unanswered on one connection is not to be tried on the next.
                self.pool.forget();
                Err(timed_out(what))
            }
        }
    }

    /// Closes all connections that nobody uses.
    pub(super) fn forget(&self) {
        self.pool.forget();
    }

    /// Refuses what comes from now on, and waits for what is under way, within bounds.
    pub(super) async fn close(&self) {
        let connections_max = u32::try_from(self.target.connections_max).unwrap_or(u32::MAX);
        // Whoever does not answer a goodbye notices its end.
        let _ = timeout(CLOSE_TIME_MAX, self.pool.close(connections_max)).await;
    }

    async fn send(&self, statement: &Statement<'_>) -> Result<Rows, StoreError> {
        loop {
            let failed = |error| failed(statement.what, error);
            let mut lease = self.pool.lease().await.map_err(failed)?;
            let mut values = PgArguments::default();
            (statement.values)(&mut values).map_err(|error| failed(Error::Encode(error)))?;
            let error = match read(&mut lease.connection, statement.sql, values).await {
                Ok(rows) => {
                    // What was not read would be in the way of the next.
                    if !rows.is_cut {
                        lease.give_back();
                    }
                    return Ok(rows);
                }
                Err(error) => error,
            };
            let (cause, is_reused) = (Cause::of(&error), lease.is_reused);
            drop(lease);
            if matches!(cause, Cause::Away | Cause::ReadOnly) {
                self.pool.forget();
            }
            // The connection may have died before the statement was sent. Another one tells.
            if !(cause == Cause::Away && is_reused && statement.is_repeatable) {
                return Err(failed(error));
            }
        }
    }

    /// Waits until the tables are there, for a server that was started while PostgreSQL was away.
    async fn migrated(self: &Arc<Self>) -> Result<(), StoreError> {
        if self.pool.is_closed() {
            return Err(closed());
        }
        if self.is_migrated.load(Ordering::Acquire) {
            return Ok(());
        }
        // One at a time, and not as a part of the request: one that is given up does not cut a change short.
        if let Ok(turn) = self.migrating.try_lock() {
            drop(turn);
            let this = Arc::clone(self);
            let migrating = tokio::spawn(async move {
                match this.migrating.try_lock() {
                    Ok(_turn) => this.migrate().await,
                    Err(_) => Ok(()),
                }
            });
            match migrating.await {
                Ok(Ok(())) => {}
                Ok(Err((_, error))) => return Err(error),
                Err(error) => return Err(no_thread().with_source(error)),
            }
        }
        // Whoever has the turn is at it.
        drop(self.migrating.lock().await);
        if self.is_migrated.load(Ordering::Acquire) {
            return Ok(());
        }
        Err(StoreError::new(
            StoreErrorKind::Unavailable,
            "the tables in PostgreSQL are not ready yet",
        ))
    }

    async fn migrate(&self) -> Result<(), (Cause, StoreError)> {
        let options = &self.target.options;
        // Whether anybody is there is known soon; waiting for another replica's change takes as long as it takes.
        let probed = timeout(OPERATION_TIME_MAX, pool::connect(options)).await;
        match probed {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => {
                let cause = Cause::of(&error);
                return Err((cause, failed("connect", error)));
            }
            Err(_) => return Err((Cause::Away, timed_out("connect"))),
        }
        match timeout(migrations::TIME_MAX, migrations::run(options)).await {
            Ok(Ok(())) => {
                self.is_migrated.store(true, Ordering::Release);
                Ok(())
            }
            Ok(Err(error)) => Err(migration_failed(error)),
            Err(_) => Err((
                Cause::TooSlow,
                timed_out("bring the tables in PostgreSQL up to date"),
            )),
        }
    }
}

/// Sends a statement and reads its rows, up to about [`PAGE_BYTES_MAX`].
async fn read(
    connection: &mut PgConnection,
    sql: &'static str,
    values: PgArguments,
) -> Result<Rows, Error> {
    let mut stream = query_with(sql, values).fetch(connection);
    let mut read = Rows {
        rows: Vec::new(),
        is_cut: false,
    };
    let mut bytes = 0;
    while let Some(row) = stream.try_next().await? {
        if bytes > PAGE_BYTES_MAX {
            read.is_cut = true;
            break;
        }
        for column in 0..row.len() {
            bytes += row.try_get_raw(column)?.as_bytes().map_or(0, <[u8]>::len);
        }
        read.rows.push(row);
    }
    Ok(read)
}

fn closed() -> StoreError {
    StoreError::new(
        StoreErrorKind::Unavailable,
        "the server is shutting down; send this to another one",
    )
}

fn no_thread() -> StoreError {
    StoreError::new(
        StoreErrorKind::Internal,
        "could not prepare the tables in PostgreSQL",
    )
}

//! PostgreSQL as statements see it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::TryStreamExt;
use parking_lot::Mutex as Lock;
use sqlx_core::error::{BoxDynError, Error};
use sqlx_core::query::query_with;
use sqlx_core::raw_sql::raw_sql;
use sqlx_core::row::Row as _;
use sqlx_postgres::{PgArguments, PgConnection, PgRow};
use tokio::sync::Mutex;
use tokio::time::timeout;
use tracing::info;

use super::failure::{Cause, Failure};
use super::pool::{Lease, Pool};
use super::rest::Rest;
use super::session::Session;
use super::{PostgresUrl, migrations};
use crate::error::{StoreError, StoreErrorKind};
use crate::outage_log::OutageLog;
use crate::todos::row::PAGE_BYTES_MAX;

/// How long an operation may take, the wait for a connection included: a client is to know within two seconds. The limit of a
/// statement, in settings.sql, is a little shorter.
const OPERATION_TIME_MAX: Duration = Duration::from_millis(1500);
/// How long a statement that takes many todos over may take.
const WORK_TIME_MAX: Duration = Duration::from_secs(90);
/// How long a goodbye may take at shutdown.
const CLOSE_TIME_MAX: Duration = Duration::from_secs(5);
/// The longest pause after tables that could not be brought up to date.
const MIGRATION_PAUSE_MAX: Duration = Duration::from_secs(2);

/// PostgreSQL as statements see it: a pool, tables that are up to date, and a limit of time.
pub(super) struct Database {
    target: PostgresUrl,
    pool: Pool,
    is_migrated: AtomicBool,
    migrating: Mutex<()>,
    migration_rest: Rest,
    outage_log: OutageLog,
    /// What writes failed of, although reads may go well all the time.
    writes_fail: Lock<Option<Cause>>,
    warnings: Lock<Vec<String>>,
}

/// A statement with its values, which can be sent again.
pub(super) struct Statement<'a> {
    /// Completes "could not".
    pub(super) what: &'static str,
    pub(super) sql: &'static str,
    pub(super) values: &'a (dyn Fn(&mut PgArguments) -> Result<(), BoxDynError> + Send + Sync),
    /// What it shows when it goes well.
    pub(super) kind: StatementKind,
}

/// What a statement does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StatementKind {
    /// It reads, so sending it again does no harm.
    Read,
    /// It asks whether writes would be taken.
    Question,
    /// It writes, and sending it again does no more than sending it once.
    RepeatableWrite,
    /// It writes.
    Write,
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
    pub(super) fn open(target: PostgresUrl) -> Result<Arc<Self>, StoreError> {
        let database = Arc::new(Self {
            pool: Pool::new(Session::new(&target), target.connections_max),
            target,
            is_migrated: AtomicBool::new(false),
            migrating: Mutex::new(()),
            migration_rest: Rest::new(MIGRATION_PAUSE_MAX),
            outage_log: OutageLog::new("todos", super::BACKEND),
            writes_fail: Lock::default(),
            warnings: Lock::default(),
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
            Err(failure) if failure.may_pass() => {
                info!(
                    host,
                    port,
                    database = name,
                    "todos are in PostgreSQL, which is away; there are none until it is back"
                );
                database.outage_log.report_failure(&failure.for_log());
            }
            Err(failure) => return Err(failure.into_error()),
        }
        Ok(database)
    }

    /// What a statement answers, in time or not at all.
    ///
    /// # Errors
    /// As [`Cause`] says; [`StoreErrorKind::Unavailable`] when it takes too long.
    pub(super) async fn rows(
        self: &Arc<Self>,
        statement: Statement<'_>,
    ) -> Result<Rows, StoreError> {
        let work = async {
            self.migrated().await?;
            self.send(&statement).await
        };
        let result = match timeout(OPERATION_TIME_MAX, work).await {
            Ok(result) => result,
            Err(_) => {
                // What went unanswered on one connection is not to be tried on the next.
                self.pool.forget();
                Err(Failure::timed_out(statement.what))
            }
        };
        match result {
            Ok(rows) => {
                // What a question is answered decides whether it went well.
                if statement.kind != StatementKind::Question {
                    self.went_well(statement.kind);
                }
                Ok(rows)
            }
            Err(failure) => Err(self.failed(statement.kind, failure)),
        }
    }

    /// Begins a transaction of several statements.
    ///
    /// # Errors
    /// As for statements.
    pub(super) async fn begin(
        self: &Arc<Self>,
        what: &'static str,
    ) -> Result<Work<'_>, StoreError> {
        let begun = async {
            self.migrated().await?;
            let mut lease = self.pool.lease(what).await?;
            let begin = self.pool.session().begin();
            let begun = raw_sql(begin).execute(&mut lease.connection).await;
            begun.map_err(|error| Failure::of(what, error))?;
            Ok(lease)
        };
        match timeout(OPERATION_TIME_MAX, begun).await {
            Ok(Ok(lease)) => Ok(Work { lease, what }),
            Ok(Err(failure)) => Err(self.failed(StatementKind::Write, failure)),
            Err(_) => Err(self.failed(StatementKind::Write, Failure::timed_out(what))),
        }
    }

    /// Something is wrong that no statement says.
    pub(super) fn failed(&self, kind: StatementKind, failure: Failure) -> StoreError {
        if failure.cause != Cause::Closed {
            self.outage_log.report_failure(&failure.for_log());
            if kind != StatementKind::Read && !failure.may_pass()
                || failure.cause == Cause::ReadOnly
            {
                *self.writes_fail.lock() = Some(failure.cause);
            }
        }
        failure.into_error()
    }

    /// What writes fail of is not over because a read went well; and a question does not know whether there is room.
    pub(super) fn went_well(&self, kind: StatementKind) {
        let mut writes_fail = self.writes_fail.lock();
        let shows = match (kind, *writes_fail) {
            (_, None) | (StatementKind::Write | StatementKind::RepeatableWrite, _) => true,
            (StatementKind::Read, Some(_)) => false,
            (StatementKind::Question, Some(cause)) => cause != Cause::Full,
        };
        if shows {
            *writes_fail = None;
            self.outage_log.report_success();
        }
    }

    /// What an operator should know although it works.
    pub(super) fn warnings(&self) -> Vec<String> {
        self.warnings.lock().clone()
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

    async fn send(&self, statement: &Statement<'_>) -> Result<Rows, Failure> {
        let failed = |error| Failure::of(statement.what, error);
        loop {
            let mut lease = self.pool.lease(statement.what).await?;
            let mut values = PgArguments::default();
            (statement.values)(&mut values).map_err(|error| failed(Error::Encode(error)))?;
            let error = match self
                .read(&mut lease.connection, statement.sql, values)
                .await
            {
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
            if !(cause == Cause::Away && is_reused && statement.kind != StatementKind::Write) {
                return Err(failed(error));
            }
        }
    }

    /// Sends a statement, within a transaction of its own where nothing lasts longer than one.
    async fn read(
        &self,
        connection: &mut PgConnection,
        sql: &'static str,
        values: PgArguments,
    ) -> Result<Rows, Error> {
        let session = self.pool.session();
        if !session.is_pooled {
            return read(connection, sql, values, true).await;
        }
        raw_sql(session.begin()).execute(&mut *connection).await?;
        let rows = read(connection, sql, values, false).await?;
        if !rows.is_cut {
            raw_sql("COMMIT").execute(connection).await?;
        }
        Ok(rows)
    }

    /// Waits until the tables are there, for a server that was started while PostgreSQL was away.
    async fn migrated(self: &Arc<Self>) -> Result<(), Failure> {
        if self.pool.is_closed() {
            return Err(Failure::of("", Error::PoolClosed));
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
                Ok(Err(failure)) => return Err(failure),
                Err(error) => {
                    return Err(Failure::new(
                        Cause::Other,
                        format!("{}: {error}", no_thread()),
                    ));
                }
            }
        }
        // Whoever has the turn is at it.
        drop(self.migrating.lock().await);
        if self.is_migrated.load(Ordering::Acquire) {
            return Ok(());
        }
        Err(Failure::new(
            Cause::Away,
            "the tables in PostgreSQL are not ready yet",
        ))
    }

    async fn migrate(&self) -> Result<(), Failure> {
        let what = "bring the tables in PostgreSQL up to date";
        self.migration_rest.check(what)?;
        let migrated = async {
            // Whether anybody is there is known soon; waiting for another replica's change takes as long as it takes.
            let connected = timeout(OPERATION_TIME_MAX, self.pool.connect("connect")).await;
            let mut connection =
                connected.unwrap_or_else(|_| Err(Failure::timed_out("connect")))?;
            let run = migrations::run(&mut connection, self.target.schema.as_deref());
            let run = timeout(migrations::TIME_MAX, run).await;
            run.unwrap_or_else(|_| {
                Err(Failure::again(
                    what,
                    Cause::TooSlow,
                    "PostgreSQL took too long",
                    None,
                ))
            })
        };
        match migrated.await {
            Ok(place) => {
                self.pool.session().set_schema(place.schema);
                *self.warnings.lock() = place.warnings;
                self.migration_rest.end();
                self.is_migrated.store(true, Ordering::Release);
                Ok(())
            }
            Err(failure) => Err(self.migration_rest.begin(failure)),
        }
    }
}

/// A transaction. It is undone, and its connection closed, unless it is committed.
pub(super) struct Work<'a> {
    lease: Lease<'a>,
    what: &'static str,
}

impl Work<'_> {
    /// What a statement answers.
    pub(super) async fn rows(
        &mut self,
        sql: &'static str,
        values: impl FnOnce(&mut PgArguments) -> Result<(), BoxDynError>,
    ) -> Result<Vec<PgRow>, StoreError> {
        let failed = |error| Failure::of(self.what, error).into_error();
        let mut arguments = PgArguments::default();
        values(&mut arguments).map_err(|error| failed(Error::Encode(error)))?;
        let query = query_with(sql, arguments).persistent(false);
        let rows = query.fetch(&mut self.lease.connection).try_collect();
        match timeout(WORK_TIME_MAX, rows).await {
            Ok(rows) => rows.map_err(failed),
            Err(_) => Err(Failure::timed_out(self.what).into_error()),
        }
    }

    /// Makes all of it last.
    pub(super) async fn commit(mut self) -> Result<(), StoreError> {
        let committed = raw_sql("COMMIT").execute(&mut self.lease.connection).await;
        committed.map_err(|error| Failure::of(self.what, error).into_error())?;
        self.lease.give_back();
        Ok(())
    }
}

/// Sends a statement and reads its rows, up to about [`PAGE_BYTES_MAX`].
async fn read(
    connection: &mut PgConnection,
    sql: &'static str,
    values: PgArguments,
    is_persistent: bool,
) -> Result<Rows, Error> {
    let mut stream = query_with(sql, values)
        .persistent(is_persistent)
        .fetch(connection);
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

fn no_thread() -> StoreError {
    StoreError::new(
        StoreErrorKind::Internal,
        "could not prepare the tables in PostgreSQL",
    )
}

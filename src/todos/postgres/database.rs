//! PostgreSQL as the store sees it: a pool of connections, tables that are up to date, and a time limit.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex as Lock;
use sqlx_core::error::Error;
use sqlx_core::raw_sql::raw_sql;
use sqlx_postgres::{PgArguments, PgConnection};
use tokio::sync::Mutex;
use tokio::time::timeout;
use tracing::info;

use super::backoff::Backoff;
use super::errors::{Cause, PostgresError};
use super::pool::Pool;
use super::session::Session;
use super::statement::{Rows, Statement, StatementKind, read_page};
use super::transaction::Transaction;
use super::{PostgresUrl, migrations};
use crate::error::StoreError;
use crate::outage_log::OutageLog;

/// The time limit of an operation, the wait for a connection included: a client gets its answer within two seconds. The limit
/// of a statement, in settings.sql, is a little shorter.
const OPERATION_TIME_MAX: Duration = Duration::from_millis(1500);
/// The time limit for closing the connections at shutdown.
const CLOSE_TIME_MAX: Duration = Duration::from_secs(5);
/// The longest pause after the tables could not be brought up to date.
const MIGRATION_PAUSE_MAX: Duration = Duration::from_secs(2);

/// The database of the todos.
pub(super) struct Database {
    url: PostgresUrl,
    pool: Pool,
    is_migrated: AtomicBool,
    /// Held during a migration.
    migrating: Mutex<()>,
    migration_backoff: Backoff,
    outage_log: OutageLog,
    /// Why writes fail. Reads may succeed meanwhile.
    write_failure: Lock<Option<Cause>>,
    warnings: Lock<Vec<String>>,
}

impl Database {
    /// Connects, and brings the tables up to date. During an outage of PostgreSQL this succeeds, and the first statement after
    /// the outage brings the tables up to date.
    ///
    /// # Errors
    /// [`crate::error::StoreErrorKind::Denied`] when PostgreSQL refuses access, or the tables cannot be brought up to date.
    pub(super) async fn open(url: PostgresUrl) -> Result<Arc<Self>, StoreError> {
        let database = Arc::new(Self {
            pool: Pool::new(Session::new(&url), url.connections_max),
            url,
            is_migrated: AtomicBool::new(false),
            migrating: Mutex::new(()),
            migration_backoff: Backoff::new(MIGRATION_PAUSE_MAX),
            outage_log: OutageLog::new("todos", super::BACKEND),
            write_failure: Lock::default(),
            warnings: Lock::default(),
        });
        let migrated = database.migrate().await;
        let (host, port) = (database.url.host(), database.url.options.get_port());
        let name = database.url.options.get_database();
        match migrated {
            Ok(()) => info!(host, port, database = name, "todos are in PostgreSQL"),
            Err(error) if error.is_transient() => {
                info!(
                    host,
                    port,
                    database = name,
                    "todos are in PostgreSQL, which is away; there are none until it is back"
                );
                database.outage_log.report_failure(&error.for_log());
            }
            Err(error) => return Err(error.into_error()),
        }
        Ok(database)
    }

    /// The answer to a statement, within [`OPERATION_TIME_MAX`].
    ///
    /// # Errors
    /// As [`Cause`] says; [`crate::error::StoreErrorKind::Unavailable`] when the statement takes too long.
    pub(super) async fn query(
        self: &Arc<Self>,
        statement: Statement<'_>,
    ) -> Result<Rows, StoreError> {
        let work = async {
            self.wait_for_tables().await?;
            self.send(&statement).await
        };
        let result = match timeout(OPERATION_TIME_MAX, work).await {
            Ok(result) => result,
            Err(_) => {
                // The other connections are most likely dead as well.
                self.pool.close_idle();
                Err(PostgresError::timed_out(statement.action))
            }
        };
        match result {
            Ok(rows) => {
                // The answer to a readiness check decides whether the check succeeded.
                if statement.kind != StatementKind::ReadinessCheck {
                    self.record_success(statement.kind);
                }
                Ok(rows)
            }
            Err(error) => Err(self.record_error(statement.kind, error)),
        }
    }

    /// Begins a transaction of several statements.
    ///
    /// # Errors
    /// Those of [`Self::query`].
    pub(super) async fn begin(
        self: &Arc<Self>,
        action: &'static str,
    ) -> Result<Transaction<'_>, StoreError> {
        let begin = async {
            self.wait_for_tables().await?;
            let mut lease = self.pool.lease(action).await?;
            let sql = self.pool.session().begin();
            let begun = raw_sql(sql).execute(&mut lease.connection).await;
            begun.map_err(|error| PostgresError::from_sqlx(action, error))?;
            Ok(lease)
        };
        let error = match timeout(OPERATION_TIME_MAX, begin).await {
            Ok(Ok(lease)) => return Ok(Transaction::new(lease, action)),
            Ok(Err(error)) => error,
            Err(_) => PostgresError::timed_out(action),
        };
        Err(self.record_error(StatementKind::Write, error))
    }

    /// Records an error for the log and the health of the server.
    pub(super) fn record_error(&self, kind: StatementKind, error: PostgresError) -> StoreError {
        if error.cause != Cause::Closed {
            self.outage_log.report_failure(&error.for_log());
            let affects_writes = kind != StatementKind::Read && !error.is_transient();
            if affects_writes || error.cause == Cause::ReadOnly {
                *self.write_failure.lock() = Some(error.cause);
            }
        }
        error.into_error()
    }

    /// Records a success. A read does not show that writes work again, and a readiness check does not show that the disk has
    /// room again.
    pub(super) fn record_success(&self, kind: StatementKind) {
        let mut write_failure = self.write_failure.lock();
        let ends_outage = match (kind, *write_failure) {
            (_, None) | (StatementKind::Write | StatementKind::RepeatableWrite, _) => true,
            (StatementKind::Read, Some(_)) => false,
            (StatementKind::ReadinessCheck, Some(cause)) => cause != Cause::DiskFull,
        };
        if ends_outage {
            *write_failure = None;
            self.outage_log.report_success();
        }
    }

    /// Warnings for the operator while the store works.
    pub(super) fn warnings(&self) -> Vec<String> {
        self.warnings.lock().clone()
    }

    /// Closes all idle connections.
    pub(super) fn close_idle(&self) {
        self.pool.close_idle();
    }

    /// Refuses new statements, and waits for the running ones, up to [`CLOSE_TIME_MAX`].
    pub(super) async fn close(&self) {
        let connections_max = u32::try_from(self.url.connections_max).unwrap_or(u32::MAX);
        // A silent peer notices the end of the connection later.
        let _ = timeout(CLOSE_TIME_MAX, self.pool.close(connections_max)).await;
    }

    async fn send(&self, statement: &Statement<'_>) -> Result<Rows, PostgresError> {
        let query_error = |error| PostgresError::from_sqlx(statement.action, error);
        loop {
            let mut lease = self.pool.lease(statement.action).await?;
            let mut values = PgArguments::default();
            (statement.values)(&mut values).map_err(|error| query_error(Error::Encode(error)))?;
            let result = self
                .read(&mut lease.connection, statement.sql, values)
                .await;
            let error = match result {
                Ok(rows) => {
                    // Unread rows would come before the answer to the next statement.
                    if !rows.is_truncated {
                        lease.give_back();
                    }
                    return Ok(rows);
                }
                Err(error) => error,
            };
            let (cause, is_reused) = (Cause::of(&error), lease.is_reused);
            drop(lease);
            if matches!(cause, Cause::Unavailable | Cause::ReadOnly) {
                self.pool.close_idle();
            }
            // The connection may have died before the statement was sent. Then another connection works.
            let may_retry =
                cause == Cause::Unavailable && is_reused && statement.kind != StatementKind::Write;
            if !may_retry {
                return Err(query_error(error));
            }
        }
    }

    /// Sends a statement. Behind a pooler the statement has a separate transaction, because settings last only for a transaction.
    async fn read(
        &self,
        connection: &mut PgConnection,
        sql: &'static str,
        values: PgArguments,
    ) -> Result<Rows, Error> {
        let session = self.pool.session();
        if !session.is_pooled {
            return read_page(connection, sql, values, true).await;
        }
        raw_sql(session.begin()).execute(&mut *connection).await?;
        let rows = read_page(connection, sql, values, false).await?;
        if !rows.is_truncated {
            raw_sql("COMMIT").execute(connection).await?;
        }
        Ok(rows)
    }

    /// Waits until the tables are up to date. If the server was started during an outage of PostgreSQL, the tables may be old or missing.
    async fn wait_for_tables(self: &Arc<Self>) -> Result<(), PostgresError> {
        if self.pool.is_closed() {
            return Err(PostgresError::from_sqlx("", Error::PoolClosed));
        }
        if self.is_migrated.load(Ordering::Acquire) {
            return Ok(());
        }
        // Only a single migration at a time, in a separate task: a dropped request must not interrupt the migration.
        if let Ok(turn) = self.migrating.try_lock() {
            drop(turn);
            let this = Arc::clone(self);
            let migration = tokio::spawn(async move {
                match this.migrating.try_lock() {
                    Ok(_turn) => this.migrate().await,
                    Err(_) => Ok(()),
                }
            });
            match migration.await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Err(error),
                Err(error) => {
                    return Err(PostgresError::new(
                        Cause::Other,
                        format!("could not prepare the tables in PostgreSQL: {error}"),
                    ));
                }
            }
        }
        // Another request may have started the migration.
        drop(self.migrating.lock().await);
        if self.is_migrated.load(Ordering::Acquire) {
            return Ok(());
        }
        Err(PostgresError::new(
            Cause::Unavailable,
            "the tables in PostgreSQL are not ready yet",
        ))
    }

    async fn migrate(&self) -> Result<(), PostgresError> {
        let action = "bring the tables in PostgreSQL up to date";
        self.migration_backoff.check(action)?;
        let migration = async {
            // Connecting has the short limit. The migration itself may wait for the migration of another server.
            let connected = timeout(OPERATION_TIME_MAX, self.pool.connect("connect")).await;
            let mut connection =
                connected.unwrap_or_else(|_| Err(PostgresError::timed_out("connect")))?;
            let run = migrations::run(&mut connection, self.url.schema.as_deref());
            let run = timeout(migrations::TIME_MAX, run).await;
            run.unwrap_or_else(|_| {
                Err(PostgresError::repeated(
                    action,
                    Cause::Timeout,
                    "PostgreSQL took too long",
                    None,
                ))
            })
        };
        match migration.await {
            Ok(target) => {
                self.pool.session().set_schema(target.schema);
                *self.warnings.lock() = target.warnings;
                self.migration_backoff.end();
                self.is_migrated.store(true, Ordering::Release);
                Ok(())
            }
            Err(error) => Err(self.migration_backoff.begin(error)),
        }
    }
}

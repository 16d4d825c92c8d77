//! A transaction of several statements.

use std::time::Duration;

use futures_util::TryStreamExt;
use sqlx_core::error::{BoxDynError, Error};
use sqlx_core::query::query_with;
use sqlx_core::raw_sql::raw_sql;
use sqlx_postgres::{PgArguments, PgRow};
use tokio::time::timeout;

use super::errors::PostgresError;
use super::pool::Lease;
use crate::error::StoreError;

/// The time limit of a statement for the import of many todos.
const STATEMENT_TIME_MAX: Duration = Duration::from_secs(90);

/// A transaction. Without [`Self::commit`], dropping the transaction closes the connection, and PostgreSQL undoes the changes.
pub(super) struct Transaction<'a> {
    lease: Lease<'a>,
    action: &'static str,
}

impl<'a> Transaction<'a> {
    /// The open transaction of this connection. `action` completes "could not".
    pub(super) fn new(lease: Lease<'a>, action: &'static str) -> Self {
        Self { lease, action }
    }

    /// Sends a statement and reads all rows.
    ///
    /// # Errors
    /// Those of the statement; [`crate::error::StoreErrorKind::Unavailable`] when the statement takes too long.
    pub(super) async fn query(
        &mut self,
        sql: &'static str,
        values: impl FnOnce(&mut PgArguments) -> Result<(), BoxDynError>,
    ) -> Result<Vec<PgRow>, StoreError> {
        let query_error = |error| PostgresError::from_sqlx(self.action, error).into_error();
        let mut arguments = PgArguments::default();
        values(&mut arguments).map_err(|error| query_error(Error::Encode(error)))?;
        let query = query_with(sql, arguments).persistent(false);
        let rows = query.fetch(&mut self.lease.connection).try_collect();
        match timeout(STATEMENT_TIME_MAX, rows).await {
            Ok(rows) => rows.map_err(query_error),
            Err(_) => Err(PostgresError::timed_out(self.action).into_error()),
        }
    }

    /// Commits all changes. The changes are durable when this returns `Ok`.
    ///
    /// # Errors
    /// Those of the commit. After such an error nobody knows whether the changes were made.
    pub(super) async fn commit(mut self) -> Result<(), StoreError> {
        let committed = raw_sql("COMMIT").execute(&mut self.lease.connection).await;
        committed.map_err(|error| PostgresError::from_sqlx(self.action, error).into_error())?;
        self.lease.give_back();
        Ok(())
    }
}

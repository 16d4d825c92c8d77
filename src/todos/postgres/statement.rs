//! A statement, the values for the statement, and the rows in the answer.

use futures_util::TryStreamExt;
use sqlx_core::error::{BoxDynError, Error};
use sqlx_core::query::query_with;
use sqlx_core::row::Row as _;
use sqlx_core::sql_str::AssertSqlSafe;
use sqlx_postgres::{PgArguments, PgConnection, PgRow};

use crate::todos::row::PAGE_BYTES_MAX;

/// A statement. `values` makes the values anew for each attempt.
pub(super) struct Statement<'a> {
    /// Completes "could not".
    pub(super) action: &'static str,
    pub(super) sql: &'static str,
    pub(super) values: &'a (dyn Fn(&mut PgArguments) -> Result<(), BoxDynError> + Send + Sync),
    pub(super) kind: StatementKind,
}

/// The effect of a statement. The kind tells what the success of the statement proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StatementKind {
    /// Reads todos. May be sent again.
    Read,
    /// Asks whether PostgreSQL accepts writes. May be sent again.
    ReadinessCheck,
    /// Writes. The statement has the same effect when it is sent twice.
    RepeatableWrite,
    /// Writes. Must not be sent again.
    Write,
}

/// The answer to a statement.
pub(super) struct Rows {
    pub(super) rows: Vec<PgRow>,
    /// Whether unread rows remain.
    pub(super) is_truncated: bool,
}

/// Sends a statement and reads rows, up to about [`PAGE_BYTES_MAX`].
pub(super) async fn read_page(
    connection: &mut PgConnection,
    sql: &'static str,
    values: PgArguments,
    is_persistent: bool,
) -> Result<Rows, Error> {
    let mut stream = query_with(sql, values)
        .persistent(is_persistent)
        .fetch(connection);
    let mut page = Rows {
        rows: Vec::new(),
        is_truncated: false,
    };
    let mut bytes = 0;
    while let Some(row) = stream.try_next().await? {
        if bytes > PAGE_BYTES_MAX {
            page.is_truncated = true;
            break;
        }
        for column in 0..row.len() {
            bytes += row.try_get_raw(column)?.as_bytes().map_or(0, <[u8]>::len);
        }
        page.rows.push(row);
    }
    Ok(page)
}

/// Sends a statement and reads all rows. Leaves no prepared statement behind, so that the connection may belong to a pooler.
pub(super) async fn read_all(
    connection: &mut PgConnection,
    sql: String,
    values: PgArguments,
) -> Result<Vec<PgRow>, Error> {
    query_with(AssertSqlSafe(sql), values)
        .persistent(false)
        .fetch(connection)
        .try_collect()
        .await
}

//! The settings at the beginning of every connection: time limits, durable commits, and the schema.

use std::sync::OnceLock;

use sqlx_core::connection::ConnectOptions;
use sqlx_core::error::Error;
use sqlx_core::raw_sql::raw_sql;
use sqlx_core::row::Row as _;
use sqlx_core::sql_str::SqlSafeStr as _;
use sqlx_core::sql_str::{AssertSqlSafe, SqlStr};
use sqlx_postgres::{PgConnectOptions, PgConnection};

use super::PostgresUrl;
use super::errors::PoolerError;
use super::url::EXTRA_FLOAT_DIGITS;

/// The settings of a connection. A statement ends before the request ends. A commit is durable for every default of PostgreSQL. PostgreSQL
/// closes the connection of a vanished client.
const SETTINGS: &str = include_str!("../sql/postgres/settings.sql");
/// The same settings for a single transaction, because a pooler may give the next transaction another connection.
const TRANSACTION_SETTINGS: &str = include_str!("../sql/postgres/transaction_settings.sql");

/// The options of a connection, and the settings of a session.
pub(super) struct Session {
    options: PgConnectOptions,
    /// Whether a pooler may give each transaction another connection. Then settings last only for a single transaction.
    pub(super) is_pooled: bool,
    /// The schema of the tables, once the migration has found it.
    schema: OnceLock<String>,
}

impl Session {
    pub(super) fn new(url: &PostgresUrl) -> Self {
        Self {
            options: url.options.clone(),
            is_pooled: url.is_pooled,
            schema: OnceLock::new(),
        }
    }

    /// Sets the schema. From now on statements find tables in this schema only, and never a table of the same name in another
    /// schema.
    pub(super) fn set_schema(&self, name: String) {
        // Every migration finds the same schema.
        let _ = self.schema.set(name);
    }

    /// Makes a new connection with the settings.
    pub(super) async fn connect(&self) -> Result<PgConnection, Error> {
        let mut connection = self.options.connect().await?;
        if self.is_pooled {
            return Ok(connection);
        }
        let row = raw_sql("SELECT current_setting('extra_float_digits')")
            .fetch_one(&mut connection)
            .await?;
        // A pooler drops the parameter from the start of the session. PostgreSQL does not.
        if row.try_get::<String, _>(0)? != EXTRA_FLOAT_DIGITS.to_string() {
            return Err(Error::Configuration(Box::new(PoolerError)));
        }
        raw_sql(SETTINGS).execute(&mut connection).await?;
        if let Some(schema) = self.schema.get() {
            let sql = format!("SET search_path = {}, pg_temp", quoted(schema));
            raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await?;
        }
        Ok(connection)
    }

    /// The SQL to begin a transaction with the settings.
    pub(super) fn begin(&self) -> SqlStr {
        let path = match self.schema.get() {
            Some(schema) => format!("SET LOCAL search_path = {}, pg_temp;", quoted(schema)),
            None => String::new(),
        };
        AssertSqlSafe(format!("{TRANSACTION_SETTINGS}{path}")).into_sql_str()
    }
}

/// Quotes a name for SQL.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_in_a_name_does_not_end_the_quoted_name() {
        assert_eq!(quoted("todos"), "\"todos\"");
        assert_eq!(quoted("a\"; DROP"), "\"a\"\"; DROP\"");
    }
}

//! What every connection begins with: limits of time, durable commits, and the schema.

use std::sync::OnceLock;

use sqlx_core::connection::ConnectOptions;
use sqlx_core::error::Error;
use sqlx_core::raw_sql::raw_sql;
use sqlx_core::row::Row as _;
use sqlx_core::sql_str::SqlSafeStr as _;
use sqlx_core::sql_str::{AssertSqlSafe, SqlStr};
use sqlx_postgres::{PgConnectOptions, PgConnection};

use super::PostgresUrl;
use super::errors::PoolerInBetween;
use super::url::EXTRA_FLOAT_DIGITS;

/// A statement ends before the request that waits for it gives up, a commit is durable whatever the default, and PostgreSQL lets
/// go of connections whose other end has vanished.
const SETTINGS: &str = include_str!("../sql/postgres/settings.sql");
/// The same for a transaction, where the next one may come to another connection of PostgreSQL.
const SETTINGS_OF_TRANSACTION: &str = include_str!("../sql/postgres/settings_of_transaction.sql");

/// How to connect, and what to set.
pub(super) struct Session {
    options: PgConnectOptions,
    /// Whether each transaction may come to another connection of PostgreSQL: then nothing lasts longer than one.
    pub(super) is_pooled: bool,
    /// Where the tables are, once that is known.
    schema: OnceLock<String>,
}

impl Session {
    pub(super) fn new(target: &PostgresUrl) -> Self {
        Self {
            options: target.options.clone(),
            is_pooled: target.is_pooled,
            schema: OnceLock::new(),
        }
    }

    /// From now on the tables are looked for here and nowhere else, so that nobody's table of the same name is taken for one
    /// of them.
    pub(super) fn set_schema(&self, name: String) {
        // It is the same every time.
        let _ = self.schema.set(name);
    }

    /// A new connection with our settings.
    pub(super) async fn connect(&self) -> Result<PgConnection, Error> {
        let mut connection = self.options.connect().await?;
        if self.is_pooled {
            return Ok(connection);
        }
        let row = raw_sql("SELECT current_setting('extra_float_digits')")
            .fetch_one(&mut connection)
            .await?;
        // What was sent at the start did not arrive, so it was not PostgreSQL that it was sent to.
        if row.try_get::<String, _>(0)? != EXTRA_FLOAT_DIGITS.to_string() {
            return Err(Error::Configuration(Box::new(PoolerInBetween)));
        }
        raw_sql(SETTINGS).execute(&mut connection).await?;
        if let Some(schema) = self.schema.get() {
            let sql = format!("SET search_path = {}, pg_temp", quoted(schema));
            raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await?;
        }
        Ok(connection)
    }

    /// Begins a transaction with our settings.
    pub(super) fn begin(&self) -> SqlStr {
        let path = match self.schema.get() {
            Some(schema) => format!("SET LOCAL search_path = {}, pg_temp;", quoted(schema)),
            None => String::new(),
        };
        AssertSqlSafe(format!("{SETTINGS_OF_TRANSACTION}{path}")).into_sql_str()
    }
}

/// A name as SQL takes it, whatever it is made of.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_ends_its_quotes() {
        assert_eq!(quoted("todos"), "\"todos\"");
        assert_eq!(quoted("a\"; DROP"), "\"a\"\"; DROP\"");
    }
}

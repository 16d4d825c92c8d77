//! The tables in PostgreSQL, brought up to date by whoever comes first.

use std::time::Duration;

use sqlx_core::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx_core::raw_sql::raw_sql;
use sqlx_core::sql_str::SqlSafeStr;
use sqlx_postgres::PgConnectOptions;

use super::pool;

/// How long to wait for another replica that is changing the tables, and for the change itself.
pub(super) const TIME_MAX: Duration = Duration::from_secs(60);

/// Runs the changes that the database has not seen, each in a transaction, under a lock that other replicas wait for.
/// Changes that only a newer version of this program knows are left alone: they only ever add.
pub(super) async fn run(options: &PgConnectOptions) -> Result<(), MigrateError> {
    let mut connection = pool::connect(options).await?;
    // The limit of a request is none for a change of a large table, nor for waiting until another replica has made it.
    raw_sql("SET statement_timeout = 0")
        .execute(&mut connection)
        .await?;
    let mut migrator = Migrator::with_migrations(vec![Migration::new(
        1,
        "todos".into(),
        MigrationType::Simple,
        include_str!("../../../migrations/postgres/0001-todos.sql").into_sql_str(),
        false,
    )]);
    migrator.set_ignore_missing(true);
    // Others may keep tables in this database, and a list of their own changes.
    migrator.dangerous_set_table_name("fieldstation_migrations");
    // The lock is the connection's: dropping it, whatever happened, lets go.
    migrator.run_direct(None, &mut connection, false).await
}

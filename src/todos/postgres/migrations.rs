//! The tables in PostgreSQL, brought up to date by whoever comes first.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use sqlx_core::arguments::Arguments as _;
use sqlx_core::connection::Connection as _;
use sqlx_core::error::Error;
use sqlx_core::migrate::{Migration, MigrationType};
use sqlx_core::query::query_with;
use sqlx_core::raw_sql::raw_sql;
use sqlx_core::row::Row as _;
use sqlx_core::sql_str::{AssertSqlSafe, SqlSafeStr};
use sqlx_postgres::{PgArguments, PgConnection, PgRow};

use super::errors::{Cause, Failure};
use super::inspection::{self, TargetSchema};
use super::session::quoted;

/// How long to wait for another replica that is changing the tables, and for the change itself.
pub(super) const TIME_MAX: Duration = Duration::from_secs(60);

/// The limit of a request is none for a change of a large table, nor for waiting until another replica has made it.
const NO_LIMITS: &str =
    "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0";

const WHAT: &str = "bring the tables in PostgreSQL up to date";

/// The changes, in order.
fn all() -> [Migration; 2] {
    let change = |version, name: &'static str, sql: &'static str| {
        Migration::new(
            version,
            name.into(),
            MigrationType::Simple,
            sql.into_sql_str(),
            false,
        )
    };
    [
        change(
            1,
            "todos",
            include_str!("../../../migrations/postgres/0001-todos.sql"),
        ),
        change(
            2,
            "todo numbers",
            include_str!("../../../migrations/postgres/0002-todo-numbers.sql"),
        ),
    ]
}

/// Runs the changes that the database has not seen, all in one transaction, under a lock that other replicas wait for. Changes that
/// only a newer version of this program knows are left alone: they only ever add.
///
/// Looks first at what is there, so that nothing of anybody else is touched, and a user who may only read and write the
/// tables is enough once they are made.
pub(super) async fn run(
    connection: &mut PgConnection,
    schema: Option<&str>,
) -> Result<TargetSchema, Failure> {
    let failed = |error| Failure::of(WHAT, error);
    let mut transaction = connection.begin().await.map_err(failed)?;
    let schema_target = inspection::look(&mut transaction, schema).await?;
    if is_up_to_date(&mut transaction, &schema_target).await? {
        transaction.rollback().await.map_err(failed)?;
        return Ok(schema_target);
    }
    raw_sql(NO_LIMITS)
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
    lock(&mut transaction, &schema_target)
        .await
        .map_err(failed)?;
    // Another replica may have been faster.
    let schema_target = inspection::look(&mut transaction, schema).await?;
    schema_target.check_rights()?;
    change(&mut transaction, &schema_target).await?;
    transaction.commit().await.map_err(failed)?;
    Ok(schema_target)
}

async fn is_up_to_date(
    connection: &mut PgConnection,
    schema_target: &TargetSchema,
) -> Result<bool, Failure> {
    if !schema_target.has_tables {
        return Ok(false);
    }
    let seen = seen(connection, schema_target).await?;
    Ok(all()
        .iter()
        .all(|change| seen.contains_key(&change.version)))
}

/// The changes that were made, each with its checksum.
async fn seen(
    connection: &mut PgConnection,
    schema_target: &TargetSchema,
) -> Result<HashMap<i64, Vec<u8>>, Failure> {
    let failed = |error| Failure::of(WHAT, error);
    let sql = format!(
        "SELECT version, checksum, success FROM {}.fieldstation_migrations",
        quoted(&schema_target.schema)
    );
    let rows = rows(connection, sql, PgArguments::default()).await;
    let mut seen: HashMap<i64, Vec<u8>> = HashMap::new();
    for row in rows.map_err(failed)? {
        let version: i64 = row.try_get(0).map_err(failed)?;
        if !row.try_get::<bool, _>(2).map_err(failed)? {
            return Err(Failure::new(
                Cause::NoTables,
                format!(
                    "fieldstation_migrations in {} says that change {version} was not completed: restore a backup of the \
                     tables, or ask whoever edited them",
                    schema_target.shown()
                ),
            ));
        }
        seen.insert(version, row.try_get(1).map_err(failed)?);
    }
    for change in all() {
        match seen.get(&change.version) {
            Some(checksum) if checksum[..] != change.checksum[..] => {
                return Err(Failure::new(
                    Cause::NoTables,
                    format!(
                        "PostgreSQL has other tables than this program: change {} was edited after it ran; run the version \
                         of fieldstation that made them",
                        change.version
                    ),
                ));
            }
            _ => {}
        }
    }
    Ok(seen)
}

/// Waits for other replicas. The lock ends with the transaction, whatever becomes of it, and is the one that older versions take.
async fn lock(connection: &mut PgConnection, schema_target: &TargetSchema) -> Result<(), Error> {
    let mut checksum = flate2::Crc::new();
    checksum.update(schema_target.database.as_bytes());
    let key = 0x3d32_ad9e_i64 * i64::from(checksum.sum());
    let sql = format!("SELECT pg_advisory_xact_lock({key})");
    raw_sql(AssertSqlSafe(sql)).execute(connection).await?;
    Ok(())
}

async fn change(
    connection: &mut PgConnection,
    schema_target: &TargetSchema,
) -> Result<(), Failure> {
    let failed = |error| Failure::of(WHAT, error);
    let schema = quoted(&schema_target.schema);
    if !schema_target.exists {
        let sql = format!("CREATE SCHEMA IF NOT EXISTS {schema}");
        raw_sql(AssertSqlSafe(sql))
            .execute(&mut *connection)
            .await
            .map_err(failed)?;
    }
    // Where the extension is, an index needs to know; nothing of this is created there.
    let mut values = PgArguments::default();
    let added = values.add(&schema).map_err(Error::Encode);
    added.map_err(failed)?;
    let path = include_str!("../sql/postgres/path_of_changes.sql");
    rows(connection, path.to_owned(), values)
        .await
        .map_err(failed)?;
    raw_sql(include_str!("../sql/postgres/migrations.sql"))
        .execute(&mut *connection)
        .await
        .map_err(failed)?;
    let seen = seen(connection, schema_target).await?;
    for change in all() {
        if seen.contains_key(&change.version) {
            continue;
        }
        let start = Instant::now();
        raw_sql(change.sql.clone())
            .execute(&mut *connection)
            .await
            .map_err(failed)?;
        note(connection, &change, start.elapsed())
            .await
            .map_err(failed)?;
    }
    Ok(())
}

async fn note(
    connection: &mut PgConnection,
    change: &Migration,
    elapsed: Duration,
) -> Result<(), Error> {
    let mut values = PgArguments::default();
    let added = values
        .add(change.version)
        .and_then(|()| values.add(&*change.description))
        .and_then(|()| values.add(change.checksum.to_vec()))
        .and_then(|()| values.add(i64::try_from(elapsed.as_nanos()).unwrap_or(i64::MAX)));
    added.map_err(Error::Encode)?;
    let sql = "INSERT INTO fieldstation_migrations (version, description, success, checksum, execution_time)
               VALUES ($1, $2, true, $3, $4)";
    rows(connection, sql.to_owned(), values).await.map(drop)
}

/// Without a prepared statement that would outlast the transaction.
pub(super) async fn rows(
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

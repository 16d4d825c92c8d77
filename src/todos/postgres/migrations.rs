//! Brings the tables in PostgreSQL up to date. If several servers start at once, only a single server makes the changes.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use sqlx_core::arguments::Arguments as _;
use sqlx_core::connection::Connection as _;
use sqlx_core::error::Error;
use sqlx_core::migrate::{Migration, MigrationType};
use sqlx_core::raw_sql::raw_sql;
use sqlx_core::row::Row as _;
use sqlx_core::sql_str::{AssertSqlSafe, SqlSafeStr};
use sqlx_postgres::{PgArguments, PgConnection};

use super::errors::{Cause, PostgresError};
use super::inspection::{self, TargetSchema};
use super::session::quoted;
use super::statement::read_all;

/// The time limit for the changes, the wait for the changes of another server included.
pub(super) const TIME_MAX: Duration = Duration::from_secs(60);

/// The limits of a request are too short for a change of a large table, and for the wait for another server.
const NO_LIMITS: &str =
    "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0";

const ACTION: &str = "bring the tables in PostgreSQL up to date";

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

/// Makes the missing changes, all in a single transaction. A lock makes other servers wait. Changes of a newer version of this program
/// stay: a change only ever adds.
///
/// Inspects the schema first. So tables of other programs stay untouched, and once the tables are up to date, a user needs only the rights
/// to read and write the tables.
///
/// # Errors
/// Those of [`inspection::inspect`] and of PostgreSQL. After an error nothing has changed.
pub(super) async fn run(
    connection: &mut PgConnection,
    schema: Option<&str>,
) -> Result<TargetSchema, PostgresError> {
    let sqlx_error = |error| PostgresError::from_sqlx(ACTION, error);
    let mut transaction = connection.begin().await.map_err(sqlx_error)?;
    let target = inspection::inspect(&mut transaction, schema).await?;
    if is_up_to_date(&mut transaction, &target).await? {
        transaction.rollback().await.map_err(sqlx_error)?;
        return Ok(target);
    }
    raw_sql(NO_LIMITS)
        .execute(&mut *transaction)
        .await
        .map_err(sqlx_error)?;
    lock(&mut transaction, &target).await.map_err(sqlx_error)?;
    // Another server may have made the changes meanwhile.
    let target = inspection::inspect(&mut transaction, schema).await?;
    target.check_rights()?;
    apply(&mut transaction, &target).await?;
    transaction.commit().await.map_err(sqlx_error)?;
    Ok(target)
}

async fn is_up_to_date(
    connection: &mut PgConnection,
    target: &TargetSchema,
) -> Result<bool, PostgresError> {
    if !target.has_tables {
        return Ok(false);
    }
    let applied = applied(connection, target).await?;
    Ok(all()
        .iter()
        .all(|change| applied.contains_key(&change.version)))
}

/// The earlier changes, each with a checksum.
async fn applied(
    connection: &mut PgConnection,
    target: &TargetSchema,
) -> Result<HashMap<i64, Vec<u8>>, PostgresError> {
    let sqlx_error = |error| PostgresError::from_sqlx(ACTION, error);
    let sql = format!(
        "SELECT version, checksum, success FROM {}.fieldstation_migrations",
        quoted(&target.schema)
    );
    let rows = read_all(connection, sql, PgArguments::default()).await;
    let mut applied: HashMap<i64, Vec<u8>> = HashMap::new();
    for row in rows.map_err(sqlx_error)? {
        let version: i64 = row.try_get(0).map_err(sqlx_error)?;
        if !row.try_get::<bool, _>(2).map_err(sqlx_error)? {
            return Err(PostgresError::new(
                Cause::TablesMissing,
                format!(
                    "fieldstation_migrations in {} says that change {version} was not completed: restore a backup of the \
                     tables, or ask the person who edited them",
                    target.description()
                ),
            ));
        }
        applied.insert(version, row.try_get(1).map_err(sqlx_error)?);
    }
    for change in all() {
        match applied.get(&change.version) {
            Some(checksum) if checksum[..] != change.checksum[..] => {
                return Err(PostgresError::new(
                    Cause::TablesMissing,
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
    Ok(applied)
}

/// Takes the lock of the migrations. Other servers wait for the lock, older versions of this program included. The lock ends with the
/// transaction.
async fn lock(connection: &mut PgConnection, target: &TargetSchema) -> Result<(), Error> {
    let mut checksum = flate2::Crc::new();
    checksum.update(target.database.as_bytes());
    let key = 0x3d32_ad9e_i64 * i64::from(checksum.sum());
    let sql = format!("SELECT pg_advisory_xact_lock({key})");
    raw_sql(AssertSqlSafe(sql)).execute(connection).await?;
    Ok(())
}

async fn apply(connection: &mut PgConnection, target: &TargetSchema) -> Result<(), PostgresError> {
    let sqlx_error = |error| PostgresError::from_sqlx(ACTION, error);
    let schema = quoted(&target.schema);
    if !target.exists {
        let sql = format!("CREATE SCHEMA IF NOT EXISTS {schema}");
        raw_sql(AssertSqlSafe(sql))
            .execute(&mut *connection)
            .await
            .map_err(sqlx_error)?;
    }
    // An index needs an extension. The extension may be in another schema. Nothing is created in the other schema.
    let mut values = PgArguments::default();
    let added = values.add(&schema).map_err(Error::Encode);
    added.map_err(sqlx_error)?;
    let path = include_str!("../sql/postgres/migration_search_path.sql");
    read_all(connection, path.to_owned(), values)
        .await
        .map_err(sqlx_error)?;
    raw_sql(include_str!("../sql/postgres/migrations.sql"))
        .execute(&mut *connection)
        .await
        .map_err(sqlx_error)?;
    let applied = applied(connection, target).await?;
    for change in all() {
        if applied.contains_key(&change.version) {
            continue;
        }
        let start = Instant::now();
        raw_sql(change.sql.clone())
            .execute(&mut *connection)
            .await
            .map_err(sqlx_error)?;
        record(connection, &change, start.elapsed())
            .await
            .map_err(sqlx_error)?;
    }
    Ok(())
}

/// Records a change in the list of changes.
async fn record(
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
    read_all(connection, sql.to_owned(), values).await.map(drop)
}

//! Todos that are to go somewhere else: those of the older todo app, found by its columns, or ours. Read in one transaction that
//! cannot write, so that all of it is of one moment.

use async_trait::async_trait;
use sqlx_core::arguments::Arguments as _;
use sqlx_core::error::Error;
use sqlx_core::raw_sql::raw_sql;
use sqlx_core::row::Row as _;
use sqlx_postgres::{PgArguments, PgConnection, PgRow};

use super::errors::{Cause, Failure};
use super::import::numbered;
use super::inspection::{Relation, relations};
use super::migrations::rows;
use super::session::{Session, quoted};
use super::{BACKEND, PostgresUrl};
use crate::error::{StoreError, StoreErrorKind};
use crate::todos::import::{NumberedPage, OlderRow, PAGE_ROWS, SourcePage, SourceRows, TodoSource};

const BEGIN: &str = "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY;
    SET LOCAL statement_timeout = 0;
    SET LOCAL idle_in_transaction_session_timeout = 0;
    SET LOCAL timezone = 'UTC'";

/// Microseconds from 1970 to 2000, which PostgreSQL counts from.
const EPOCH: i64 = 946_684_800_000_000;

const WHAT: &str = "read the todos";

/// A table of todos, as of one moment.
pub(in crate::todos) struct PostgresSource {
    connection: PgConnection,
    /// The table, as SQL names it.
    table: String,
    name: String,
    origin: String,
    /// How the older app's deadlines are read; `None` for a table of ours.
    older: Option<Deadlines>,
}

/// What kind of column deadlines are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deadlines {
    Times,
    /// Something that is no time by itself.
    Other,
}

impl PostgresSource {
    /// Finds the table: in the schema of the target, or where a server would, or the only one there is.
    pub(in crate::todos) async fn open(target: &PostgresUrl) -> Result<Self, StoreError> {
        let session = Session::new(target);
        let connected = session.connect().await;
        let mut connection =
            connected.map_err(|error| Failure::of("connect", error).into_error())?;
        let begun = raw_sql(BEGIN).execute(&mut connection).await;
        begun.map_err(failed)?;
        let database = target.options.get_database().unwrap_or_default().to_owned();
        let (schema, todos) = find(&mut connection, target.schema.as_deref(), &database).await?;
        let older = if todos.is_older_app() {
            Some(deadlines(&todos))
        } else if todos.is_ours() {
            None
        } else {
            return Err(unknown(&schema, &database, &todos));
        };
        let table = format!("{}.todos", quoted(&schema));
        let mut source = Self {
            connection,
            name: match older {
                Some(_) => format!("the table {schema}.todos of the older app"),
                None => format!("{BACKEND}, schema {schema}"),
            },
            origin: format!("{database}/{schema}"),
            table,
            older,
        };
        if source.older.is_some() {
            source.check_ids().await?;
        }
        Ok(source)
    }

    /// A move that is run again has to know which is which.
    async fn check_ids(&mut self) -> Result<(), StoreError> {
        let sql = format!(
            "SELECT count(*) FILTER (WHERE id IS NULL), count(id) - count(DISTINCT id) FROM {}",
            self.table
        );
        let found = self.rows(sql, PgArguments::default()).await?;
        let (mut nulls, mut repeated) = (0i64, 0i64);
        if let Some(row) = found.first() {
            nulls = row.try_get(0).map_err(failed)?;
            repeated = row.try_get(1).map_err(failed)?;
        }
        if nulls == 0 && repeated == 0 {
            return Ok(());
        }
        Err(StoreError::new(
            StoreErrorKind::Unsupported,
            format!(
                "{} has {nulls} rows without an id, and {repeated} with an id that another one has: which todo is which cannot \
                 be told; give each an id of its own first (UPDATE … SET id = …), nothing was copied",
                self.name
            ),
        ))
    }

    async fn rows(&mut self, sql: String, values: PgArguments) -> Result<Vec<PgRow>, StoreError> {
        rows(&mut self.connection, sql, values)
            .await
            .map_err(failed)
    }
}

#[async_trait]
impl TodoSource for PostgresSource {
    fn name(&self) -> &str {
        &self.name
    }

    fn origin(&self) -> &str {
        &self.origin
    }

    async fn count(&mut self) -> Result<u64, StoreError> {
        let sql = format!("SELECT count(*) FROM {}", self.table);
        let found = self.rows(sql, PgArguments::default()).await?;
        let count = found.first().map(|row| row.try_get::<i64, _>(0));
        let count = count.transpose().map_err(failed)?;
        Ok(count.unwrap_or_default().unsigned_abs())
    }

    async fn page(&mut self, from: i64) -> Result<SourcePage, StoreError> {
        let mut values = PgArguments::default();
        let added = values
            .add(from)
            .and_then(|()| values.add(PAGE_ROWS as i64 + 1));
        added.map_err(|error| failed(Error::Encode(error)))?;
        let Some(deadlines) = self.older else {
            let sql = format!(
                "SELECT id::text, title, description, deadline, status, created_at, updated_at, number
                 FROM {} WHERE number >= $1 ORDER BY number LIMIT $2",
                self.table
            );
            let mut items = numbered(WHAT, &self.rows(sql, values).await?)?;
            let more = items.len() > PAGE_ROWS;
            items.truncate(PAGE_ROWS);
            return Ok(NumberedPage { items, more }.into());
        };
        let deadline = match deadlines {
            Deadlines::Times => "deadline::timestamp",
            Deadlines::Other => "NULL::timestamp",
        };
        let sql = format!(
            "SELECT id::bigint, title::text, description::text, {deadline}, deadline::text, status::text
             FROM {} WHERE id >= $1 ORDER BY id LIMIT $2",
            self.table
        );
        let mut found = self.rows(sql, values).await?;
        let more = found.len() > PAGE_ROWS;
        found.truncate(PAGE_ROWS);
        let older: Result<Vec<_>, Error> = found.iter().map(older_row).collect();
        let older = older.map_err(failed)?;
        let last = older.last().filter(|_| more);
        Ok(SourcePage {
            next: last.and_then(|row| row.id.checked_add(1)),
            rows: SourceRows::Older(older),
        })
    }
}

fn older_row(row: &PgRow) -> Result<OlderRow, Error> {
    let bytes = |column: usize| -> Result<Option<Vec<u8>>, Error> {
        let value = row.try_get_raw(column)?;
        Ok(value.as_bytes().ok().map(<[u8]>::to_vec))
    };
    let number = bytes(3)?.and_then(|bytes| bytes.try_into().ok());
    let deadline = number
        .map(i64::from_be_bytes)
        .and_then(|micros| match micros {
            // Never, and always.
            i64::MIN | i64::MAX => None,
            micros => micros.checked_add(EPOCH),
        });
    Ok(OlderRow {
        id: row.try_get(0)?,
        title: bytes(1)?,
        description: bytes(2)?,
        deadline,
        deadline_text: bytes(4)?.map(|text| String::from_utf8_lossy(&text).into_owned()),
        status: bytes(5)?,
    })
}

/// The table with its schema.
async fn find(
    connection: &mut PgConnection,
    schema: Option<&str>,
    database: &str,
) -> Result<(String, Relation), StoreError> {
    let mut values = PgArguments::default();
    let added = values.add(schema);
    added.map_err(|error| failed(Error::Encode(error)))?;
    let sql = include_str!("../sql/postgres/tables_named_todos.sql").to_owned();
    let found = rows(connection, sql, values).await.map_err(failed)?;
    let mut candidates = Vec::new();
    for row in &found {
        let schema: String = row.try_get(0).map_err(failed)?;
        let is_first: bool = row.try_get(1).map_err(failed)?;
        candidates.push((schema, is_first));
    }
    let schema = match candidates.as_slice() {
        [] => {
            let place =
                schema.map_or_else(String::new, |schema| format!(" in the schema {schema}"));
            return Err(StoreError::new(
                StoreErrorKind::Unsupported,
                format!(
                    "the database {database} has no table todos{place}; --from names the database of the older app or of \
                     a server, and ?schema=NAME the schema"
                ),
            ));
        }
        [(schema, true), ..] | [(schema, _)] => schema.clone(),
        several => {
            let names: Vec<&str> = several.iter().map(|(name, _)| name.as_str()).collect();
            return Err(StoreError::new(
                StoreErrorKind::Unsupported,
                format!(
                    "the database {database} has several tables todos, in the schemas {}: say which with ?schema=NAME",
                    names.join(", ")
                ),
            ));
        }
    };
    let todos = relations(connection, &schema, &["todos"]).await;
    let todos = todos.map_err(failed)?.pop();
    match todos {
        Some(todos) => Ok((schema, todos)),
        None => Err(failed(Error::RowNotFound)),
    }
}

fn deadlines(todos: &Relation) -> Deadlines {
    let is_time = |column: &String| {
        column
            .strip_prefix("deadline ")
            .is_some_and(|kind| kind.starts_with("timestamp") || kind == "date")
    };
    match todos.columns.iter().any(is_time) {
        true => Deadlines::Times,
        false => Deadlines::Other,
    }
}

fn unknown(schema: &str, database: &str, todos: &Relation) -> StoreError {
    let what = if todos
        .columns
        .iter()
        .any(|column| column == "title_folded text")
    {
        "is of an older version of fieldstation; start this version on it once, which brings it up to date".to_owned()
    } else {
        format!(
            "is neither the older app's (id, title, description, deadline, status, with an integer id) nor ours; its columns are {}",
            todos.columns.join(", ")
        )
    };
    let what = format!("the table {schema}.todos of the database {database} {what}");
    Failure::new(Cause::NoTables, what).into_error()
}

fn failed(error: Error) -> StoreError {
    Failure::of(WHAT, error).into_error()
}

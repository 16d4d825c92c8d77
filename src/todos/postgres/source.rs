//! Reads the todos for a copy to another store: from the table of the older todo app, recognized by the columns, or from the table of this
//! program. All reads are in a single read-only transaction, so they see the same snapshot.

use async_trait::async_trait;
use sqlx_core::arguments::Arguments as _;
use sqlx_core::error::Error;
use sqlx_core::raw_sql::raw_sql;
use sqlx_core::row::Row as _;
use sqlx_postgres::{PgArguments, PgConnection, PgRow};

use super::errors::{Cause, PostgresError};
use super::import::numbered;
use super::inspection::{Relation, relations};
use super::session::{Session, quoted};
use super::statement::read_all;
use super::{BACKEND, PostgresUrl};
use crate::error::{StoreError, StoreErrorKind};
use crate::todos::import::{NumberedPage, OlderRow, PAGE_ROWS, SourcePage, SourceRows, TodoSource};

const BEGIN: &str = "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY;
    SET LOCAL statement_timeout = 0;
    SET LOCAL idle_in_transaction_session_timeout = 0;
    SET LOCAL timezone = 'UTC'";

/// Microseconds from 1970 to 2000. PostgreSQL counts from 2000.
const EPOCH_OFFSET_MICROS: i64 = 946_684_800_000_000;

const ACTION: &str = "read the todos";

/// A snapshot of a table of todos.
pub(in crate::todos) struct PostgresSource {
    connection: PgConnection,
    /// The quoted name of the table, with the schema.
    table: String,
    name: String,
    origin: String,
    /// The type of the deadlines of the older app; `None` for a table of this program.
    older: Option<DeadlineColumn>,
}

/// The type of the column with the deadlines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DeadlineColumn {
    Timestamp,
    /// Any other type, such as a text.
    Other,
}

impl PostgresSource {
    /// Connects, and finds the table: in the schema of the URL, or in the first schema of the user, or the only table `todos` of the
    /// database.
    ///
    /// # Errors
    /// [`StoreErrorKind::Unsupported`] when there is no table, or several; [`StoreErrorKind::Denied`] when the columns are unknown.
    pub(in crate::todos) async fn open(url: &PostgresUrl) -> Result<Self, StoreError> {
        let session = Session::new(url);
        let connected = session.connect().await;
        let mut connection =
            connected.map_err(|error| PostgresError::from_sqlx("connect", error).into_error())?;
        let begun = raw_sql(BEGIN).execute(&mut connection).await;
        begun.map_err(query_error)?;
        let database = url.options.get_database().unwrap_or_default().to_owned();
        let (schema, todos) = find_table(&mut connection, url.schema.as_deref(), &database).await?;
        let older = if todos.is_older_app() {
            Some(deadline_column(&todos))
        } else if todos.is_current() {
            None
        } else {
            return Err(unknown_table(&schema, &database, &todos));
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

    /// Checks that every row has a unique id. A repeated copy finds each todo by the id.
    async fn check_ids(&mut self) -> Result<(), StoreError> {
        let sql = format!(
            "SELECT count(*) FILTER (WHERE id IS NULL), count(id) - count(DISTINCT id) FROM {}",
            self.table
        );
        let found = self.rows(sql, PgArguments::default()).await?;
        let (mut nulls, mut repeated) = (0i64, 0i64);
        if let Some(row) = found.first() {
            nulls = row.try_get(0).map_err(query_error)?;
            repeated = row.try_get(1).map_err(query_error)?;
        }
        if nulls == 0 && repeated == 0 {
            return Ok(());
        }
        Err(StoreError::new(
            StoreErrorKind::Unsupported,
            format!(
                "{} has {nulls} rows without an id, and {repeated} with an id that another row has, so the todos cannot be told \
                 apart; give each row an id of its own first (UPDATE … SET id = …), nothing was copied",
                self.name
            ),
        ))
    }

    async fn rows(&mut self, sql: String, values: PgArguments) -> Result<Vec<PgRow>, StoreError> {
        read_all(&mut self.connection, sql, values)
            .await
            .map_err(query_error)
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
        let count = count.transpose().map_err(query_error)?;
        Ok(count.unwrap_or_default().unsigned_abs())
    }

    async fn page(&mut self, from: i64) -> Result<SourcePage, StoreError> {
        let mut values = PgArguments::default();
        let added = values
            .add(from)
            .and_then(|()| values.add(PAGE_ROWS as i64 + 1));
        added.map_err(|error| query_error(Error::Encode(error)))?;
        let Some(deadline_column) = self.older else {
            let sql = format!(
                "SELECT id::text, title, description, deadline, status, created_at, updated_at, number
                 FROM {} WHERE number >= $1 ORDER BY number LIMIT $2",
                self.table
            );
            let mut items = numbered(ACTION, &self.rows(sql, values).await?)?;
            let more = items.len() > PAGE_ROWS;
            items.truncate(PAGE_ROWS);
            return Ok(NumberedPage { items, more }.into());
        };
        let deadline = match deadline_column {
            DeadlineColumn::Timestamp => "deadline::timestamp",
            DeadlineColumn::Other => "NULL::timestamp",
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
        let older = older.map_err(query_error)?;
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
            // PostgreSQL stores `infinity` and `-infinity` as these numbers.
            i64::MIN | i64::MAX => None,
            micros => micros.checked_add(EPOCH_OFFSET_MICROS),
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

/// The schema of the table, and the table.
async fn find_table(
    connection: &mut PgConnection,
    schema: Option<&str>,
    database: &str,
) -> Result<(String, Relation), StoreError> {
    let mut values = PgArguments::default();
    let added = values.add(schema);
    added.map_err(|error| query_error(Error::Encode(error)))?;
    let sql = include_str!("../sql/postgres/tables_named_todos.sql").to_owned();
    let found = read_all(connection, sql, values)
        .await
        .map_err(query_error)?;
    let mut candidates = Vec::new();
    for row in &found {
        let schema: String = row.try_get(0).map_err(query_error)?;
        let is_first: bool = row.try_get(1).map_err(query_error)?;
        candidates.push((schema, is_first));
    }
    let schema = match candidates.as_slice() {
        [] => {
            let location =
                schema.map_or_else(String::new, |schema| format!(" in the schema {schema}"));
            return Err(StoreError::new(
                StoreErrorKind::Unsupported,
                format!(
                    "the database {database} has no table todos{location}; --from names the database of the older app or of \
                     a server, and ?schema=NAME the schema"
                ),
            ));
        }
        [(schema, true), ..] | [(schema, _)] => schema.clone(),
        candidates => {
            let names: Vec<&str> = candidates.iter().map(|(name, _)| name.as_str()).collect();
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
    let todos = todos.map_err(query_error)?.pop();
    match todos {
        Some(todos) => Ok((schema, todos)),
        None => Err(query_error(Error::RowNotFound)),
    }
}

fn deadline_column(todos: &Relation) -> DeadlineColumn {
    let is_time = |column: &String| {
        column
            .strip_prefix("deadline ")
            .is_some_and(|kind| kind.starts_with("timestamp") || kind == "date")
    };
    match todos.columns.iter().any(is_time) {
        true => DeadlineColumn::Timestamp,
        false => DeadlineColumn::Other,
    }
}

fn unknown_table(schema: &str, database: &str, todos: &Relation) -> StoreError {
    let description = if todos
        .columns
        .iter()
        .any(|column| column == "title_folded text")
    {
        "is of an older version of fieldstation; start this version on it once, which brings it up to date".to_owned()
    } else {
        format!(
            "is neither the older app's (id, title, description, deadline, status, with an integer id) nor fieldstation's; its columns are {}",
            todos.columns.join(", ")
        )
    };
    let message = format!("the table {schema}.todos of the database {database} {description}");
    PostgresError::new(Cause::TablesMissing, message).into_error()
}

fn query_error(error: Error) -> StoreError {
    PostgresError::from_sqlx(ACTION, error).into_error()
}

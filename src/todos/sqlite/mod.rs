//! Todos in `station.db`.

mod check;
mod moving;
mod search;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use rusqlite::{OptionalExtension, Params, ToSql, Transaction, params};

pub(crate) use self::check::check_rows;
use self::search::Search;
use super::row::{Found, PAGE_BYTES_MAX, Row, Span, deadline_number, moment, page};
use super::{
    Change, Cursor, Filter, Outcome, Precondition, Status, Todo, TodoId, TodoPage, TodoStore,
    folded,
};
use crate::error::StoreError;
use crate::storage::app_database::{AppDatabase, FILE_NAME, WorkError};
use crate::storage::sqlite;
use crate::timestamp::Timestamp;
use crate::todos::moving::{Arrivals, Arrived, Numbered, NumberedPage};

/// The embedded backend. The files and the greeting share the database, so whoever opened the database closes it.
pub(super) struct SqliteTodos {
    app_database: Arc<AppDatabase>,
    is_closed: AtomicBool,
}

impl SqliteTodos {
    pub(super) fn new(app_database: Arc<AppDatabase>) -> Self {
        Self {
            app_database,
            is_closed: AtomicBool::new(false),
        }
    }

    /// The database, until this store is closed.
    fn open_database(&self) -> Result<&Arc<AppDatabase>, StoreError> {
        match self.is_closed.load(Ordering::Acquire) {
            true => Err(StoreError::shutting_down()),
            false => Ok(&self.app_database),
        }
    }
}

#[async_trait]
impl TodoStore for SqliteTodos {
    async fn create(&self, todo: &Todo) -> Result<(), StoreError> {
        let todo = todo.clone();
        let work = move |transaction: &Transaction<'_>| {
            let (title, description) = (todo.title.as_str(), todo.description.as_str());
            transaction
                .prepare_cached(include_str!("../sql/sqlite/create.sql"))?
                .execute(params![
                    todo.id.to_string(),
                    title,
                    folded(title),
                    description,
                    folded(description),
                    deadline_number(todo.deadline),
                    todo.status.as_str(),
                    todo.created_at.micros(),
                    todo.updated_at.micros(),
                ])?;
            Ok(())
        };
        self.open_database()?.write("add a todo", work).await
    }

    async fn get(&self, id: TodoId) -> Result<Option<Todo>, StoreError> {
        let work = move |transaction: &Transaction<'_>| {
            let sql = include_str!("../sql/sqlite/get.sql");
            Ok(todos(transaction, sql, params![id.to_string()])?
                .todos
                .pop())
        };
        self.open_database()?.read("read a todo", work).await
    }

    async fn list(
        &self,
        filter: &Filter,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<TodoPage, StoreError> {
        let span = Span::new(filter, after);
        let (status, text) = (filter.status.map(Status::as_str), filter.text.clone());
        let work = move |transaction: &Transaction<'_>| {
            let wanted = limit + 1;
            if let Some(text) = &text {
                let (span, text) = (&span, text.as_str());
                let search = Search {
                    span,
                    status,
                    text,
                    wanted,
                };
                return Ok(page(search.run(transaction)?, limit));
            }
            let (id, wanted) = (span.after_id.to_string(), wanted as i64);
            let mut values = cursor(&span, &id);
            values.push(&wanted);
            let sql = match &status {
                Some(status) => {
                    values.push(status);
                    include_str!("../sql/sqlite/list_of_status.sql")
                }
                None => include_str!("../sql/sqlite/list.sql"),
            };
            Ok(page(todos(transaction, sql, values.as_slice())?, limit))
        };
        self.open_database()?.read("list todos", work).await
    }

    async fn change(
        &self,
        id: TodoId,
        precondition: &Precondition,
        change: &Change,
        now: Timestamp,
    ) -> Result<Outcome<Todo>, StoreError> {
        let (versions, change) = (versions(precondition), change.clone());
        let work = move |transaction: &Transaction<'_>| {
            let title = change.title.as_ref().map(|title| title.as_str());
            let description = change.description.as_ref().map(|text| text.as_str());
            let sql = include_str!("../sql/sqlite/change.sql");
            let values = params![
                id.to_string(),
                versions,
                title,
                title.map(folded),
                description,
                description.map(folded),
                change.deadline.map(deadline_number),
                change.status.map(Status::as_str),
                now.micros(),
            ];
            match todos(transaction, sql, values)?.todos.pop() {
                Some(todo) => Ok(Outcome::Done(todo)),
                None => untouched(transaction, id),
            }
        };
        self.open_database()?.write("change a todo", work).await
    }

    async fn remove(
        &self,
        id: TodoId,
        precondition: &Precondition,
    ) -> Result<Outcome<()>, StoreError> {
        let versions = versions(precondition);
        let work = move |transaction: &Transaction<'_>| {
            let removed = transaction
                .prepare_cached(include_str!("../sql/sqlite/remove.sql"))?
                .execute(params![id.to_string(), versions])?;
            match removed {
                0 => untouched(transaction, id),
                _ => Ok(Outcome::Done(())),
            }
        };
        self.open_database()?.remove("remove a todo", work).await
    }

    async fn id_of(&self, number: i64) -> Result<Option<TodoId>, StoreError> {
        let work = move |transaction: &Transaction<'_>| moving::id_of(transaction, number);
        self.open_database()?.read("look for a number", work).await
    }

    async fn number_of(&self, id: TodoId) -> Result<Option<i64>, StoreError> {
        let work = move |transaction: &Transaction<'_>| moving::number_of(transaction, id);
        self.open_database()?.read("look for a number", work).await
    }

    async fn by_number(&self, from: i64, limit: usize) -> Result<NumberedPage, StoreError> {
        let work = move |transaction: &Transaction<'_>| moving::by_number(transaction, from, limit);
        self.open_database()?.read("list todos", work).await
    }

    async fn find(&self, ids: &[TodoId]) -> Result<Vec<Numbered>, StoreError> {
        let ids = ids.to_vec();
        let work = move |transaction: &Transaction<'_>| moving::find(transaction, &ids);
        self.open_database()?.read("read todos", work).await
    }

    async fn count(&self) -> Result<u64, StoreError> {
        let work = |transaction: &Transaction<'_>| moving::count(transaction);
        self.open_database()?.read("count todos", work).await
    }

    async fn take_over(&self, arrivals: &Arrivals) -> Result<Vec<Arrived>, StoreError> {
        let arrivals = arrivals.clone();
        let work = move |transaction: &Transaction<'_>| moving::take_over(transaction, &arrivals);
        self.open_database()?.write("take todos over", work).await
    }

    fn backend(&self) -> &'static str {
        "sqlite"
    }

    async fn ready(&self) -> Result<(), StoreError> {
        self.open_database()?.ready()
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.is_closed.store(true, Ordering::Release);
        Ok(())
    }
}

fn todos(
    transaction: &Transaction<'_>,
    sql: &str,
    values: impl Params,
) -> Result<Found, WorkError> {
    let mut statement = transaction.prepare_cached(sql)?;
    let mut rows = statement.query(values)?;
    let mut page = Gathering::default();
    while let Some(row) = rows.next()? {
        if !page.take(row)? {
            break;
        }
    }
    Ok(page.found)
}

/// Where in the list: the values of the first five parameters of each statement that lists.
fn cursor<'a>(span: &'a Span, id: &'a dyn ToSql) -> Vec<&'a dyn ToSql> {
    vec![
        &span.after_deadline,
        &span.after_created_at,
        &span.after_title,
        id,
        &span.deadline_max,
    ]
}

/// Todos that are being read, up to [`PAGE_BYTES_MAX`].
#[derive(Default)]
struct Gathering {
    found: Found,
    bytes: usize,
}

impl Gathering {
    /// Takes a todo; `false` when there is no room for it.
    fn take(&mut self, row: &rusqlite::Row<'_>) -> Result<bool, WorkError> {
        if self.bytes > PAGE_BYTES_MAX {
            self.found.is_cut = true;
            return Ok(false);
        }
        let todo = todo(row)?;
        self.bytes += todo.description.as_str().len();
        self.found.todos.push(todo);
        Ok(true)
    }

    fn len(&self) -> usize {
        self.found.todos.len()
    }
}

/// The todo of a row, whose first columns are always the same.
fn todo(found: &rusqlite::Row<'_>) -> Result<Todo, WorkError> {
    row(found)?.into_todo().map_err(|reason| damaged(&reason))
}

fn row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    Ok(Row {
        id: row.get(0)?,
        title: row.get(1)?,
        description: row.get(2)?,
        deadline: row.get(3)?,
        status: row.get(4)?,
        created_at: row.get(5)?,
        updated_at: row.get(6)?,
    })
}

/// Why a statement with a precondition found no row.
fn untouched<T>(transaction: &Transaction<'_>, id: TodoId) -> Result<Outcome<T>, WorkError> {
    let version = transaction
        .prepare_cached(include_str!("../sql/sqlite/version.sql"))?
        .query_row([id.to_string()], |row| row.get(0))
        .optional()?;
    match version {
        Some(micros) => Ok(Outcome::Conflict(
            moment(micros).map_err(|reason| damaged(&reason))?,
        )),
        None => Ok(Outcome::Missing),
    }
}

/// The versions of a precondition as SQL takes them: a list in JSON, or nothing.
fn versions(precondition: &Precondition) -> Option<String> {
    match precondition {
        Precondition::Any => None,
        Precondition::Versions(versions) => {
            let numbers: Vec<String> = versions
                .iter()
                .map(|version| version.micros().to_string())
                .collect();
            Some(format!("[{}]", numbers.join(",")))
        }
    }
}

fn damaged(reason: &str) -> WorkError {
    sqlite::damaged(FILE_NAME, reason).into()
}

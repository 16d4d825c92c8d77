//! The embedded backend, in `station.db`.

mod check;
mod import;
mod search;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use rusqlite::{OptionalExtension, Params, ToSql, Transaction, params};

pub(crate) use self::check::check_rows;
use self::search::Search;
use super::import::{ImportBatch, ImportResult, NumberedPage, NumberedTodo};
use super::row::{FoundTodos, ListRange, PAGE_BYTES_MAX, Row, deadline_micros, page, timestamp};
use super::{
    Change, Cursor, Filter, Outcome, Precondition, Status, Todo, TodoId, TodoPage, TodoStore,
    folded,
};
use crate::error::StoreError;
use crate::storage::app_database::{AppDatabase, FILE_NAME, WorkError};
use crate::storage::sqlite;
use crate::timestamp::Timestamp;

/// Todos in `station.db`. Files and greeting share the database, so the owner of the database closes it.
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
                    deadline_micros(todo.deadline),
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
        let range = ListRange::new(filter, after);
        let (status, text) = (filter.status.map(Status::as_str), filter.text.clone());
        let work = move |transaction: &Transaction<'_>| {
            let count = limit + 1;
            if let Some(text) = &text {
                let (range, text) = (&range, text.as_str());
                let search = Search {
                    range,
                    status,
                    text,
                    count,
                };
                return Ok(page(search.run(transaction)?, limit));
            }
            let (id, count) = (range.after_id.to_string(), count as i64);
            let mut values = cursor(&range, &id);
            values.push(&count);
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
                change.deadline.map(deadline_micros),
                change.status.map(Status::as_str),
                now.micros(),
            ];
            match todos(transaction, sql, values)?.todos.pop() {
                Some(todo) => Ok(Outcome::Done(todo)),
                None => unmatched(transaction, id),
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
                0 => unmatched(transaction, id),
                _ => Ok(Outcome::Done(())),
            }
        };
        self.open_database()?.remove("remove a todo", work).await
    }

    async fn id_of(&self, number: i64) -> Result<Option<TodoId>, StoreError> {
        let work = move |transaction: &Transaction<'_>| import::id_of(transaction, number);
        self.open_database()?.read("look for a number", work).await
    }

    async fn number_of(&self, id: TodoId) -> Result<Option<i64>, StoreError> {
        let work = move |transaction: &Transaction<'_>| import::number_of(transaction, id);
        self.open_database()?.read("look for a number", work).await
    }

    async fn by_number(&self, from: i64, limit: usize) -> Result<NumberedPage, StoreError> {
        let work = move |transaction: &Transaction<'_>| import::by_number(transaction, from, limit);
        self.open_database()?.read("list todos", work).await
    }

    async fn find(&self, ids: &[TodoId]) -> Result<Vec<NumberedTodo>, StoreError> {
        let ids = ids.to_vec();
        let work = move |transaction: &Transaction<'_>| import::find(transaction, &ids);
        self.open_database()?.read("read todos", work).await
    }

    async fn count(&self) -> Result<u64, StoreError> {
        let work = |transaction: &Transaction<'_>| import::count(transaction);
        self.open_database()?.read("count todos", work).await
    }

    async fn import(&self, batch: &ImportBatch) -> Result<Vec<ImportResult>, StoreError> {
        let batch = batch.clone();
        let work = move |transaction: &Transaction<'_>| import::import(transaction, &batch);
        self.open_database()?.write("import todos", work).await
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

/// Runs a statement and reads the todos that it returns, up to [`PAGE_BYTES_MAX`].
fn todos(
    transaction: &Transaction<'_>,
    sql: &str,
    values: impl Params,
) -> Result<FoundTodos, WorkError> {
    let mut statement = transaction.prepare_cached(sql)?;
    let mut rows = statement.query(values)?;
    let mut page = PageBuilder::default();
    while let Some(row) = rows.next()? {
        if !page.push(row)? {
            break;
        }
    }
    Ok(page.found)
}

/// The range of a list: the first five parameters of each list statement.
fn cursor<'a>(range: &'a ListRange, id: &'a dyn ToSql) -> Vec<&'a dyn ToSql> {
    vec![
        &range.after_deadline,
        &range.after_created_at,
        &range.after_title,
        id,
        &range.deadline_max,
    ]
}

/// Collects the todos of a page, up to [`PAGE_BYTES_MAX`].
#[derive(Default)]
struct PageBuilder {
    found: FoundTodos,
    bytes: usize,
}

impl PageBuilder {
    /// Adds the todo of a row. Returns `false` when the page is full.
    fn push(&mut self, row: &rusqlite::Row<'_>) -> Result<bool, WorkError> {
        if self.bytes > PAGE_BYTES_MAX {
            self.found.is_truncated = true;
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

/// Parses the todo in the first seven columns of a row.
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

/// The outcome of a statement with a precondition that found no row.
fn unmatched<T>(transaction: &Transaction<'_>, id: TodoId) -> Result<Outcome<T>, WorkError> {
    let version = transaction
        .prepare_cached(include_str!("../sql/sqlite/version.sql"))?
        .query_row([id.to_string()], |row| row.get(0))
        .optional()?;
    match version {
        Some(micros) => Ok(Outcome::Conflict(
            timestamp(micros).map_err(|reason| damaged(&reason))?,
        )),
        None => Ok(Outcome::Missing),
    }
}

/// The versions of a precondition for SQL: a JSON array, or NULL for all versions.
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

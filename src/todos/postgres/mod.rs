//! Todos in PostgreSQL, shared by any number of servers.

mod backoff;
mod database;
mod errors;
mod import;
mod inspection;
mod migrations;
mod pool;
mod session;
mod source;
mod url;

use std::sync::Arc;

use async_trait::async_trait;
use sqlx_core::arguments::Arguments;
use sqlx_core::error::Error;
use sqlx_core::row::Row as _;
use sqlx_postgres::PgRow;

use self::errors::{Cause, Failure};
pub(super) use self::url::PostgresUrl;
use super::import::{Arrivals, Arrived, Numbered, NumberedPage};
use super::row::{Found, Row, Span, deadline_number, moment, page};
use super::{
    Change, Cursor, Filter, Outcome, Precondition, Status, Todo, TodoId, TodoPage, TodoStore,
    folded,
};
use crate::error::{StoreError, StoreErrorKind};
use crate::timestamp::Timestamp;
use database::{Database, Rows, Statement, StatementKind};
pub(super) use source::PostgresSource;

/// What this kind of store is called.
const BACKEND: &str = "postgres";

/// The backend for many servers.
pub(super) struct PostgresTodos {
    database: Arc<Database>,
}

impl PostgresTodos {
    /// Connects and brings the tables up to date. A server that is away for the moment is no error: that is done once it is there.
    ///
    /// # Errors
    /// When PostgreSQL does not let us in, or its tables cannot be brought up to date.
    pub(super) fn open(target: PostgresUrl) -> Result<Self, StoreError> {
        let database = Database::open(target)?;
        Ok(Self { database })
    }

    async fn todos(&self, statement: Statement<'_>) -> Result<Found, StoreError> {
        let what = statement.what;
        let Rows { rows, is_cut } = self.database.rows(statement).await?;
        let failed = |error| Failure::of(what, error).into_error();
        let todos = rows
            .iter()
            .map(|row| {
                let row = columns(row).map_err(failed)?;
                row.into_todo().map_err(|reason| damaged(&reason))
            })
            .collect::<Result<_, _>>()?;
        Ok(Found { todos, is_cut })
    }

    /// Why a statement with a precondition found no row.
    async fn untouched<T>(&self, id: TodoId) -> Result<Outcome<T>, StoreError> {
        let what = "read a todo";
        let rows = self
            .database
            .rows(Statement {
                what,
                sql: include_str!("../sql/postgres/version.sql"),
                values: &|values| values.add(id.to_string()),
                kind: StatementKind::Read,
            })
            .await?;
        let Some(row) = rows.rows.first() else {
            return Ok(Outcome::Missing);
        };
        let micros = row.try_get(0);
        let micros = micros.map_err(|error| Failure::of(what, error).into_error())?;
        let version = moment(micros).map_err(|reason| damaged(&reason))?;
        Ok(Outcome::Conflict(version))
    }
}

#[async_trait]
impl TodoStore for PostgresTodos {
    async fn create(&self, todo: &Todo) -> Result<(), StoreError> {
        let (title, description) = (todo.title.as_str(), todo.description.as_str());
        self.database
            .rows(Statement {
                what: "add a todo",
                sql: include_str!("../sql/postgres/create.sql"),
                values: &|values| {
                    values.add(todo.id.to_string())?;
                    values.add(title)?;
                    values.add(folded(title))?;
                    values.add(description)?;
                    values.add(folded(description))?;
                    values.add(deadline_number(todo.deadline))?;
                    values.add(todo.status.as_str())?;
                    values.add(todo.created_at.micros())?;
                    values.add(todo.updated_at.micros())
                },
                kind: StatementKind::RepeatableWrite,
            })
            .await
            .map(drop)
    }

    async fn get(&self, id: TodoId) -> Result<Option<Todo>, StoreError> {
        let statement = Statement {
            what: "read a todo",
            sql: include_str!("../sql/postgres/get.sql"),
            values: &|values| values.add(id.to_string()),
            kind: StatementKind::Read,
        };
        Ok(self.todos(statement).await?.todos.pop())
    }

    async fn list(
        &self,
        filter: &Filter,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<TodoPage, StoreError> {
        let span = Span::new(filter, after);
        let status = filter.status.map(Status::as_str);
        let pattern = filter.text.as_deref().map(pattern);
        let statement = Statement {
            what: "list todos",
            sql: match (status, &pattern) {
                (None, None) => include_str!("../sql/postgres/list.sql"),
                (Some(_), None) => include_str!("../sql/postgres/list_of_status.sql"),
                (None, Some(_)) => include_str!("../sql/postgres/list_with_text.sql"),
                (Some(_), Some(_)) => include_str!("../sql/postgres/list_of_status_with_text.sql"),
            },
            values: &|values| {
                values.add(span.after_deadline)?;
                values.add(span.after_created_at)?;
                values.add(&span.after_title)?;
                values.add(span.after_id.to_string())?;
                values.add(span.deadline_max)?;
                values.add(limit as i64 + 1)?;
                if let Some(status) = status {
                    values.add(status)?;
                }
                if let Some(pattern) = &pattern {
                    values.add(pattern)?;
                }
                Ok(())
            },
            kind: StatementKind::Read,
        };
        Ok(page(self.todos(statement).await?, limit))
    }

    async fn change(
        &self,
        id: TodoId,
        precondition: &Precondition,
        change: &Change,
        now: Timestamp,
    ) -> Result<Outcome<Todo>, StoreError> {
        let versions = versions(precondition);
        let title = change.title.as_ref().map(|title| title.as_str());
        let description = change.description.as_ref().map(|text| text.as_str());
        let statement = Statement {
            what: "change a todo",
            sql: include_str!("../sql/postgres/change.sql"),
            values: &|values| {
                values.add(id.to_string())?;
                values.add(&versions)?;
                values.add(title)?;
                values.add(title.map(folded))?;
                values.add(description)?;
                values.add(description.map(folded))?;
                values.add(change.deadline.map(deadline_number))?;
                values.add(change.status.map(Status::as_str))?;
                values.add(now.micros())
            },
            kind: StatementKind::Write,
        };
        match self.todos(statement).await?.todos.pop() {
            Some(todo) => Ok(Outcome::Done(todo)),
            None => self.untouched(id).await,
        }
    }

    async fn remove(
        &self,
        id: TodoId,
        precondition: &Precondition,
    ) -> Result<Outcome<()>, StoreError> {
        let versions = versions(precondition);
        let removed = self
            .database
            .rows(Statement {
                what: "remove a todo",
                sql: include_str!("../sql/postgres/remove.sql"),
                values: &|values| {
                    values.add(id.to_string())?;
                    values.add(&versions)
                },
                kind: StatementKind::Write,
            })
            .await?;
        match removed.rows.is_empty() {
            true => self.untouched(id).await,
            false => Ok(Outcome::Done(())),
        }
    }

    fn backend(&self) -> &'static str {
        BACKEND
    }

    async fn id_of(&self, number: i64) -> Result<Option<TodoId>, StoreError> {
        self.id_of(number).await
    }

    async fn number_of(&self, id: TodoId) -> Result<Option<i64>, StoreError> {
        self.number_of(id).await
    }

    async fn by_number(&self, from: i64, limit: usize) -> Result<NumberedPage, StoreError> {
        self.by_number(from, limit).await
    }

    async fn find(&self, ids: &[TodoId]) -> Result<Vec<Numbered>, StoreError> {
        self.find(ids).await
    }

    async fn count(&self) -> Result<u64, StoreError> {
        self.count().await
    }

    async fn take_over(&self, arrivals: &Arrivals) -> Result<Vec<Arrived>, StoreError> {
        self.take_over(arrivals).await
    }

    async fn ready(&self) -> Result<(), StoreError> {
        let what = "ask PostgreSQL how it is";
        let rows = self
            .database
            .rows(Statement {
                what,
                sql: include_str!("../sql/postgres/state.sql"),
                values: &|_| Ok(()),
                kind: StatementKind::Question,
            })
            .await?;
        let state = rows.rows.first().map(state).transpose();
        let wrong = match state {
            Ok(Some(wrong)) => wrong,
            Ok(None) => return Ok(()),
            Err(error) => return Err(Failure::of(what, error).into_error()),
        };
        match wrong {
            None => {
                self.database.went_well(StatementKind::Question);
                Ok(())
            }
            Some(failure) => {
                // The next connection may lead to the one that takes writes.
                self.database.forget();
                Err(self.database.failed(StatementKind::Question, failure))
            }
        }
    }

    fn warnings(&self) -> Vec<String> {
        self.database.warnings()
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.database.close().await;
        Ok(())
    }
}

/// What is wrong with a database that answers.
fn state(row: &PgRow) -> Result<Option<Failure>, Error> {
    let (takes_no_writes, has_table): (bool, bool) = (row.try_get(0)?, row.try_get(1)?);
    let missing_rights: Vec<String> = row.try_get(2)?;
    Ok(if !has_table {
        Some(Failure::known(Cause::NoTables))
    } else if !missing_rights.is_empty() {
        let rights = missing_rights.join(", ");
        Some(Failure::new(
            Cause::NoRight,
            format!("the user of PostgreSQL lacks rights on the table todos: GRANT {rights}"),
        ))
    } else if takes_no_writes {
        Some(Failure::known(Cause::ReadOnly))
    } else {
        None
    })
}

fn columns(row: &PgRow) -> Result<Row, Error> {
    Ok(Row {
        id: row.try_get(0)?,
        title: row.try_get(1)?,
        description: row.try_get(2)?,
        deadline: row.try_get(3)?,
        status: row.try_get(4)?,
        created_at: row.try_get(5)?,
        updated_at: row.try_get(6)?,
    })
}

/// The versions of a precondition as SQL takes them: an array, or nothing.
fn versions(precondition: &Precondition) -> Option<Vec<i64>> {
    match precondition {
        Precondition::Any => None,
        Precondition::Versions(versions) => {
            Some(versions.iter().map(|version| version.micros()).collect())
        }
    }
}

/// A pattern of LIKE for texts that hold this one.
fn pattern(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() + 2);
    pattern.push('%');
    for character in text.chars() {
        if matches!(character, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern.push('%');
    pattern
}

fn damaged(reason: &str) -> StoreError {
    StoreError::new(
        StoreErrorKind::Damaged,
        format!("the todos in PostgreSQL are damaged: {reason}"),
    )
}

//! The backend in PostgreSQL, shared by any number of servers.

mod backoff;
mod database;
mod errors;
mod import;
mod inspection;
mod migrations;
mod pool;
mod session;
mod source;
mod statement;
mod transaction;
mod url;

use std::sync::Arc;

use async_trait::async_trait;
use sqlx_core::arguments::Arguments;
use sqlx_core::error::Error;
use sqlx_core::row::Row as _;
use sqlx_postgres::PgRow;

use self::errors::{Cause, PostgresError};
pub(super) use self::url::PostgresUrl;
use super::import::{ImportBatch, ImportResult, NumberedPage, NumberedTodo};
use super::row::{FoundTodos, ListRange, Row, deadline_micros, page, timestamp};
use super::{
    Change, Cursor, Filter, Outcome, Precondition, Status, Todo, TodoId, TodoPage, TodoStore,
    folded,
};
use crate::error::{StoreError, StoreErrorKind};
use crate::timestamp::Timestamp;
use database::Database;
pub(super) use source::PostgresSource;
use statement::{Rows, Statement, StatementKind};

/// The name of this backend.
const BACKEND: &str = "postgres";

/// Todos in PostgreSQL.
pub(super) struct PostgresTodos {
    database: Arc<Database>,
}

impl PostgresTodos {
    /// Connects, and brings the tables up to date. During an outage of PostgreSQL this succeeds, and the first statement after the
    /// outage brings the tables up to date.
    ///
    /// # Errors
    /// [`StoreErrorKind::Denied`] when PostgreSQL refuses access, or the tables cannot be brought up to date.
    pub(super) async fn open(url: PostgresUrl) -> Result<Self, StoreError> {
        let database = Database::open(url).await?;
        Ok(Self { database })
    }

    async fn todos(&self, statement: Statement<'_>) -> Result<FoundTodos, StoreError> {
        let action = statement.action;
        let Rows { rows, is_truncated } = self.database.query(statement).await?;
        let row_error = |error| PostgresError::from_sqlx(action, error).into_error();
        let todos = rows
            .iter()
            .map(|row| {
                let row = columns(row).map_err(row_error)?;
                row.into_todo().map_err(|reason| damaged(&reason))
            })
            .collect::<Result<_, _>>()?;
        Ok(FoundTodos {
            todos,
            is_truncated,
        })
    }

    /// The outcome when a statement with a precondition found no row.
    async fn unmatched<T>(&self, id: TodoId) -> Result<Outcome<T>, StoreError> {
        let action = "read a todo";
        let rows = self
            .database
            .query(Statement {
                action,
                sql: include_str!("../sql/postgres/version.sql"),
                values: &|values| values.add(id.to_string()),
                kind: StatementKind::Read,
            })
            .await?;
        let Some(row) = rows.rows.first() else {
            return Ok(Outcome::Missing);
        };
        let micros = row.try_get(0);
        let micros =
            micros.map_err(|error| PostgresError::from_sqlx(action, error).into_error())?;
        let version = timestamp(micros).map_err(|reason| damaged(&reason))?;
        Ok(Outcome::Conflict(version))
    }
}

#[async_trait]
impl TodoStore for PostgresTodos {
    async fn create(&self, todo: &Todo) -> Result<(), StoreError> {
        let (title, description) = (todo.title.as_str(), todo.description.as_str());
        self.database
            .query(Statement {
                action: "add a todo",
                sql: include_str!("../sql/postgres/create.sql"),
                values: &|values| {
                    values.add(todo.id.to_string())?;
                    values.add(title)?;
                    values.add(folded(title))?;
                    values.add(description)?;
                    values.add(folded(description))?;
                    values.add(deadline_micros(todo.deadline))?;
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
            action: "read a todo",
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
        let range = ListRange::new(filter, after);
        let status = filter.status.map(Status::as_str);
        let pattern = filter.text.as_deref().map(pattern);
        let statement = Statement {
            action: "list todos",
            sql: match (status, &pattern) {
                (None, None) => include_str!("../sql/postgres/list.sql"),
                (Some(_), None) => include_str!("../sql/postgres/list_of_status.sql"),
                (None, Some(_)) => include_str!("../sql/postgres/list_with_text.sql"),
                (Some(_), Some(_)) => include_str!("../sql/postgres/list_of_status_with_text.sql"),
            },
            values: &|values| {
                values.add(range.after_deadline)?;
                values.add(range.after_created_at)?;
                values.add(&range.after_title)?;
                values.add(range.after_id.to_string())?;
                values.add(range.deadline_max)?;
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
            action: "change a todo",
            sql: include_str!("../sql/postgres/change.sql"),
            values: &|values| {
                values.add(id.to_string())?;
                values.add(&versions)?;
                values.add(title)?;
                values.add(title.map(folded))?;
                values.add(description)?;
                values.add(description.map(folded))?;
                values.add(change.deadline.map(deadline_micros))?;
                values.add(change.status.map(Status::as_str))?;
                values.add(now.micros())
            },
            kind: StatementKind::Write,
        };
        match self.todos(statement).await?.todos.pop() {
            Some(todo) => Ok(Outcome::Done(todo)),
            None => self.unmatched(id).await,
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
            .query(Statement {
                action: "remove a todo",
                sql: include_str!("../sql/postgres/remove.sql"),
                values: &|values| {
                    values.add(id.to_string())?;
                    values.add(&versions)
                },
                kind: StatementKind::Write,
            })
            .await?;
        match removed.rows.is_empty() {
            true => self.unmatched(id).await,
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

    async fn find(&self, ids: &[TodoId]) -> Result<Vec<NumberedTodo>, StoreError> {
        self.find(ids).await
    }

    async fn count(&self) -> Result<u64, StoreError> {
        self.count().await
    }

    async fn import(&self, batch: &ImportBatch) -> Result<Vec<ImportResult>, StoreError> {
        self.import(batch).await
    }

    async fn ready(&self) -> Result<(), StoreError> {
        let action = "check whether PostgreSQL is ready";
        let rows = self
            .database
            .query(Statement {
                action,
                sql: include_str!("../sql/postgres/state.sql"),
                values: &|_| Ok(()),
                kind: StatementKind::ReadinessCheck,
            })
            .await?;
        let problem = rows.rows.first().map(problem).transpose();
        let problem = match problem {
            Ok(Some(problem)) => problem,
            Ok(None) => return Ok(()),
            Err(error) => return Err(PostgresError::from_sqlx(action, error).into_error()),
        };
        match problem {
            None => {
                self.database.record_success(StatementKind::ReadinessCheck);
                Ok(())
            }
            Some(error) => {
                // A new connection may lead to the primary, and the primary accepts writes.
                self.database.close_idle();
                Err(self
                    .database
                    .record_error(StatementKind::ReadinessCheck, error))
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

/// The problem in the answer of a database, or `None` without a problem.
fn problem(row: &PgRow) -> Result<Option<PostgresError>, Error> {
    let (is_read_only, has_table): (bool, bool) = (row.try_get(0)?, row.try_get(1)?);
    let missing_rights: Vec<String> = row.try_get(2)?;
    Ok(if !has_table {
        Some(PostgresError::from_cause(Cause::TablesMissing))
    } else if !missing_rights.is_empty() {
        let rights = missing_rights.join(", ");
        Some(PostgresError::new(
            Cause::PermissionDenied,
            format!("the user of PostgreSQL lacks rights on the table todos: GRANT {rights}"),
        ))
    } else if is_read_only {
        Some(PostgresError::from_cause(Cause::ReadOnly))
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

/// The versions of a precondition for SQL: an array, or NULL for all versions.
fn versions(precondition: &Precondition) -> Option<Vec<i64>> {
    match precondition {
        Precondition::Any => None,
        Precondition::Versions(versions) => {
            Some(versions.iter().map(|version| version.micros()).collect())
        }
    }
}

/// The LIKE pattern for all texts that contain this text.
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

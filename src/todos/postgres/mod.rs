//! Todos in PostgreSQL, shared by any number of servers.

mod failure;
mod migrations;
mod pool;
mod target;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use sqlx_core::arguments::Arguments;
use sqlx_core::error::{BoxDynError, Error};
use sqlx_core::query::query_with;
use sqlx_core::row::Row as _;
use sqlx_postgres::{PgArguments, PgRow};
use tokio::sync::Mutex;
use tokio::time::timeout;
use tracing::{info, warn};

use super::row::{Row, Span, deadline_number, moment, page};
use super::{
    Change, Filter, Outcome, Place, Precondition, Status, Todo, TodoId, TodoPage, TodoStore, folded,
};
use crate::error::{StoreError, StoreErrorKind};
use crate::timestamp::Timestamp;
use failure::{Cause, failed, timed_out};
use pool::Pool;
pub(super) use target::Target;

/// How long an operation may take, the wait for a connection included: a client is to know within two seconds. The limit of a
/// statement, in settings.sql, is a little shorter.
const OPERATION_TIME_MAX: Duration = Duration::from_millis(1500);
/// How long a goodbye may take at shutdown.
const CLOSE_TIME_MAX: Duration = Duration::from_secs(5);

/// The backend for many servers.
pub(super) struct PostgresTodos {
    shared: Arc<Shared>,
}

struct Shared {
    target: Target,
    pool: Pool,
    is_migrated: AtomicBool,
    migrating: Mutex<()>,
}

/// A statement with its values, which can be sent again.
struct Statement<'a> {
    /// Completes "could not".
    what: &'static str,
    sql: &'static str,
    values: &'a (dyn Fn(&mut PgArguments) -> Result<(), BoxDynError> + Send + Sync),
    /// Whether sending it again does no more than sending it once.
    is_repeatable: bool,
}

impl PostgresTodos {
    /// Connects and brings the tables up to date. A server that is away for the moment is no error: that is done once it is there.
    ///
    /// # Errors
    /// When PostgreSQL does not let us in, or its tables cannot be brought up to date.
    pub(super) fn open(target: Target) -> Result<Self, StoreError> {
        let shared = Arc::new(Shared {
            pool: Pool::new(target.options.clone(), target.connections_max),
            target,
            is_migrated: AtomicBool::new(false),
            migrating: Mutex::new(()),
        });
        // A thread of its own, since the caller may be one of a runtime. The connection ends with it.
        let migrated = std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .map(|runtime| runtime.block_on(shared.migrate()))
            });
            thread.join()
        });
        let migrated = match migrated {
            Ok(Ok(migrated)) => migrated,
            Ok(Err(error)) => return Err(no_thread().with_source(error)),
            Err(_) => return Err(no_thread()),
        };
        let (host, port) = (shared.target.host(), shared.target.options.get_port());
        let database = shared.target.options.get_database();
        match migrated {
            Ok(()) => info!(host, port, database, "todos are in PostgreSQL"),
            Err((Cause::Away, error)) => {
                let source = std::error::Error::source(&error).map(ToString::to_string);
                warn!(
                    host, port, database, %error, source,
                    "PostgreSQL is away; there are no todos until it is back"
                );
            }
            Err((_, error)) => return Err(error),
        }
        Ok(Self { shared })
    }

    async fn rows(&self, statement: Statement<'_>) -> Result<Vec<PgRow>, StoreError> {
        let what = statement.what;
        let work = async {
            self.shared.migrated().await?;
            self.shared.rows(&statement).await
        };
        match timeout(OPERATION_TIME_MAX, work).await {
            Ok(result) => result,
            Err(_) => {
                // What went unanswered on one connection is not to be tried on the next.
                self.shared.pool.forget();
                Err(timed_out(what))
            }
        }
    }

    async fn todos(&self, statement: Statement<'_>) -> Result<Vec<Todo>, StoreError> {
        let what = statement.what;
        let rows = self.rows(statement).await?;
        rows.iter()
            .map(|row| {
                let row = columns(row).map_err(|error| failed(what, error))?;
                row.into_todo().map_err(|reason| damaged(&reason))
            })
            .collect()
    }

    /// Why a statement with a precondition found no row.
    async fn untouched<T>(&self, id: TodoId) -> Result<Outcome<T>, StoreError> {
        let what = "read a todo";
        let rows = self
            .rows(Statement {
                what,
                sql: include_str!("../sql/postgres/version.sql"),
                values: &|values| values.add(id.to_string()),
                is_repeatable: true,
            })
            .await?;
        let Some(row) = rows.first() else {
            return Ok(Outcome::Missing);
        };
        let micros = row.try_get(0).map_err(|error| failed(what, error))?;
        let version = moment(micros).map_err(|reason| damaged(&reason))?;
        Ok(Outcome::Conflict(version))
    }
}

impl Shared {
    async fn rows(&self, statement: &Statement<'_>) -> Result<Vec<PgRow>, StoreError> {
        loop {
            let failed = |error| failed(statement.what, error);
            let mut lease = self.pool.lease().await.map_err(failed)?;
            let mut values = PgArguments::default();
            (statement.values)(&mut values).map_err(|error| failed(Error::Encode(error)))?;
            let result = query_with(statement.sql, values)
                .fetch_all(&mut lease.connection)
                .await;
            let error = match result {
                Ok(rows) => {
                    lease.give_back();
                    return Ok(rows);
                }
                Err(error) => error,
            };
            let (cause, is_reused) = (Cause::of(&error), lease.is_reused);
            drop(lease);
            if matches!(cause, Cause::Away | Cause::ReadOnly) {
                self.pool.forget();
            }
            // The connection may have died before the statement was sent. Another one tells.
            if !(cause == Cause::Away && is_reused && statement.is_repeatable) {
                return Err(failed(error));
            }
        }
    }

    /// Waits until the tables are there, for a server that was started while PostgreSQL was away.
    async fn migrated(self: &Arc<Self>) -> Result<(), StoreError> {
        if self.pool.is_closed() {
            return Err(closed());
        }
        if self.is_migrated.load(Ordering::Acquire) {
            return Ok(());
        }
        // One at a time, and not as a part of the request: one that is given up does not cut a change short.
        if let Ok(turn) = self.migrating.try_lock() {
            drop(turn);
            let this = Arc::clone(self);
            let migrating = tokio::spawn(async move {
                match this.migrating.try_lock() {
                    Ok(_turn) => this.migrate().await,
                    Err(_) => Ok(()),
                }
            });
            match migrating.await {
                Ok(Ok(())) => {}
                Ok(Err((_, error))) => return Err(error),
                Err(error) => return Err(no_thread().with_source(error)),
            }
        }
        // Whoever has the turn is at it.
        drop(self.migrating.lock().await);
        if self.is_migrated.load(Ordering::Acquire) {
            return Ok(());
        }
        Err(StoreError::new(
            StoreErrorKind::Unavailable,
            "the tables in PostgreSQL are not ready yet",
        ))
    }

    async fn migrate(&self) -> Result<(), (Cause, StoreError)> {
        let options = &self.target.options;
        // Whether anybody is there is known soon; waiting for another replica's change takes as long as it takes.
        let probed = timeout(OPERATION_TIME_MAX, pool::connect(options)).await;
        match probed {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => {
                let cause = Cause::of(&error);
                return Err((cause, failed("connect", error)));
            }
            Err(_) => return Err((Cause::Away, timed_out("connect"))),
        }
        match timeout(migrations::TIME_MAX, migrations::run(options)).await {
            Ok(Ok(())) => {
                self.is_migrated.store(true, Ordering::Release);
                Ok(())
            }
            Ok(Err(error)) => Err(failure::migration_failed(error)),
            Err(_) => Err((
                Cause::TooSlow,
                timed_out("bring the tables in PostgreSQL up to date"),
            )),
        }
    }
}

#[async_trait]
impl TodoStore for PostgresTodos {
    async fn create(&self, todo: &Todo) -> Result<(), StoreError> {
        let (title, description) = (todo.title.as_str(), todo.description.as_str());
        self.rows(Statement {
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
            is_repeatable: true,
        })
        .await
        .map(drop)
    }

    async fn get(&self, id: TodoId) -> Result<Option<Todo>, StoreError> {
        let statement = Statement {
            what: "read a todo",
            sql: include_str!("../sql/postgres/get.sql"),
            values: &|values| values.add(id.to_string()),
            is_repeatable: true,
        };
        Ok(self.todos(statement).await?.pop())
    }

    async fn list(
        &self,
        filter: &Filter,
        after: Option<&Place>,
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
            is_repeatable: true,
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
            is_repeatable: false,
        };
        match self.todos(statement).await?.pop() {
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
            .rows(Statement {
                what: "remove a todo",
                sql: include_str!("../sql/postgres/remove.sql"),
                values: &|values| {
                    values.add(id.to_string())?;
                    values.add(&versions)
                },
                is_repeatable: false,
            })
            .await?;
        match removed.is_empty() {
            true => self.untouched(id).await,
            false => Ok(Outcome::Done(())),
        }
    }

    fn backend(&self) -> &'static str {
        "postgres"
    }

    async fn ready(&self) -> Result<(), StoreError> {
        let what = "ask PostgreSQL how it is";
        let rows = self
            .rows(Statement {
                what,
                sql: include_str!("../sql/postgres/takes_no_writes.sql"),
                values: &|_| Ok(()),
                is_repeatable: true,
            })
            .await?;
        let takes_no_writes = rows.first().map(|row| row.try_get(0)).transpose();
        match takes_no_writes.map_err(|error| failed(what, error))? {
            Some(false) => Ok(()),
            _ => {
                // The next connection may lead to the one that does.
                self.shared.pool.forget();
                Err(StoreError::new(
                    StoreErrorKind::Unavailable,
                    "PostgreSQL takes no writes at the moment",
                ))
            }
        }
    }

    async fn close(&self) -> Result<(), StoreError> {
        let connections_max = u32::try_from(self.shared.target.connections_max).unwrap_or(u32::MAX);
        let closing = self.shared.pool.close(connections_max);
        // Whoever does not answer a goodbye notices its end.
        let _ = timeout(CLOSE_TIME_MAX, closing).await;
        Ok(())
    }
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

fn closed() -> StoreError {
    StoreError::new(
        StoreErrorKind::Unavailable,
        "the server is shutting down; send this to another one",
    )
}

fn no_thread() -> StoreError {
    StoreError::new(
        StoreErrorKind::Internal,
        "could not prepare the tables in PostgreSQL",
    )
}

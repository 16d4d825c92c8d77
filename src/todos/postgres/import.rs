//! Numbers, and todos that come from another store.

use std::collections::{HashMap, HashSet};

use sqlx_core::arguments::Arguments as _;
use sqlx_core::error::Error;
use sqlx_core::row::Row as _;
use sqlx_postgres::{PgArguments, PgRow};

use super::database::{Statement, StatementKind, Work};
use super::errors::Failure;
use super::{PostgresTodos, columns, damaged};
use crate::error::StoreError;
use crate::todos::import::{Arrival, Arrivals, Arrived, Became, Moved, Numbered, NumberedPage};
use crate::todos::row::deadline_number;
use crate::todos::{Todo, TodoId, folded};

/// A transaction that takes many todos in may take longer than a request.
const LIMITS: &str = "SELECT set_config('statement_timeout', '60s', true)";

impl PostgresTodos {
    pub(super) async fn id_of(&self, number: i64) -> Result<Option<TodoId>, StoreError> {
        let what = "look for a number";
        let found = self
            .database
            .rows(Statement {
                what,
                sql: include_str!("../sql/postgres/id_of.sql"),
                values: &|values| values.add(number),
                kind: StatementKind::Read,
            })
            .await?;
        let id: Option<String> = self.first(what, &found.rows)?;
        let read = |id: String| {
            let parsed = id.parse();
            parsed.map_err(|error| damaged(&format!("the id `{id}` {error}")))
        };
        id.map(read).transpose()
    }

    pub(super) async fn number_of(&self, id: TodoId) -> Result<Option<i64>, StoreError> {
        let what = "look for a number";
        let found = self
            .database
            .rows(Statement {
                what,
                sql: include_str!("../sql/postgres/number_of.sql"),
                values: &|values| values.add(id.to_string()),
                kind: StatementKind::Read,
            })
            .await?;
        self.first(what, &found.rows)
    }

    pub(super) async fn count(&self) -> Result<u64, StoreError> {
        let what = "count todos";
        let found = self
            .database
            .rows(Statement {
                what,
                sql: include_str!("../sql/postgres/count.sql"),
                values: &|_| Ok(()),
                kind: StatementKind::Read,
            })
            .await?;
        let count: Option<i64> = self.first(what, &found.rows)?;
        Ok(count.unwrap_or_default().unsigned_abs())
    }

    pub(super) async fn by_number(
        &self,
        from: i64,
        limit: usize,
    ) -> Result<NumberedPage, StoreError> {
        let what = "list todos";
        let found = self
            .database
            .rows(Statement {
                what,
                sql: include_str!("../sql/postgres/by_number.sql"),
                values: &|values| {
                    values.add(from)?;
                    values.add(limit as i64 + 1)
                },
                kind: StatementKind::Read,
            })
            .await?;
        let mut items = numbered(what, &found.rows)?;
        let more = found.is_cut || items.len() > limit;
        items.truncate(limit);
        Ok(NumberedPage { items, more })
    }

    pub(super) async fn find(&self, ids: &[TodoId]) -> Result<Vec<Numbered>, StoreError> {
        let what = "read todos";
        let mut found: Vec<Numbered> = Vec::with_capacity(ids.len());
        let mut wanted: HashSet<TodoId> = ids.iter().copied().collect();
        loop {
            let ids: Vec<String> = wanted.iter().map(TodoId::to_string).collect();
            let rows = self
                .database
                .rows(Statement {
                    what,
                    sql: include_str!("../sql/postgres/find.sql"),
                    values: &|values| values.add(&ids),
                    kind: StatementKind::Read,
                })
                .await?;
            let some = numbered(what, &rows.rows)?;
            for item in &some {
                wanted.remove(&item.todo.id);
            }
            found.extend(some);
            if !rows.is_cut {
                return Ok(found);
            }
        }
    }

    pub(super) async fn take_over(&self, arrivals: &Arrivals) -> Result<Vec<Arrived>, StoreError> {
        let what = "take todos over";
        let mut work = self.database.begin(what).await?;
        work.rows(LIMITS, |_| Ok(())).await?;
        let known = Known::read(&mut work, what, arrivals).await?;
        let mut taken = known.taken.clone();
        let mut remembered = Vec::new();
        let (mut with_number, mut without) = (Vec::new(), Vec::new());
        let mut became = Vec::with_capacity(arrivals.items.len());
        for arrival in &arrivals.items {
            let here = known.here.get(&arrival.todo.id);
            let moved = known.moved.get(&arrival.todo.id);
            let mut outcome = arrivals.decide(arrival, here, moved);
            match (outcome, here) {
                (Became::Added, _) => {
                    match arrival.number {
                        Some(number) if taken.insert(number) => with_number.push(arrival),
                        _ => without.push(arrival),
                    }
                    remembered.push(arrival.todo.clone());
                }
                (Became::CaughtUp, Some(here)) => {
                    let todo = arrivals.caught_up(&arrival.todo, &here.todo);
                    // Somebody may have changed or removed it since it was looked at.
                    if catch_up(&mut work, &todo, &here.todo).await? {
                        remembered.push(todo);
                    } else {
                        outcome = Became::ChangedHere;
                    }
                }
                (Became::Unchanged, Some(here)) if moved.is_none() => {
                    remembered.push(here.todo.clone());
                }
                _ => {}
            }
            became.push(outcome);
        }
        arrive(&mut work, &with_number, &without).await?;
        remember(&mut work, arrivals, &remembered).await?;
        let found = work
            .rows(include_str!("../sql/postgres/find.sql"), |values| {
                values.add(texts(&arrivals.ids()))
            })
            .await?;
        let numbers: HashMap<TodoId, i64> = numbered(what, &found)?
            .into_iter()
            .map(|item| (item.todo.id, item.number))
            .collect();
        work.commit().await?;
        let arrived = arrivals.items.iter().zip(became);
        let arrived = arrived.map(|(arrival, became)| Arrived {
            became,
            number: numbers.get(&arrival.todo.id).copied(),
        });
        Ok(arrived.collect())
    }

    fn first<'r, T>(&self, what: &str, rows: &'r [PgRow]) -> Result<Option<T>, StoreError>
    where
        T: sqlx_core::decode::Decode<'r, sqlx_postgres::Postgres>
            + sqlx_core::types::Type<sqlx_postgres::Postgres>,
    {
        let first = rows.first().map(|row| row.try_get(0)).transpose();
        first.map_err(|error| Failure::of(what, error).into_error())
    }
}

/// What is here of some arrivals.
struct Known {
    here: HashMap<TodoId, Numbered>,
    moved: HashMap<TodoId, Moved>,
    /// Those of their numbers that somebody has.
    taken: HashSet<i64>,
}

impl Known {
    async fn read(
        work: &mut Work<'_>,
        what: &'static str,
        arrivals: &Arrivals,
    ) -> Result<Self, StoreError> {
        let failed = |error| Failure::of(what, error).into_error();
        let ids = texts(&arrivals.ids());
        let numbers: Vec<i64> = arrivals
            .items
            .iter()
            .filter_map(|arrival| arrival.number)
            .collect();
        let found = work
            .rows(include_str!("../sql/postgres/find.sql"), |values| {
                values.add(&ids)
            })
            .await?;
        let here = numbered(what, &found)?
            .into_iter()
            .map(|item| (item.todo.id, item))
            .collect();
        let rows = work
            .rows(include_str!("../sql/postgres/moved.sql"), |values| {
                values.add(&ids)
            })
            .await?;
        let mut moved = HashMap::new();
        for row in rows {
            let id: String = row.try_get(0).map_err(failed)?;
            let id = id
                .parse()
                .map_err(|error| damaged(&format!("the id `{id}` {error}")))?;
            let version = row.try_get(1).map_err(failed)?;
            let origin = row.try_get(2).map_err(failed)?;
            moved.insert(id, Moved { version, origin });
        }
        let rows = work
            .rows(
                include_str!("../sql/postgres/numbers_taken.sql"),
                |values| values.add(&numbers),
            )
            .await?;
        let taken = rows.iter().map(|row| row.try_get(0));
        Ok(Self {
            here,
            moved,
            taken: taken.collect::<Result<_, _>>().map_err(failed)?,
        })
    }
}

/// The columns of some todos, each as an array.
fn add_columns<'a>(
    values: &mut PgArguments,
    todos: &(impl Iterator<Item = &'a Todo> + Clone),
) -> Result<(), sqlx_core::error::BoxDynError> {
    fn title(todo: &Todo) -> String {
        todo.title.as_str().to_owned()
    }
    fn description(todo: &Todo) -> String {
        todo.description.as_str().to_owned()
    }
    let text = |of: fn(&Todo) -> String| todos.clone().map(of).collect::<Vec<String>>();
    let number = |of: fn(&Todo) -> i64| todos.clone().map(of).collect::<Vec<i64>>();
    values.add(text(|todo| todo.id.to_string()))?;
    values.add(text(title))?;
    values.add(text(|todo| folded(todo.title.as_str())))?;
    values.add(text(description))?;
    values.add(text(|todo| folded(todo.description.as_str())))?;
    values.add(number(|todo| deadline_number(todo.deadline)))?;
    values.add(text(|todo| todo.status.as_str().to_owned()))?;
    values.add(number(|todo| todo.created_at.micros()))?;
    values.add(number(|todo| todo.updated_at.micros()))
}

async fn arrive(
    work: &mut Work<'_>,
    with_number: &[&Arrival],
    without: &[&Arrival],
) -> Result<(), StoreError> {
    let numbers: Vec<i64> = with_number
        .iter()
        .filter_map(|arrival| arrival.number)
        .collect();
    if let Some(last) = numbers.iter().max().filter(|last| **last >= 1 << 28) {
        work.rows("LOCK TABLE todos IN SHARE ROW EXCLUSIVE MODE", |_| Ok(()))
            .await?;
        work.rows(
            include_str!("../sql/postgres/numbers_above.sql"),
            |values| values.add(*last),
        )
        .await?;
    }
    if !with_number.is_empty() {
        work.rows(include_str!("../sql/postgres/arrive.sql"), |values| {
            add_columns(values, &with_number.iter().map(|arrival| &arrival.todo))?;
            values.add(numbers)
        })
        .await?;
    }
    if !without.is_empty() {
        let sql = include_str!("../sql/postgres/arrive_without_number.sql");
        work.rows(sql, |values| {
            add_columns(values, &without.iter().map(|arrival| &arrival.todo))
        })
        .await?;
    }
    Ok(())
}

async fn remember(
    work: &mut Work<'_>,
    arrivals: &Arrivals,
    todos: &[Todo],
) -> Result<(), StoreError> {
    if todos.is_empty() {
        return Ok(());
    }
    let ids: Vec<String> = todos.iter().map(|todo| todo.id.to_string()).collect();
    let versions: Vec<i64> = todos.iter().map(|todo| todo.updated_at.micros()).collect();
    work.rows(include_str!("../sql/postgres/remember.sql"), |values| {
        values.add(ids)?;
        values.add(versions)?;
        values.add(&arrivals.origin)
    })
    .await
    .map(drop)
}

/// Sets all fields of a todo, if it still is the version that was seen.
async fn catch_up(work: &mut Work<'_>, todo: &Todo, seen: &Todo) -> Result<bool, StoreError> {
    let rows = work
        .rows(include_str!("../sql/postgres/catch_up.sql"), |values| {
            values.add(todo.id.to_string())?;
            values.add(todo.title.as_str())?;
            values.add(folded(todo.title.as_str()))?;
            values.add(todo.description.as_str())?;
            values.add(folded(todo.description.as_str()))?;
            values.add(deadline_number(todo.deadline))?;
            values.add(todo.status.as_str())?;
            values.add(todo.created_at.micros())?;
            values.add(todo.updated_at.micros())?;
            values.add(seen.updated_at.micros())
        })
        .await?;
    Ok(!rows.is_empty())
}

/// The todos of rows that end with their numbers.
pub(super) fn numbered(what: &str, rows: &[PgRow]) -> Result<Vec<Numbered>, StoreError> {
    let each = rows.iter().map(|row| {
        let failed = |error: Error| Failure::of(what, error).into_error();
        let number = row.try_get(7).map_err(failed)?;
        let todo = columns(row).map_err(failed)?.into_todo();
        let todo = todo.map_err(|reason| damaged(&reason))?;
        Ok(Numbered { number, todo })
    });
    each.collect()
}

fn texts(ids: &[TodoId]) -> Vec<String> {
    ids.iter().map(TodoId::to_string).collect()
}

//! The numbers of todos, and the import of todos from another store.

use std::collections::{HashMap, HashSet};

use sqlx_core::arguments::Arguments as _;
use sqlx_core::error::Error;
use sqlx_core::row::Row as _;
use sqlx_postgres::{PgArguments, PgRow};

use super::errors::PostgresError;
use super::statement::{Statement, StatementKind};
use super::transaction::Transaction;
use super::{PostgresTodos, columns, damaged};
use crate::error::StoreError;
use crate::todos::import::{
    ImportBatch, ImportItem, ImportOutcome, ImportRecord, ImportResult, NumberedPage, NumberedTodo,
};
use crate::todos::row::deadline_micros;
use crate::todos::{Todo, TodoId, folded};

/// The import of many todos may take longer than a request.
const SET_TIME_LIMIT: &str = "SELECT set_config('statement_timeout', '60s', true)";

impl PostgresTodos {
    pub(super) async fn id_of(&self, number: i64) -> Result<Option<TodoId>, StoreError> {
        let action = "look for a number";
        let found = self
            .database
            .query(Statement {
                action,
                sql: include_str!("../sql/postgres/id_of.sql"),
                values: &|values| values.add(number),
                kind: StatementKind::Read,
            })
            .await?;
        let id: Option<String> = self.first(action, &found.rows)?;
        let parse = |id: String| {
            let parsed = id.parse();
            parsed.map_err(|error| damaged(&format!("the id `{id}` {error}")))
        };
        id.map(parse).transpose()
    }

    pub(super) async fn number_of(&self, id: TodoId) -> Result<Option<i64>, StoreError> {
        let action = "look for a number";
        let found = self
            .database
            .query(Statement {
                action,
                sql: include_str!("../sql/postgres/number_of.sql"),
                values: &|values| values.add(id.to_string()),
                kind: StatementKind::Read,
            })
            .await?;
        self.first(action, &found.rows)
    }

    pub(super) async fn count(&self) -> Result<u64, StoreError> {
        let action = "count todos";
        let found = self
            .database
            .query(Statement {
                action,
                sql: include_str!("../sql/postgres/count.sql"),
                values: &|_| Ok(()),
                kind: StatementKind::Read,
            })
            .await?;
        let count: Option<i64> = self.first(action, &found.rows)?;
        Ok(count.unwrap_or_default().unsigned_abs())
    }

    pub(super) async fn by_number(
        &self,
        from: i64,
        limit: usize,
    ) -> Result<NumberedPage, StoreError> {
        let action = "list todos";
        let found = self
            .database
            .query(Statement {
                action,
                sql: include_str!("../sql/postgres/by_number.sql"),
                values: &|values| {
                    values.add(from)?;
                    values.add(limit as i64 + 1)
                },
                kind: StatementKind::Read,
            })
            .await?;
        let mut items = numbered(action, &found.rows)?;
        let more = found.is_truncated || items.len() > limit;
        items.truncate(limit);
        Ok(NumberedPage { items, more })
    }

    pub(super) async fn find(&self, ids: &[TodoId]) -> Result<Vec<NumberedTodo>, StoreError> {
        let action = "read todos";
        let mut found: Vec<NumberedTodo> = Vec::with_capacity(ids.len());
        let mut wanted: HashSet<TodoId> = ids.iter().copied().collect();
        loop {
            let ids: Vec<String> = wanted.iter().map(TodoId::to_string).collect();
            let rows = self
                .database
                .query(Statement {
                    action,
                    sql: include_str!("../sql/postgres/find.sql"),
                    values: &|values| values.add(&ids),
                    kind: StatementKind::Read,
                })
                .await?;
            let page = numbered(action, &rows.rows)?;
            for item in &page {
                wanted.remove(&item.todo.id);
            }
            found.extend(page);
            if !rows.is_truncated {
                return Ok(found);
            }
        }
    }

    pub(super) async fn import(
        &self,
        batch: &ImportBatch,
    ) -> Result<Vec<ImportResult>, StoreError> {
        let action = "import todos";
        let mut transaction = self.database.begin(action).await?;
        transaction.query(SET_TIME_LIMIT, |_| Ok(())).await?;
        let existing = Existing::read(&mut transaction, action, batch).await?;
        let mut taken = existing.numbers_taken.clone();
        let mut imported = Vec::new();
        let (mut with_number, mut without_number) = (Vec::new(), Vec::new());
        let mut outcomes = Vec::with_capacity(batch.items.len());
        for item in &batch.items {
            let current = existing.todos.get(&item.todo.id);
            let record = existing.records.get(&item.todo.id);
            let mut outcome = batch.decide(item, current, record);
            match (outcome, current) {
                (ImportOutcome::Added, _) => {
                    match item.number {
                        Some(number) if taken.insert(number) => with_number.push(item),
                        _ => without_number.push(item),
                    }
                    imported.push(item.todo.clone());
                }
                (ImportOutcome::Updated, Some(current)) => {
                    let todo = batch.updated(&item.todo, &current.todo);
                    // A client may have changed or removed the todo after the read.
                    if update(&mut transaction, &todo, &current.todo).await? {
                        imported.push(todo);
                    } else {
                        outcome = ImportOutcome::ChangedHere;
                    }
                }
                (ImportOutcome::Unchanged, Some(current)) if record.is_none() => {
                    imported.push(current.todo.clone());
                }
                _ => {}
            }
            outcomes.push(outcome);
        }
        insert(&mut transaction, &with_number, &without_number).await?;
        save_records(&mut transaction, batch, &imported).await?;
        let found = transaction
            .query(include_str!("../sql/postgres/find.sql"), |values| {
                values.add(texts(&batch.ids()))
            })
            .await?;
        let numbers: HashMap<TodoId, i64> = numbered(action, &found)?
            .into_iter()
            .map(|item| (item.todo.id, item.number))
            .collect();
        transaction.commit().await?;
        let results = batch.items.iter().zip(outcomes);
        let results = results.map(|(item, outcome)| ImportResult {
            outcome,
            number: numbers.get(&item.todo.id).copied(),
        });
        Ok(results.collect())
    }

    fn first<'r, T>(&self, action: &str, rows: &'r [PgRow]) -> Result<Option<T>, StoreError>
    where
        T: sqlx_core::decode::Decode<'r, sqlx_postgres::Postgres>
            + sqlx_core::types::Type<sqlx_postgres::Postgres>,
    {
        let first = rows.first().map(|row| row.try_get(0)).transpose();
        first.map_err(|error| PostgresError::from_sqlx(action, error).into_error())
    }
}

/// The state of this store before an import.
struct Existing {
    /// The todos with the ids of the batch.
    todos: HashMap<TodoId, NumberedTodo>,
    /// The records of earlier imports about these todos.
    records: HashMap<TodoId, ImportRecord>,
    /// The numbers of the batch already given to other todos.
    numbers_taken: HashSet<i64>,
}

impl Existing {
    async fn read(
        transaction: &mut Transaction<'_>,
        action: &'static str,
        batch: &ImportBatch,
    ) -> Result<Self, StoreError> {
        let row_error = |error| PostgresError::from_sqlx(action, error).into_error();
        let ids = texts(&batch.ids());
        let numbers: Vec<i64> = batch.items.iter().filter_map(|item| item.number).collect();
        let found = transaction
            .query(include_str!("../sql/postgres/find.sql"), |values| {
                values.add(&ids)
            })
            .await?;
        let todos = numbered(action, &found)?
            .into_iter()
            .map(|item| (item.todo.id, item))
            .collect();
        let rows = transaction
            .query(
                include_str!("../sql/postgres/import_record.sql"),
                |values| values.add(&ids),
            )
            .await?;
        let mut records = HashMap::new();
        for row in rows {
            let id: String = row.try_get(0).map_err(row_error)?;
            let id = id
                .parse()
                .map_err(|error| damaged(&format!("the id `{id}` {error}")))?;
            let version = row.try_get(1).map_err(row_error)?;
            let origin = row.try_get(2).map_err(row_error)?;
            records.insert(id, ImportRecord { version, origin });
        }
        let rows = transaction
            .query(
                include_str!("../sql/postgres/numbers_taken.sql"),
                |values| values.add(&numbers),
            )
            .await?;
        let numbers_taken = rows.iter().map(|row| row.try_get(0));
        Ok(Self {
            todos,
            records,
            numbers_taken: numbers_taken.collect::<Result<_, _>>().map_err(row_error)?,
        })
    }
}

/// Adds the columns of several todos to the values, each column as an array.
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
    values.add(number(|todo| deadline_micros(todo.deadline)))?;
    values.add(text(|todo| todo.status.as_str().to_owned()))?;
    values.add(number(|todo| todo.created_at.micros()))?;
    values.add(number(|todo| todo.updated_at.micros()))
}

/// Inserts new todos. For a large number, the sequence of numbers first moves past this number, so that no later todo gets the same number.
async fn insert(
    transaction: &mut Transaction<'_>,
    with_number: &[&ImportItem],
    without_number: &[&ImportItem],
) -> Result<(), StoreError> {
    let numbers: Vec<i64> = with_number.iter().filter_map(|item| item.number).collect();
    if let Some(last) = numbers.iter().max().filter(|last| **last >= 1 << 28) {
        transaction
            .query("LOCK TABLE todos IN SHARE ROW EXCLUSIVE MODE", |_| Ok(()))
            .await?;
        transaction
            .query(
                include_str!("../sql/postgres/numbers_above.sql"),
                |values| values.add(*last),
            )
            .await?;
    }
    if !with_number.is_empty() {
        transaction
            .query(include_str!("../sql/postgres/import.sql"), |values| {
                add_columns(values, &with_number.iter().map(|item| &item.todo))?;
                values.add(numbers)
            })
            .await?;
    }
    if !without_number.is_empty() {
        let sql = include_str!("../sql/postgres/import_without_number.sql");
        transaction
            .query(sql, |values| {
                add_columns(values, &without_number.iter().map(|item| &item.todo))
            })
            .await?;
    }
    Ok(())
}

/// Records the versions of these todos from the other store.
async fn save_records(
    transaction: &mut Transaction<'_>,
    batch: &ImportBatch,
    todos: &[Todo],
) -> Result<(), StoreError> {
    if todos.is_empty() {
        return Ok(());
    }
    let ids: Vec<String> = todos.iter().map(|todo| todo.id.to_string()).collect();
    let versions: Vec<i64> = todos.iter().map(|todo| todo.updated_at.micros()).collect();
    transaction
        .query(
            include_str!("../sql/postgres/save_import_record.sql"),
            |values| {
                values.add(ids)?;
                values.add(versions)?;
                values.add(&batch.origin)
            },
        )
        .await
        .map(drop)
}

/// Sets all fields of a todo, unless the todo has changed since `current` was read. Returns whether the todo was updated.
async fn update(
    transaction: &mut Transaction<'_>,
    todo: &Todo,
    current: &Todo,
) -> Result<bool, StoreError> {
    let rows = transaction
        .query(
            include_str!("../sql/postgres/update_imported.sql"),
            |values| {
                values.add(todo.id.to_string())?;
                values.add(todo.title.as_str())?;
                values.add(folded(todo.title.as_str()))?;
                values.add(todo.description.as_str())?;
                values.add(folded(todo.description.as_str()))?;
                values.add(deadline_micros(todo.deadline))?;
                values.add(todo.status.as_str())?;
                values.add(todo.created_at.micros())?;
                values.add(todo.updated_at.micros())?;
                values.add(current.updated_at.micros())
            },
        )
        .await?;
    Ok(!rows.is_empty())
}

/// The todos of rows with the number in the last column.
pub(super) fn numbered(action: &str, rows: &[PgRow]) -> Result<Vec<NumberedTodo>, StoreError> {
    let row_error = |error: Error| PostgresError::from_sqlx(action, error).into_error();
    let todos = rows.iter().map(|row| {
        let number = row.try_get(7).map_err(row_error)?;
        let todo = columns(row).map_err(row_error)?.into_todo();
        let todo = todo.map_err(|reason| damaged(&reason))?;
        Ok(NumberedTodo { number, todo })
    });
    todos.collect()
}

fn texts(ids: &[TodoId]) -> Vec<String> {
    ids.iter().map(TodoId::to_string).collect()
}

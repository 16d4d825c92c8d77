//! The numbers of todos, and the import of todos from another store.

use rusqlite::{OptionalExtension, Transaction, params};

use super::{PAGE_BYTES_MAX, damaged, deadline_micros, folded, todo};
use crate::storage::app_database::WorkError;
use crate::todos::import::{
    ImportBatch, ImportItem, ImportOutcome, ImportRecord, ImportResult, NumberedPage, NumberedTodo,
};
use crate::todos::{Todo, TodoId};

pub(super) fn id_of(
    transaction: &Transaction<'_>,
    number: i64,
) -> Result<Option<TodoId>, WorkError> {
    let id: Option<String> = transaction
        .prepare_cached(include_str!("../sql/sqlite/id_of.sql"))?
        .query_row([number], |row| row.get(0))
        .optional()?;
    let parse = |id: String| {
        id.parse()
            .map_err(|error| damaged(&format!("the id `{id}` {error}")))
    };
    id.map(parse).transpose()
}

pub(super) fn number_of(
    transaction: &Transaction<'_>,
    id: TodoId,
) -> Result<Option<i64>, WorkError> {
    Ok(transaction
        .prepare_cached(include_str!("../sql/sqlite/number_of.sql"))?
        .query_row([id.to_string()], |row| row.get(0))
        .optional()?)
}

pub(super) fn count(transaction: &Transaction<'_>) -> Result<u64, WorkError> {
    let (count, expected): (i64, Option<i64>) = transaction
        .prepare_cached(include_str!("../sql/sqlite/count.sql"))?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    if expected != Some(count) {
        return Err(damaged("the number of todos is not that of the ledger"));
    }
    Ok(count.unsigned_abs())
}

pub(super) fn by_number(
    transaction: &Transaction<'_>,
    from: i64,
    limit: usize,
) -> Result<NumberedPage, WorkError> {
    let sql = include_str!("../sql/sqlite/by_number.sql");
    let mut statement = transaction.prepare_cached(sql)?;
    let mut rows = statement.query(params![from, limit as i64 + 1])?;
    let mut page = NumberedPage::default();
    let mut bytes = 0;
    while let Some(row) = rows.next()? {
        if page.items.len() == limit || bytes > PAGE_BYTES_MAX {
            page.more = true;
            break;
        }
        let item = numbered(row)?;
        bytes += item.todo.description.as_str().len();
        page.items.push(item);
    }
    Ok(page)
}

pub(super) fn find(
    transaction: &Transaction<'_>,
    ids: &[TodoId],
) -> Result<Vec<NumberedTodo>, WorkError> {
    let ids: Vec<String> = ids.iter().map(|id| format!("\"{id}\"")).collect();
    let list = format!("[{}]", ids.join(","));
    let mut statement = transaction.prepare_cached(include_str!("../sql/sqlite/find.sql"))?;
    let mut rows = statement.query([list])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(numbered(row)?);
    }
    Ok(found)
}

/// Imports the todos of a batch.
pub(super) fn import(
    transaction: &Transaction<'_>,
    batch: &ImportBatch,
) -> Result<Vec<ImportResult>, WorkError> {
    let each = batch.items.iter();
    each.map(|item| import_todo(transaction, batch, item))
        .collect()
}

fn import_todo(
    transaction: &Transaction<'_>,
    batch: &ImportBatch,
    item: &ImportItem,
) -> Result<ImportResult, WorkError> {
    let id = item.todo.id;
    let current = find(transaction, &[id])?.pop();
    let record = transaction
        .prepare_cached(include_str!("../sql/sqlite/import_record.sql"))?
        .query_row([id.to_string()], |row| {
            Ok(ImportRecord {
                version: row.get(0)?,
                origin: row.get(1)?,
            })
        })
        .optional()?;
    let outcome = batch.decide(item, current.as_ref(), record.as_ref());
    let number = match (outcome, &current) {
        (ImportOutcome::Added, _) => {
            let is_free = |number: &i64| id_of(transaction, *number).map(|holder| holder.is_none());
            let number = match item.number {
                Some(number) if is_free(&number)? => Some(number),
                _ => None,
            };
            write(transaction, &item.todo, Some(number))?;
            save_record(transaction, batch, &item.todo)?;
            number_of(transaction, id)?
        }
        (ImportOutcome::Updated, Some(current)) => {
            let todo = batch.updated(&item.todo, &current.todo);
            write(transaction, &todo, None)?;
            save_record(transaction, batch, &todo)?;
            Some(current.number)
        }
        (ImportOutcome::Unchanged, Some(current)) => {
            if record.is_none() {
                save_record(transaction, batch, &current.todo)?;
            }
            Some(current.number)
        }
        (_, current) => current.as_ref().map(|current| current.number),
    };
    Ok(ImportResult { outcome, number })
}

/// Inserts or updates a todo. `new` is `None` for an existing todo, and the number of a new todo otherwise. A new todo without a number
/// gets the next number.
fn write(
    transaction: &Transaction<'_>,
    todo: &Todo,
    new: Option<Option<i64>>,
) -> Result<(), WorkError> {
    let (title, description) = (todo.title.as_str(), todo.description.as_str());
    let id = todo.id.to_string();
    let (title_folded, description_folded) = (folded(title), folded(description));
    let deadline = deadline_micros(todo.deadline);
    let status = todo.status.as_str();
    let (created_at, updated_at) = (todo.created_at.micros(), todo.updated_at.micros());
    let values = params![
        id,
        title,
        title_folded,
        description,
        description_folded,
        deadline,
        status,
        created_at,
        updated_at
    ];
    match new {
        None => transaction
            .prepare_cached(include_str!("../sql/sqlite/update_imported.sql"))?
            .execute(values)?,
        Some(number) => {
            let mut values = values.to_vec();
            values.push(&number);
            transaction
                .prepare_cached(include_str!("../sql/sqlite/import.sql"))?
                .execute(values.as_slice())?
        }
    };
    Ok(())
}

fn save_record(
    transaction: &Transaction<'_>,
    batch: &ImportBatch,
    todo: &Todo,
) -> Result<(), WorkError> {
    transaction
        .prepare_cached(include_str!("../sql/sqlite/save_import_record.sql"))?
        .execute(params![
            todo.id.to_string(),
            todo.updated_at.micros(),
            batch.origin
        ])?;
    Ok(())
}

fn numbered(row: &rusqlite::Row<'_>) -> Result<NumberedTodo, WorkError> {
    Ok(NumberedTodo {
        number: row.get(7)?,
        todo: todo(row)?,
    })
}

//! Numbers, and todos that come from another store.

use rusqlite::{OptionalExtension, Transaction, params};

use super::{PAGE_BYTES_MAX, damaged, deadline_number, folded, todo};
use crate::storage::app_database::WorkError;
use crate::todos::import::{Arrival, Arrivals, Arrived, Became, Moved, Numbered, NumberedPage};
use crate::todos::{Todo, TodoId};

pub(super) fn id_of(
    transaction: &Transaction<'_>,
    number: i64,
) -> Result<Option<TodoId>, WorkError> {
    let id: Option<String> = transaction
        .prepare_cached(include_str!("../sql/sqlite/id_of.sql"))?
        .query_row([number], |row| row.get(0))
        .optional()?;
    let read = |id: String| {
        id.parse()
            .map_err(|error| damaged(&format!("the id `{id}` {error}")))
    };
    id.map(read).transpose()
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
) -> Result<Vec<Numbered>, WorkError> {
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

/// Takes them in, one after the other.
pub(super) fn take_over(
    transaction: &Transaction<'_>,
    arrivals: &Arrivals,
) -> Result<Vec<Arrived>, WorkError> {
    let each = arrivals.items.iter();
    each.map(|arrival| take_in(transaction, arrivals, arrival))
        .collect()
}

fn take_in(
    transaction: &Transaction<'_>,
    arrivals: &Arrivals,
    arrival: &Arrival,
) -> Result<Arrived, WorkError> {
    let id = arrival.todo.id;
    let here = find(transaction, &[id])?.pop();
    let moved = transaction
        .prepare_cached(include_str!("../sql/sqlite/moved.sql"))?
        .query_row([id.to_string()], |row| {
            Ok(Moved {
                version: row.get(0)?,
                origin: row.get(1)?,
            })
        })
        .optional()?;
    let became = arrivals.decide(arrival, here.as_ref(), moved.as_ref());
    let number = match (became, &here) {
        (Became::Added, _) => {
            let is_free = |number: &i64| id_of(transaction, *number).map(|holder| holder.is_none());
            let number = match arrival.number {
                Some(number) if is_free(&number)? => Some(number),
                _ => None,
            };
            write(transaction, &arrival.todo, Some(number))?;
            remember(transaction, arrivals, &arrival.todo)?;
            number_of(transaction, id)?
        }
        (Became::CaughtUp, Some(here)) => {
            let todo = arrivals.caught_up(&arrival.todo, &here.todo);
            write(transaction, &todo, None)?;
            remember(transaction, arrivals, &todo)?;
            Some(here.number)
        }
        (Became::Unchanged, Some(here)) => {
            if moved.is_none() {
                remember(transaction, arrivals, &here.todo)?;
            }
            Some(here.number)
        }
        (_, here) => here.as_ref().map(|here| here.number),
    };
    Ok(Arrived { became, number })
}

/// Adds a todo with a number (or the next one), or sets all fields of one that is there.
fn write(
    transaction: &Transaction<'_>,
    todo: &Todo,
    new: Option<Option<i64>>,
) -> Result<(), WorkError> {
    let (title, description) = (todo.title.as_str(), todo.description.as_str());
    let id = todo.id.to_string();
    let (title_folded, description_folded) = (folded(title), folded(description));
    let deadline = deadline_number(todo.deadline);
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
            .prepare_cached(include_str!("../sql/sqlite/catch_up.sql"))?
            .execute(values)?,
        Some(number) => {
            let mut values = values.to_vec();
            values.push(&number);
            transaction
                .prepare_cached(include_str!("../sql/sqlite/arrive.sql"))?
                .execute(values.as_slice())?
        }
    };
    Ok(())
}

fn remember(
    transaction: &Transaction<'_>,
    arrivals: &Arrivals,
    todo: &Todo,
) -> Result<(), WorkError> {
    transaction
        .prepare_cached(include_str!("../sql/sqlite/remember.sql"))?
        .execute(params![
            todo.id.to_string(),
            todo.updated_at.micros(),
            arrivals.origin
        ])?;
    Ok(())
}

fn numbered(row: &rusqlite::Row<'_>) -> Result<Numbered, WorkError> {
    Ok(Numbered {
        number: row.get(7)?,
        todo: todo(row)?,
    })
}

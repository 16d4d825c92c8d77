//! How todos look in a table, in either database.

use super::{Cursor, Description, Filter, Status, Title, Todo, TodoId, TodoPage};
use crate::timestamp::Timestamp;

/// What stands in the column `deadline` of a todo that has none: later than every moment.
const NO_DEADLINE: i64 = i64::MAX;

/// A deadline as it is stored.
pub(super) fn deadline_number(deadline: Option<Timestamp>) -> i64 {
    deadline.map_or(NO_DEADLINE, Timestamp::micros)
}

/// The columns of a row that todos are read from.
pub(super) struct Row {
    pub(super) id: String,
    pub(super) title: String,
    pub(super) description: String,
    pub(super) deadline: i64,
    pub(super) status: String,
    pub(super) created_at: i64,
    pub(super) updated_at: i64,
}

impl Row {
    /// The todo, or what is wrong with the row.
    pub(super) fn into_todo(self) -> Result<Todo, String> {
        let id = self
            .id
            .parse()
            .map_err(|error| format!("the id `{}` {error}", self.id))?;
        let wrong = |column: &str, error: &dyn std::fmt::Display| {
            format!("the {column} of todo {id} {error}")
        };
        let deadline = match self.deadline {
            NO_DEADLINE => None,
            micros => Some(moment(micros).map_err(|error| wrong("deadline", &error))?),
        };
        Ok(Todo {
            id,
            title: Title::new(&self.title).map_err(|error| wrong("title", &error))?,
            description: Description::new(&self.description)
                .map_err(|error| wrong("description", &error))?,
            deadline,
            status: self
                .status
                .parse::<Status>()
                .map_err(|error| wrong("status", &error))?,
            created_at: moment(self.created_at).map_err(|error| wrong("creation", &error))?,
            updated_at: moment(self.updated_at).map_err(|error| wrong("last change", &error))?,
        })
    }
}

/// A moment from its number.
pub(super) fn moment(micros: i64) -> Result<Timestamp, String> {
    Timestamp::from_micros(micros).ok_or_else(|| format!("is no time: {micros}"))
}

/// Where a page begins, and the last deadline that belongs to the list: two comparisons that an index answers.
pub(super) struct Span {
    pub(super) after_deadline: i64,
    pub(super) after_created_at: i64,
    pub(super) after_title: String,
    pub(super) after_id: TodoId,
    pub(super) deadline_max: i64,
}

impl Span {
    pub(super) fn new(filter: &Filter, after: Option<&Cursor>) -> Self {
        let deadline_max = match (filter.deadline_to, filter.deadline_from) {
            (Some(to), _) => to.micros() - 1,
            // A todo without a deadline is in no window of deadlines.
            (None, Some(_)) => NO_DEADLINE - 1,
            (None, None) => NO_DEADLINE,
        };
        let from = filter.deadline_from.map_or(i64::MIN, Timestamp::micros);
        match after {
            // A window that begins later than the place has nothing before its beginning.
            Some(cursor) if deadline_number(cursor.deadline) >= from => Self {
                after_deadline: deadline_number(cursor.deadline),
                after_created_at: cursor.created_at.micros(),
                after_title: cursor.title.clone(),
                after_id: cursor.id,
                deadline_max,
            },
            _ => Self {
                after_deadline: from,
                after_created_at: i64::MIN,
                after_title: String::new(),
                after_id: TodoId::NIL,
                deadline_max,
            },
        }
    }
}

/// Descriptions can be long: a page ends early rather than hold more than about this many bytes of them, so that a list is as
/// bounded in memory as everything else.
pub(super) const PAGE_BYTES_MAX: usize = 1 << 20;

/// Todos as they were read.
#[derive(Default)]
pub(super) struct Found {
    pub(super) todos: Vec<Todo>,
    /// Whether reading stopped before the last of them, at [`PAGE_BYTES_MAX`].
    pub(super) is_cut: bool,
}

/// A page from what was found when one more than `limit` was asked for.
pub(super) fn page(found: Found, limit: usize) -> TodoPage {
    let Found {
        todos: mut items,
        is_cut,
    } = found;
    let more = is_cut || items.len() > limit;
    items.truncate(limit);
    TodoPage { items, more }
}

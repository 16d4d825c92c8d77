//! A todo as a row of a table, in SQLite and in PostgreSQL.

use super::{Cursor, Description, Filter, Status, Title, Todo, TodoId, TodoPage};
use crate::timestamp::Timestamp;

/// The value of the column `deadline` for a todo without a deadline. Later than every timestamp.
const NO_DEADLINE: i64 = i64::MAX;

/// The value of the column `deadline`.
pub(super) fn deadline_micros(deadline: Option<Timestamp>) -> i64 {
    deadline.map_or(NO_DEADLINE, Timestamp::micros)
}

/// The columns of a todo.
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
    /// Parses the row. The error describes the damage.
    pub(super) fn into_todo(self) -> Result<Todo, String> {
        let id = self
            .id
            .parse()
            .map_err(|error| format!("the id `{}` {error}", self.id))?;
        let invalid = |column: &str, error: &dyn std::fmt::Display| {
            format!("the {column} of todo {id} {error}")
        };
        let deadline = match self.deadline {
            NO_DEADLINE => None,
            micros => Some(timestamp(micros).map_err(|error| invalid("deadline", &error))?),
        };
        Ok(Todo {
            id,
            title: Title::new(&self.title).map_err(|error| invalid("title", &error))?,
            description: Description::new(&self.description)
                .map_err(|error| invalid("description", &error))?,
            deadline,
            status: self
                .status
                .parse::<Status>()
                .map_err(|error| invalid("status", &error))?,
            created_at: timestamp(self.created_at).map_err(|error| invalid("creation", &error))?,
            updated_at: timestamp(self.updated_at)
                .map_err(|error| invalid("last change", &error))?,
        })
    }
}

/// Parses a timestamp.
pub(super) fn timestamp(micros: i64) -> Result<Timestamp, String> {
    Timestamp::from_micros(micros).ok_or_else(|| format!("is not a time: {micros}"))
}

/// The range of a page: the position before the first todo, and the last deadline. An index answers both comparisons.
pub(super) struct ListRange {
    pub(super) after_deadline: i64,
    pub(super) after_created_at: i64,
    pub(super) after_title: String,
    pub(super) after_id: TodoId,
    pub(super) deadline_max: i64,
}

impl ListRange {
    pub(super) fn new(filter: &Filter, after: Option<&Cursor>) -> Self {
        let deadline_max = match (filter.deadline_to, filter.deadline_from) {
            (Some(to), _) => to.micros() - 1,
            // A window of deadlines excludes todos without a deadline.
            (None, Some(_)) => NO_DEADLINE - 1,
            (None, None) => NO_DEADLINE,
        };
        let from = filter.deadline_from.map_or(i64::MIN, Timestamp::micros);
        match after {
            // The page begins at the later of the cursor and the window.
            Some(cursor) if deadline_micros(cursor.deadline) >= from => Self {
                after_deadline: deadline_micros(cursor.deadline),
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

/// The approximate limit of the descriptions of a page, in bytes. A page with long descriptions ends early. So the memory of a list is
/// limited.
pub(super) const PAGE_BYTES_MAX: usize = 1 << 20;

/// The todos that a statement found.
#[derive(Default)]
pub(super) struct FoundTodos {
    pub(super) todos: Vec<Todo>,
    /// Whether there are more todos, because reading stopped at [`PAGE_BYTES_MAX`].
    pub(super) is_truncated: bool,
}

/// Makes a page of at most `limit` todos. The statement asked for one todo more, which shows whether there is another page.
pub(super) fn page(found: FoundTodos, limit: usize) -> TodoPage {
    let FoundTodos {
        todos: mut items,
        is_truncated,
    } = found;
    let more = is_truncated || items.len() > limit;
    items.truncate(limit);
    TodoPage { items, more }
}

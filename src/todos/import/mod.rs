//! The import of todos from another store.
//!
//! An import can be repeated until no client writes to the other store any more. After a change only in the other store, the import updates
//! the todo in this store. After a change or a removal in this store, the import leaves the todo unchanged, and reports the difference.

mod older;
mod source;
mod texts;

pub use older::{Note, OlderRow, OlderTodo};
#[cfg(feature = "cloud")]
pub(super) use source::PAGE_ROWS;
pub(super) use source::StoreSource;
pub use source::{SourcePage, SourceRows, TodoSource};

use super::Todo;
use crate::timestamp::Timestamp;

/// A todo with a number. The older todo app used the number as the id. A number is unique in a store, and a store never assigns a number
/// twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NumberedTodo {
    /// The number.
    pub number: i64,
    /// The todo.
    pub todo: Todo,
}

/// A page of todos, in the order of their numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NumberedPage {
    /// The todos.
    pub items: Vec<NumberedTodo>,
    /// Whether there is another page.
    pub more: bool,
}

impl NumberedPage {
    /// The first number of the next page; `None` on the last page.
    pub fn next(&self) -> Option<i64> {
        let last = self.items.last().filter(|_| self.more)?;
        last.number.checked_add(1)
    }
}

/// A todo of another store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportItem {
    /// The number in the other store. A todo without a number gets a new number.
    pub number: Option<i64>,
    /// The todo.
    pub todo: Todo,
}

impl From<NumberedTodo> for ImportItem {
    fn from(NumberedTodo { number, todo }: NumberedTodo) -> Self {
        Self {
            number: Some(number),
            todo,
        }
    }
}

/// A batch of todos. An import imports the whole batch or nothing.
#[derive(Clone, Debug)]
pub struct ImportBatch {
    /// The name of the other store.
    pub origin: String,
    /// Whether the other store has times of creation and change. Otherwise the time of the import is used for both times.
    pub has_timestamps: bool,
    /// The todos.
    pub items: Vec<ImportItem>,
}

/// The outcome of the import of a todo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImportOutcome {
    /// The todo was added.
    Added,
    /// The same todo existed already.
    Unchanged,
    /// The todo was changed only in the other store since the last import, and was updated.
    Updated,
    /// The todo was changed in this store since the last import, or another todo has the same id. The todo in this store stays unchanged.
    ChangedHere,
    /// The todo was removed in this store since the last import. The todo stays removed.
    RemovedHere,
}

/// The result of the import of a todo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImportResult {
    /// The outcome.
    pub outcome: ImportOutcome,
    /// The number in this store. Differs from the number in the other store when another todo has the same number.
    pub number: Option<i64>,
}

/// The record of a store about an imported todo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ImportRecord {
    pub(super) version: i64,
    pub(super) origin: String,
}

impl ImportBatch {
    /// Decides the outcome for a todo. `current` is the todo with the same id in this store, and `record` is from the last import of the
    /// todo.
    pub(super) fn decide(
        &self,
        item: &ImportItem,
        current: Option<&NumberedTodo>,
        record: Option<&ImportRecord>,
    ) -> ImportOutcome {
        let (current, record) = match (current, record) {
            (None, None) => return ImportOutcome::Added,
            (None, Some(_)) => return ImportOutcome::RemovedHere,
            (Some(current), record) => (&current.todo, record),
        };
        if self.is_same(&item.todo, current) {
            return ImportOutcome::Unchanged;
        }
        let is_untouched = record.is_some_and(|record| {
            record.origin == self.origin && record.version == current.updated_at.micros()
        });
        // A newer version of a todo always has a later time.
        let is_later = !self.has_timestamps || item.todo.updated_at > current.updated_at;
        if is_untouched && is_later {
            ImportOutcome::Updated
        } else {
            ImportOutcome::ChangedHere
        }
    }

    /// Whether two todos are equal in all fields known to both stores.
    pub fn is_same(&self, imported: &Todo, current: &Todo) -> bool {
        let values = |todo: &Todo| (todo.id, todo.deadline, todo.status);
        let times = |todo: &Todo| {
            self.has_timestamps
                .then_some((todo.created_at, todo.updated_at))
        };
        values(imported) == values(current)
            && imported.title == current.title
            && imported.description == current.description
            && times(imported) == times(current)
    }

    /// The todo of this store after an update from the other store.
    pub(super) fn updated(&self, imported: &Todo, current: &Todo) -> Todo {
        if self.has_timestamps {
            return imported.clone();
        }
        let later = Timestamp::from_micros(current.updated_at.micros() + 1);
        Todo {
            created_at: current.created_at,
            updated_at: imported.updated_at.max(later.unwrap_or(Timestamp::MAX)),
            ..imported.clone()
        }
    }

    #[cfg(feature = "cloud")]
    pub(super) fn ids(&self) -> Vec<super::TodoId> {
        self.items.iter().map(|item| item.todo.id).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::todos::{Description, Status, Title, TodoId};

    fn todo(title: &str, updated_at: i64) -> Todo {
        let moment = |micros| Timestamp::from_micros(micros).unwrap();
        Todo {
            id: TodoId::NIL,
            title: Title::new(title).unwrap(),
            description: Description::default(),
            deadline: None,
            status: Status::Pending,
            created_at: moment(0),
            updated_at: moment(updated_at),
        }
    }

    #[test]
    fn only_todos_that_were_not_changed_in_this_store_are_updated() {
        let from = |has_timestamps| ImportBatch {
            origin: "old".to_owned(),
            has_timestamps,
            items: Vec::new(),
        };
        let record = |version, origin: &str| ImportRecord {
            version,
            origin: origin.to_owned(),
        };
        let of = |title: &str, updated_at| ImportItem {
            number: Some(7),
            todo: todo(title, updated_at),
        };
        let current = NumberedTodo {
            number: 7,
            todo: todo("a", 5),
        };
        let is = |has_timestamps, item: &ImportItem, record: Option<&ImportRecord>| {
            from(has_timestamps).decide(item, Some(&current), record)
        };
        let unchanged = record(5, "old");
        assert_eq!(is(false, &of("a", 9), None), ImportOutcome::Unchanged);
        assert_eq!(
            is(false, &of("b", 9), Some(&unchanged)),
            ImportOutcome::Updated
        );
        assert_eq!(
            is(false, &of("b", 1), Some(&unchanged)),
            ImportOutcome::Updated
        );
        assert_eq!(is(false, &of("b", 9), None), ImportOutcome::ChangedHere);
        for other in [record(4, "old"), record(5, "other")] {
            assert_eq!(
                is(false, &of("b", 9), Some(&other)),
                ImportOutcome::ChangedHere
            );
        }
        assert_eq!(is(true, &of("a", 5), None), ImportOutcome::Unchanged);
        assert_eq!(
            is(true, &of("a", 6), Some(&unchanged)),
            ImportOutcome::Updated
        );
        assert_eq!(
            is(true, &of("b", 4), Some(&unchanged)),
            ImportOutcome::ChangedHere
        );
        let nothing = from(false).decide(&of("b", 9), None, None);
        assert_eq!(nothing, ImportOutcome::Added);
        let removed = from(false).decide(&of("b", 9), None, Some(&unchanged));
        assert_eq!(removed, ImportOutcome::RemovedHere);
    }
}

//! Todos that come from another store: what becomes of each.
//!
//! What was changed or removed here since it came is left as it is, and said. What was changed there only is changed here, too, so
//! that a move can be run again until nobody writes to the other side any more.

mod older;
mod source;
mod texts;

pub use older::{Note, OlderRow, OlderTodo};
pub(super) use source::HeldStore;
#[cfg(feature = "cloud")]
pub(super) use source::PAGE_ROWS;
pub use source::{SourcePage, SourceRows, TodoSource};

use super::Todo;
use crate::timestamp::Timestamp;

/// A todo with its number: the id of those who count. No two todos of a store have the same, and what a store gives it never
/// gives twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Numbered {
    /// The number.
    pub number: i64,
    /// The todo.
    pub todo: Todo,
}

/// Some todos in the order of their numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NumberedPage {
    /// The todos.
    pub items: Vec<Numbered>,
    /// Whether there are more after the last.
    pub more: bool,
}

impl NumberedPage {
    /// The number that the next page begins with; `None` after the last.
    pub fn next(&self) -> Option<i64> {
        let last = self.items.last().filter(|_| self.more)?;
        last.number.checked_add(1)
    }
}

/// A todo that comes from another store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// The number it had there; the store gives one to those that had none.
    pub number: Option<i64>,
    /// The todo.
    pub todo: Todo,
}

impl From<Numbered> for Arrival {
    fn from(Numbered { number, todo }: Numbered) -> Self {
        Self {
            number: Some(number),
            todo,
        }
    }
}

/// Todos that come together: all of them are taken in, or none.
#[derive(Clone, Debug)]
pub struct Arrivals {
    /// The name of the store that they come from.
    pub origin: String,
    /// Whether the other store knows when a todo was made and changed. Otherwise the moment of the move stands for both.
    pub have_times: bool,
    /// The todos.
    pub items: Vec<Arrival>,
}

/// What became of an arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Became {
    /// It was not here.
    Added,
    /// It was here, and the same.
    Unchanged,
    /// It was changed there since it came, and not here: now it is the same again.
    CaughtUp,
    /// It was changed here since it came, or another todo has its id: this store's is left as it is.
    ChangedHere,
    /// It came once, and was removed here since: it stays removed.
    RemovedHere,
}

/// An arrival that was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrived {
    /// What became of it.
    pub became: Became,
    /// The number that it has here. It is another one than there if another todo has that.
    pub number: Option<i64>,
}

/// What a store remembers of a todo that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Moved {
    pub(super) version: i64,
    pub(super) origin: String,
}

impl Arrivals {
    /// What is to become of an arrival, given the todo of its id and what is remembered of it.
    pub(super) fn decide(
        &self,
        arrival: &Arrival,
        here: Option<&Numbered>,
        moved: Option<&Moved>,
    ) -> Became {
        let (here, moved) = match (here, moved) {
            (None, None) => return Became::Added,
            (None, Some(_)) => return Became::RemovedHere,
            (Some(here), moved) => (&here.todo, moved),
        };
        if self.is_same(&arrival.todo, here) {
            return Became::Unchanged;
        }
        let is_untouched = moved.is_some_and(|moved| {
            moved.origin == self.origin && moved.version == here.updated_at.micros()
        });
        // No version of a todo is older than the one before it.
        let is_later = !self.have_times || arrival.todo.updated_at > here.updated_at;
        if is_untouched && is_later {
            Became::CaughtUp
        } else {
            Became::ChangedHere
        }
    }

    /// Whether two todos are the same, as far as both stores know of it.
    pub fn is_same(&self, there: &Todo, here: &Todo) -> bool {
        let words = |todo: &Todo| (todo.id, todo.deadline, todo.status);
        let times = |todo: &Todo| {
            self.have_times
                .then_some((todo.created_at, todo.updated_at))
        };
        words(there) == words(here)
            && there.title == here.title
            && there.description == here.description
            && times(there) == times(here)
    }

    /// A todo that is here, made the same as the one there.
    pub(super) fn caught_up(&self, there: &Todo, here: &Todo) -> Todo {
        if self.have_times {
            return there.clone();
        }
        let later = Timestamp::from_micros(here.updated_at.micros() + 1);
        Todo {
            created_at: here.created_at,
            updated_at: there.updated_at.max(later.unwrap_or(Timestamp::MAX)),
            ..there.clone()
        }
    }

    #[cfg(feature = "cloud")]
    pub(super) fn ids(&self) -> Vec<super::TodoId> {
        self.items.iter().map(|arrival| arrival.todo.id).collect()
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
    fn only_what_nobody_touched_here_follows_the_other_side() {
        let from = |have_times| Arrivals {
            origin: "old".to_owned(),
            have_times,
            items: Vec::new(),
        };
        let moved = |version, origin: &str| Moved {
            version,
            origin: origin.to_owned(),
        };
        let of = |title: &str, updated_at| Arrival {
            number: Some(7),
            todo: todo(title, updated_at),
        };
        let here = Numbered {
            number: 7,
            todo: todo("a", 5),
        };
        let is = |have_times, arrival: &Arrival, moved: Option<&Moved>| {
            from(have_times).decide(arrival, Some(&here), moved)
        };
        let came = moved(5, "old");
        assert_eq!(is(false, &of("a", 9), None), Became::Unchanged);
        assert_eq!(is(false, &of("b", 9), Some(&came)), Became::CaughtUp);
        assert_eq!(is(false, &of("b", 1), Some(&came)), Became::CaughtUp);
        assert_eq!(is(false, &of("b", 9), None), Became::ChangedHere);
        for other in [moved(4, "old"), moved(5, "other")] {
            assert_eq!(is(false, &of("b", 9), Some(&other)), Became::ChangedHere);
        }
        assert_eq!(is(true, &of("a", 5), None), Became::Unchanged);
        assert_eq!(is(true, &of("a", 6), Some(&came)), Became::CaughtUp);
        assert_eq!(is(true, &of("b", 4), Some(&came)), Became::ChangedHere);
        let nothing = from(false).decide(&of("b", 9), None, None);
        assert_eq!(nothing, Became::Added);
        let removed = from(false).decide(&of("b", 9), None, Some(&came));
        assert_eq!(removed, Became::RemovedHere);
    }
}

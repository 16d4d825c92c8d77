//! Todos by text. The index of trigrams finds the rare ones, which are then sorted; of common ones a page is soon full of what a
//! walk through the list comes across; and those that are common but far down the list are met by a walk through the
//! keys alone, beside what the index says.

use rusqlite::{ToSql, Transaction, params};

use super::{Gathering, cursor, todos};
use crate::storage::app_database::WorkError;
use crate::todos::row::{Found, Span};

/// Where one way becomes dearer than the next. The answer is the same whichever is taken.
struct Bounds {
    /// Up to so many todos are looked up and sorted: a microsecond each.
    sorted_max: usize,
    /// So many todos are walked past for each that is wanted: a microsecond each.
    walked_for_each: usize,
    /// Up to so many keys are kept in memory, eight bytes each.
    keys_max: usize,
}

const BOUNDS: Bounds = Bounds {
    sorted_max: 1_000,
    walked_for_each: 4,
    keys_max: 250_000,
};

/// What is looked for.
pub(super) struct Search<'a> {
    /// Where in the list.
    pub(super) span: &'a Span,
    /// Only among the todos of this status.
    pub(super) status: Option<&'static str>,
    /// The text, folded.
    pub(super) text: &'a str,
    /// How many todos are wanted.
    pub(super) wanted: usize,
}

impl Search<'_> {
    /// The first that have the text, in order.
    pub(super) fn run(&self, transaction: &Transaction<'_>) -> Result<Found, WorkError> {
        self.run_within(transaction, &BOUNDS)
    }

    fn run_within(
        &self,
        transaction: &Transaction<'_>,
        bounds: &Bounds,
    ) -> Result<Found, WorkError> {
        let all = trigrams(self.text, 1);
        if let Some(query) = &all {
            let keys = keys_of(transaction, WITH_TRIGRAMS, query, bounds.sorted_max)?;
            if let Some(keys) = keys {
                return self.sorted(transaction, &keys);
            }
        }
        let steps_max = self.wanted.saturating_mul(bounds.walked_for_each);
        if let Some(found) = self.walked(transaction, steps_max)? {
            return Ok(found);
        }
        // Trigrams that only touch have every character, and are a third of the work where each has many todos.
        let keys = match trigrams(self.text, 3) {
            Some(query) => keys_of(transaction, WITH_TRIGRAMS, &query, bounds.keys_max)?,
            None => keys_of(transaction, WITH_BEGINNING, self.text, bounds.keys_max)?,
        };
        match keys {
            Some(keys) if keys.len() <= bounds.sorted_max => self.sorted(transaction, &keys),
            Some(keys) => self.met(transaction, &keys),
            None => self
                .walked(transaction, usize::MAX)
                .map(Option::unwrap_or_default),
        }
    }

    /// Looks up all keys, and sorts what has the text.
    fn sorted(&self, transaction: &Transaction<'_>, keys: &[i64]) -> Result<Found, WorkError> {
        let list: Vec<String> = keys.iter().map(i64::to_string).collect();
        let list = format!("[{}]", list.join(","));
        let id = self.span.after_id.to_string();
        let wanted = self.wanted as i64;
        let mut values = cursor(self.span, &id);
        values.extend([&wanted as &dyn ToSql, &self.status, &self.text, &list]);
        let sql = include_str!("../sql/sqlite/list_of_candidates.sql");
        todos(transaction, sql, values.as_slice())
    }

    /// Walks through the list; `None` when so many steps fill no page.
    fn walked(
        &self,
        transaction: &Transaction<'_>,
        steps_max: usize,
    ) -> Result<Option<Found>, WorkError> {
        let id = self.span.after_id.to_string();
        let mut values = cursor(self.span, &id);
        values.push(&self.text);
        let sql = match &self.status {
            Some(status) => {
                values.push(status);
                include_str!("../sql/sqlite/walk_texts_of_status.sql")
            }
            None => include_str!("../sql/sqlite/walk_texts.sql"),
        };
        let mut statement = transaction.prepare_cached(sql)?;
        let mut rows = statement.query(values.as_slice())?;
        let mut page = Gathering::default();
        let mut steps = 0;
        while let Some(row) = rows.next()? {
            if steps == steps_max {
                return Ok(None);
            }
            steps += 1;
            let has_text: bool = row.get(7)?;
            if has_text && (!page.take(row)? || page.len() == self.wanted) {
                break;
            }
        }
        Ok(Some(page.found))
    }

    /// Walks through the keys of the list, and looks up those that may have the text. `keys` are in order.
    fn met(&self, transaction: &Transaction<'_>, keys: &[i64]) -> Result<Found, WorkError> {
        let id = self.span.after_id.to_string();
        let mut values = cursor(self.span, &id);
        let sql = match &self.status {
            Some(status) => {
                values.push(status);
                include_str!("../sql/sqlite/walk_keys_of_status.sql")
            }
            None => include_str!("../sql/sqlite/walk_keys.sql"),
        };
        let mut walk = transaction.prepare_cached(sql)?;
        let mut look = transaction.prepare_cached(include_str!("../sql/sqlite/with_text.sql"))?;
        let mut walked = walk.query(values.as_slice())?;
        let mut page = Gathering::default();
        while let Some(row) = walked.next()? {
            let key: i64 = row.get(0)?;
            if keys.binary_search(&key).is_err() {
                continue;
            }
            let mut rows = look.query(params![key, self.text])?;
            if let Some(row) = rows.next()?
                && (!page.take(row)? || page.len() == self.wanted)
            {
                break;
            }
        }
        Ok(page.found)
    }
}

const WITH_TRIGRAMS: &str = include_str!("../sql/sqlite/with_trigrams.sql");
const WITH_BEGINNING: &str = include_str!("../sql/sqlite/with_beginning.sql");

/// The keys that an index finds, in order, each once; `None` when it finds more than `max`.
fn keys_of(
    transaction: &Transaction<'_>,
    sql: &str,
    what: &str,
    max: usize,
) -> Result<Option<Vec<i64>>, WorkError> {
    let mut statement = transaction.prepare_cached(sql)?;
    let found = statement.query_map(params![what, max as i64 + 1], |row| row.get(0))?;
    let mut keys = found.collect::<rusqlite::Result<Vec<i64>>>()?;
    if keys.len() > max {
        return Ok(None);
    }
    keys.sort_unstable();
    keys.dedup();
    Ok(Some(keys))
}

/// A full-text query for all that has every sequence of three characters that begins at each `step`th character of a text,
/// and its last one; `None` for fewer characters.
fn trigrams(text: &str, step: usize) -> Option<String> {
    let starts: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
    let last = starts.len().checked_sub(3)?;
    let mut all: Vec<&str> = (0..last)
        .step_by(step)
        .chain([last])
        .map(|at| &text[starts[at]..starts.get(at + 3).copied().unwrap_or(text.len())])
        .collect();
    all.sort_unstable();
    all.dedup();
    let quoted: Vec<String> = all
        .iter()
        .map(|trigram| format!("\"{}\"", trigram.replace('"', "\"\"")))
        .collect();
    Some(quoted.join(" AND "))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::storage::app_database::AppDatabase;
    use crate::storage::data_directory::DataDirectory;
    use crate::timestamp::Timestamp;
    use crate::todos::sqlite::SqliteTodos;
    use crate::todos::{Description, Filter, Status, Title, Todo, TodoId, TodoStore};

    #[test]
    fn trigrams_are_quoted_and_once() {
        assert_eq!(trigrams("ab", 1), None);
        assert_eq!(trigrams("é\"c", 1).as_deref(), Some("\"é\"\"c\""));
        assert_eq!(
            trigrams("abcabc", 1).as_deref(),
            Some("\"abc\" AND \"bca\" AND \"cab\"")
        );
        assert_eq!(
            trigrams("abcdefgh", 3).as_deref(),
            Some("\"abc\" AND \"def\" AND \"fgh\"")
        );
    }

    /// Every way, each taken by some searches.
    const WAYS: [Bounds; 5] = [
        BOUNDS,
        bounds(0, 0, 1_000),
        bounds(0, 2, 0),
        bounds(3, 1, 5),
        bounds(1_000, 0, 1_000),
    ];

    const fn bounds(sorted_max: usize, walked_for_each: usize, keys_max: usize) -> Bounds {
        Bounds {
            sorted_max,
            walked_for_each,
            keys_max,
        }
    }

    fn todo(title: &str, description: &str, deadline: Option<i64>, status: usize) -> Todo {
        let created_at = Timestamp::from_micros(0).unwrap();
        Todo {
            id: TodoId::make(created_at).unwrap(),
            title: Title::new(title).unwrap(),
            description: Description::new(description).unwrap(),
            deadline: deadline.map(|micros| Timestamp::from_micros(micros).unwrap()),
            status: [Status::Pending, Status::Completed][status],
            created_at,
            updated_at: created_at,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn every_way_finds_what_a_look_at_all_todos_finds(
            texts in prop::collection::vec(
                ("[abß\"*]{1,6}", "[abß\"* ]{0,6}", prop::option::of(0..4_i64), 0..2_usize),
                0..40,
            ),
            removed in prop::collection::vec(any::<prop::sample::Index>(), 0..5),
            text in "[abß\"*]{1,5}",
            status in prop::option::of(0..2_usize),
            wanted in 1..12_usize,
        ) {
            let directory = tempfile::tempdir().unwrap();
            let data = Arc::new(DataDirectory::open(directory.path()).unwrap());
            let app_database = AppDatabase::open(data).unwrap();
            let store = SqliteTodos::new(Arc::clone(&app_database));
            let runtime = tokio::runtime::Runtime::new().unwrap();
            let mut all: Vec<Todo> = texts
                .iter()
                .map(|(title, description, deadline, status)| todo(title, description, *deadline, *status))
                .collect();
            for todo in &all {
                runtime.block_on(store.create(todo)).unwrap();
            }
            for index in removed {
                if !all.is_empty() {
                    let todo = all.remove(index.index(all.len()));
                    runtime.block_on(store.remove(todo.id, &crate::todos::Precondition::Any)).unwrap();
                }
            }
            let status = status.map(|status| [Status::Pending, Status::Completed][status]);
            let mut expected: Vec<&Todo> = all
                .iter()
                .filter(|todo| status.is_none_or(|status| todo.status == status))
                .filter(|todo| todo.title.as_str().contains(&text) || todo.description.as_str().contains(&text))
                .collect();
            expected.sort_by_key(|todo| {
                let deadline = crate::todos::row::deadline_number(todo.deadline);
                (deadline, todo.title.as_str().to_owned(), todo.id.to_string())
            });
            expected.truncate(wanted);
            for bounds in WAYS {
                let text = text.clone();
                let search = move |transaction: &Transaction<'_>| {
                    let span = Span::new(&Filter::default(), None);
                    let status = status.map(Status::as_str);
                    Search { span: &span, status, text: &text, wanted }.run_within(transaction, &bounds)
                };
                let found = runtime.block_on(app_database.read("search", search)).unwrap();
                let found: Vec<&Todo> = found.todos.iter().collect();
                prop_assert_eq!(&found, &expected);
            }
            runtime.block_on(app_database.close());
        }
    }
}

//! Searches todos by text, in one of three ways:
//! * For a rare text, the trigram index finds all matches, which are then sorted.
//! * For a common text, a scan of the list soon fills a page.
//! * For a common text whose matches are late in the list, a scan of the keys alone looks up the keys that the index has found.

use rusqlite::{ToSql, Transaction, params};

use super::{PageBuilder, cursor, todos};
use crate::storage::app_database::WorkError;
use crate::todos::row::{FoundTodos, ListRange};

/// The limits at which the search changes to the next way. Every way returns the same result.
struct Limits {
    /// The number of todos that are looked up and sorted: a microsecond each.
    sorted_max: usize,
    /// The number of todos that are scanned for each requested todo: a microsecond each.
    scanned_per_result: usize,
    /// The number of keys in memory, eight bytes each.
    keys_max: usize,
}

const LIMITS: Limits = Limits {
    sorted_max: 1_000,
    scanned_per_result: 4,
    keys_max: 250_000,
};

/// A search.
pub(super) struct Search<'a> {
    /// The range of the list.
    pub(super) range: &'a ListRange,
    /// Only todos with this status.
    pub(super) status: Option<&'static str>,
    /// The case-folded text.
    pub(super) text: &'a str,
    /// The number of requested todos.
    pub(super) count: usize,
}

impl Search<'_> {
    /// The first todos with the text, in order.
    pub(super) fn run(&self, transaction: &Transaction<'_>) -> Result<FoundTodos, WorkError> {
        self.run_within(transaction, &LIMITS)
    }

    fn run_within(
        &self,
        transaction: &Transaction<'_>,
        limits: &Limits,
    ) -> Result<FoundTodos, WorkError> {
        let all = trigrams(self.text, 1);
        if let Some(query) = &all {
            let keys = keys_of(transaction, WITH_TRIGRAMS, query, limits.sorted_max)?;
            if let Some(keys) = keys {
                return self.sort_matches(transaction, &keys);
            }
        }
        let steps_max = self.count.saturating_mul(limits.scanned_per_result);
        if let Some(found) = self.scan_list(transaction, steps_max)? {
            return Ok(found);
        }
        // Trigrams without overlap cover every character. They cost a third of the work when each trigram has many todos.
        let keys = match trigrams(self.text, 3) {
            Some(query) => keys_of(transaction, WITH_TRIGRAMS, &query, limits.keys_max)?,
            None => keys_of(transaction, WITH_BEGINNING, self.text, limits.keys_max)?,
        };
        match keys {
            Some(keys) if keys.len() <= limits.sorted_max => self.sort_matches(transaction, &keys),
            Some(keys) => self.scan_keys(transaction, &keys),
            None => self
                .scan_list(transaction, usize::MAX)
                .map(Option::unwrap_or_default),
        }
    }

    /// Looks up all keys, and sorts the todos with the text.
    fn sort_matches(
        &self,
        transaction: &Transaction<'_>,
        keys: &[i64],
    ) -> Result<FoundTodos, WorkError> {
        let list: Vec<String> = keys.iter().map(i64::to_string).collect();
        let list = format!("[{}]", list.join(","));
        let id = self.range.after_id.to_string();
        let count = self.count as i64;
        let mut values = cursor(self.range, &id);
        values.extend([&count as &dyn ToSql, &self.status, &self.text, &list]);
        let sql = include_str!("../sql/sqlite/list_of_candidates.sql");
        todos(transaction, sql, values.as_slice())
    }

    /// Scans the list; `None` when the page is not full after `steps_max` todos.
    fn scan_list(
        &self,
        transaction: &Transaction<'_>,
        steps_max: usize,
    ) -> Result<Option<FoundTodos>, WorkError> {
        let id = self.range.after_id.to_string();
        let mut values = cursor(self.range, &id);
        values.push(&self.text);
        let sql = match &self.status {
            Some(status) => {
                values.push(status);
                include_str!("../sql/sqlite/scan_texts_of_status.sql")
            }
            None => include_str!("../sql/sqlite/scan_texts.sql"),
        };
        let mut statement = transaction.prepare_cached(sql)?;
        let mut rows = statement.query(values.as_slice())?;
        let mut page = PageBuilder::default();
        let mut steps = 0;
        while let Some(row) = rows.next()? {
            if steps == steps_max {
                return Ok(None);
            }
            steps += 1;
            let has_text: bool = row.get(7)?;
            if has_text && (!page.push(row)? || page.len() == self.count) {
                break;
            }
        }
        Ok(Some(page.found))
    }

    /// Scans the keys of the list, and looks up the todos whose keys are in `keys`. `keys` must be sorted.
    fn scan_keys(
        &self,
        transaction: &Transaction<'_>,
        keys: &[i64],
    ) -> Result<FoundTodos, WorkError> {
        let id = self.range.after_id.to_string();
        let mut values = cursor(self.range, &id);
        let sql = match &self.status {
            Some(status) => {
                values.push(status);
                include_str!("../sql/sqlite/scan_keys_of_status.sql")
            }
            None => include_str!("../sql/sqlite/scan_keys.sql"),
        };
        let mut scan = transaction.prepare_cached(sql)?;
        let mut lookup = transaction.prepare_cached(include_str!("../sql/sqlite/with_text.sql"))?;
        let mut scanned = scan.query(values.as_slice())?;
        let mut page = PageBuilder::default();
        while let Some(row) = scanned.next()? {
            let key: i64 = row.get(0)?;
            if keys.binary_search(&key).is_err() {
                continue;
            }
            let mut rows = lookup.query(params![key, self.text])?;
            if let Some(row) = rows.next()?
                && (!page.push(row)? || page.len() == self.count)
            {
                break;
            }
        }
        Ok(page.found)
    }
}

const WITH_TRIGRAMS: &str = include_str!("../sql/sqlite/with_trigrams.sql");
const WITH_BEGINNING: &str = include_str!("../sql/sqlite/with_beginning.sql");

/// The sorted keys that an index finds; `None` when the index finds more than `max`.
fn keys_of(
    transaction: &Transaction<'_>,
    sql: &str,
    query: &str,
    max: usize,
) -> Result<Option<Vec<i64>>, WorkError> {
    let mut statement = transaction.prepare_cached(sql)?;
    let found = statement.query_map(params![query, max as i64 + 1], |row| row.get(0))?;
    let mut keys = found.collect::<rusqlite::Result<Vec<i64>>>()?;
    if keys.len() > max {
        return Ok(None);
    }
    keys.sort_unstable();
    keys.dedup();
    Ok(Some(keys))
}

/// The full-text query for the trigrams of a text: the trigram at each `step`th character, and the last trigram. `None` for a text of
/// fewer than three characters.
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
    fn trigrams_are_quoted_and_unique() {
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

    /// Limits that make searches use every way.
    const WAYS: [Limits; 5] = [
        LIMITS,
        limits(0, 0, 1_000),
        limits(0, 2, 0),
        limits(3, 1, 5),
        limits(1_000, 0, 1_000),
    ];

    const fn limits(sorted_max: usize, scanned_per_result: usize, keys_max: usize) -> Limits {
        Limits {
            sorted_max,
            scanned_per_result,
            keys_max,
        }
    }

    fn todo(title: &str, description: &str, deadline: Option<i64>, status: usize) -> Todo {
        let created_at = Timestamp::from_micros(0).unwrap();
        Todo {
            id: TodoId::generate(created_at).unwrap(),
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
        fn every_way_finds_the_same_todos_as_a_full_scan(
            texts in prop::collection::vec(
                ("[abß\"*]{1,6}", "[abß\"* ]{0,6}", prop::option::of(0..4_i64), 0..2_usize),
                0..40,
            ),
            removed in prop::collection::vec(any::<prop::sample::Index>(), 0..5),
            text in "[abß\"*]{1,5}",
            status in prop::option::of(0..2_usize),
            count in 1..12_usize,
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
                let deadline = crate::todos::row::deadline_micros(todo.deadline);
                (deadline, todo.title.as_str().to_owned(), todo.id.to_string())
            });
            expected.truncate(count);
            for limits in WAYS {
                let text = text.clone();
                let search = move |transaction: &Transaction<'_>| {
                    let range = ListRange::new(&Filter::default(), None);
                    let status = status.map(Status::as_str);
                    Search { range: &range, status, text: &text, count }.run_within(transaction, &limits)
                };
                let found = runtime.block_on(app_database.read("search", search)).unwrap();
                let found: Vec<&Todo> = found.todos.iter().collect();
                prop_assert_eq!(&found, &expected);
            }
            runtime.block_on(app_database.close());
        }
    }
}

//! The promises of every backend of todos.

mod concurrency;
mod import;
mod list;
mod search;

use std::sync::Arc;

use fieldstation::error::StoreErrorKind;
use fieldstation::timestamp::Timestamp;
use fieldstation::todos::{
    Change, Cursor, Description, Filter, Outcome, Precondition, Status, Title, Todo, TodoId,
    TodoStore, folded,
};

use self::concurrency::{
    concurrent_changes_of_different_fields_all_succeed,
    of_concurrent_changes_of_the_same_version_one_succeeds,
};
use self::import::{
    an_import_is_complete_and_repeating_it_changes_nothing,
    an_import_keeps_todos_that_were_changed_in_this_store,
    an_imported_number_is_never_assigned_again, every_todo_has_a_number_and_is_found_by_it,
    todos_are_listed_in_order_of_their_numbers,
};
use self::list::{
    a_list_can_be_filtered_by_status, a_page_begins_after_the_last_todo_of_the_page_before,
    a_page_with_long_descriptions_ends_early, a_todo_has_to_match_all_filters,
    a_window_of_deadlines_excludes_its_end, the_list_of_an_empty_store_is_empty,
    todos_are_listed_in_order, todos_are_paged_in_order,
};
use self::search::{
    a_search_finds_a_changed_text_by_its_new_words, a_search_for_a_common_text_returns_every_page,
    a_search_ignores_case, a_search_takes_special_characters_literally,
};

/// Makes a test of each promise and each backend, such as `postgres::a_new_todo_can_be_read`.
macro_rules! suite {
    ($($behaviour:ident),* $(,)?) => {
        mod sqlite {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $behaviour() {
                    let (store, _directory) = super::embedded().await;
                    super::$behaviour(store.as_ref()).await;
                    store.close().await.unwrap();
                }
            )*
        }

        #[cfg(feature = "cloud")]
        mod postgres {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $behaviour() {
                    let database = crate::support::Database::new();
                    let store = super::postgres_at(&database.url()).await;
                    super::$behaviour(store.as_ref()).await;
                    store.close().await.unwrap();
                }
            )*
        }
    };
}

suite![
    the_list_of_an_empty_store_is_empty,
    a_new_todo_can_be_read,
    adding_the_same_todo_again_changes_nothing,
    any_text_is_stored_unchanged,
    the_first_and_the_last_timestamp_can_be_stored,
    a_change_keeps_the_other_fields,
    every_change_sets_a_later_time_of_change,
    a_change_of_an_older_version_is_a_conflict,
    a_precondition_with_several_versions_needs_one_match,
    an_unknown_todo_is_missing,
    a_removed_todo_cannot_be_read_or_listed,
    todos_are_listed_in_order,
    todos_are_paged_in_order,
    a_page_begins_after_the_last_todo_of_the_page_before,
    a_list_can_be_filtered_by_status,
    a_window_of_deadlines_excludes_its_end,
    a_search_ignores_case,
    a_search_takes_special_characters_literally,
    a_search_for_a_common_text_returns_every_page,
    a_search_finds_a_changed_text_by_its_new_words,
    a_todo_has_to_match_all_filters,
    a_page_with_long_descriptions_ends_early,
    of_concurrent_changes_of_the_same_version_one_succeeds,
    concurrent_changes_of_different_fields_all_succeed,
    a_closed_store_refuses_changes,
    every_todo_has_a_number_and_is_found_by_it,
    todos_are_listed_in_order_of_their_numbers,
    an_imported_number_is_never_assigned_again,
    an_import_is_complete_and_repeating_it_changes_nothing,
    an_import_keeps_todos_that_were_changed_in_this_store,
];

/// The embedded backend in a temporary directory.
async fn embedded() -> (Arc<dyn TodoStore>, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let url = "sqlite:".parse().unwrap();
    let app_database = || {
        let held = fieldstation::storage::data_directory::DataDirectory::open(directory.path())?;
        fieldstation::storage::app_database::AppDatabase::open(Arc::new(held))
    };
    let store = fieldstation::todos::open(Some(&url), directory.path(), app_database)
        .await
        .unwrap();
    (store, directory)
}

#[cfg(feature = "cloud")]
async fn postgres_at(url: &str) -> Arc<dyn TodoStore> {
    let nowhere = std::path::Path::new("");
    let url = url.parse().unwrap();
    let not_embedded = || panic!("the embedded database is asked for");
    fieldstation::todos::open(Some(&url), nowhere, not_embedded)
        .await
        .unwrap()
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// A todo with a creation time this many seconds after the start of the day.
pub(super) fn todo(title: &str, second: i64) -> Todo {
    let start = time("2026-11-20T00:00").micros();
    let created_at = Timestamp::from_micros(start + second * 1_000_000).unwrap();
    Todo {
        id: TodoId::generate(created_at).unwrap(),
        title: Title::new(title).unwrap(),
        description: Description::default(),
        deadline: None,
        status: Status::Pending,
        created_at,
        updated_at: created_at,
    }
}

fn due(title: &str, second: i64, deadline: &str) -> Todo {
    Todo {
        deadline: Some(time(deadline)),
        ..todo(title, second)
    }
}

async fn add(store: &dyn TodoStore, todos: &[Todo]) {
    for todo in todos {
        store.create(todo).await.unwrap();
    }
}

/// All titles of a list, read page by page.
async fn titles(store: &dyn TodoStore, filter: &Filter, limit: usize) -> Vec<String> {
    let mut titles = Vec::new();
    let mut after: Option<Cursor> = None;
    loop {
        let page = store.list(filter, after.as_ref(), limit).await.unwrap();
        assert!(page.items.len() <= limit);
        assert_eq!(page.more, page.items.len() == limit && page.more);
        after = page.items.last().map(Todo::cursor);
        titles.extend(page.items.iter().map(|todo| todo.title.as_str().to_owned()));
        if !page.more {
            return titles;
        }
        assert_eq!(page.items.len(), limit);
    }
}

fn text(words: &str) -> Filter {
    Filter {
        text: Some(folded(words)),
        ..Filter::default()
    }
}

fn retitled(title: &str) -> Change {
    Change {
        title: Some(Title::new(title).unwrap()),
        ..Change::default()
    }
}

fn of_status(status: Status) -> Change {
    Change {
        status: Some(status),
        ..Change::default()
    }
}

#[track_caller]
pub(super) fn done<T: std::fmt::Debug>(outcome: Outcome<T>) -> T {
    match outcome {
        Outcome::Done(value) => value,
        other => panic!("{other:?}"),
    }
}

async fn a_new_todo_can_be_read(store: &dyn TodoStore) {
    let new = Todo {
        description: Description::new("two\n\tlines").unwrap(),
        status: Status::InProgress,
        ..due("water", 1, "2026-12-01T08:00:00.000001Z")
    };
    add(store, std::slice::from_ref(&new)).await;
    assert_eq!(store.get(new.id).await.unwrap(), Some(new.clone()));
    let page = store.list(&Filter::default(), None, 10).await.unwrap();
    assert_eq!((page.items, page.more), (vec![new], false));
}

async fn adding_the_same_todo_again_changes_nothing(store: &dyn TodoStore) {
    let new = todo("water", 1);
    add(store, &[new.clone(), new.clone()]).await;
    assert_eq!(titles(store, &Filter::default(), 10).await, ["water"]);
    assert_eq!(store.get(new.id).await.unwrap(), Some(new));
}

async fn any_text_is_stored_unchanged(store: &dyn TodoStore) {
    let title = "'; DROP TABLE todos; -- é 💡 \u{202e} %_\\ \"";
    let new = Todo {
        description: Description::new(&"ä💡\r\n".repeat(2500)).unwrap(),
        ..todo(title, 1)
    };
    let long = todo(&"💡".repeat(200), 2);
    add(store, &[new.clone(), long.clone()]).await;
    assert_eq!(store.get(new.id).await.unwrap(), Some(new));
    assert_eq!(store.get(long.id).await.unwrap(), Some(long));
}

async fn the_first_and_the_last_timestamp_can_be_stored(store: &dyn TodoStore) {
    let at = |title: &str, deadline| Todo {
        deadline: Some(deadline),
        ..todo(title, 1)
    };
    let (first, last) = (at("first", Timestamp::MIN), at("last", Timestamp::MAX));
    add(store, &[todo("never", 0), last.clone(), first.clone()]).await;
    assert_eq!(store.get(first.id).await.unwrap(), Some(first));
    assert_eq!(store.get(last.id).await.unwrap(), Some(last));
    let all = titles(store, &Filter::default(), 1).await;
    assert_eq!(all, ["first", "last", "never"]);
}

async fn a_change_keeps_the_other_fields(store: &dyn TodoStore) {
    let new = Todo {
        description: Description::new("more").unwrap(),
        ..due("water", 1, "2026-12-01T08:00")
    };
    add(store, std::slice::from_ref(&new)).await;
    let now = time("2026-11-20T12:00");
    let change = of_status(Status::Completed);
    let changed = store.change(new.id, &Precondition::Any, &change, now).await;
    let expected = Todo {
        status: Status::Completed,
        updated_at: now,
        ..new.clone()
    };
    assert_eq!(done(changed.unwrap()), expected);
    assert_eq!(store.get(new.id).await.unwrap(), Some(expected.clone()));

    let later = time("2026-11-20T12:01");
    let change = Change {
        title: Some(Title::new("plants").unwrap()),
        description: Some(Description::default()),
        deadline: Some(None),
        status: None,
    };
    let changed = store
        .change(new.id, &Precondition::Any, &change, later)
        .await;
    let expected = Todo {
        title: Title::new("plants").unwrap(),
        description: Description::default(),
        deadline: None,
        updated_at: later,
        ..expected
    };
    assert_eq!(done(changed.unwrap()), expected);
    assert_eq!(store.get(new.id).await.unwrap(), Some(expected));
}

async fn every_change_sets_a_later_time_of_change(store: &dyn TodoStore) {
    let new = todo("water", 100);
    add(store, std::slice::from_ref(&new)).await;
    // Clocks that run behind or stand still.
    let behind = time("2026-11-19T00:00");
    let mut last = new.updated_at;
    for _ in 0..3 {
        let change = retitled("water");
        let changed = store
            .change(new.id, &Precondition::Any, &change, behind)
            .await;
        let version = done(changed.unwrap()).updated_at;
        assert_eq!(version.micros(), last.micros() + 1);
        last = version;
    }
}

async fn a_change_of_an_older_version_is_a_conflict(store: &dyn TodoStore) {
    let new = todo("water", 1);
    add(store, std::slice::from_ref(&new)).await;
    let first = Precondition::Versions(vec![new.updated_at]);
    let now = time("2026-11-20T12:00");
    done(
        store
            .change(new.id, &first, &retitled("mine"), now)
            .await
            .unwrap(),
    );
    let second = store.change(new.id, &first, &retitled("theirs"), now).await;
    assert_eq!(second.unwrap(), Outcome::Conflict(now));
    let removed = store.remove(new.id, &first).await.unwrap();
    assert_eq!(removed, Outcome::Conflict(now));
    let none = Precondition::Versions(Vec::new());
    let changed = store.change(new.id, &none, &retitled("theirs"), now).await;
    assert_eq!(changed.unwrap(), Outcome::Conflict(now));
    assert_eq!(titles(store, &Filter::default(), 10).await, ["mine"]);
}

async fn a_precondition_with_several_versions_needs_one_match(store: &dyn TodoStore) {
    let new = todo("water", 1);
    add(store, std::slice::from_ref(&new)).await;
    let several = Precondition::Versions(vec![time("2026-01-01T00:00"), new.updated_at]);
    done(store.remove(new.id, &several).await.unwrap());
}

async fn an_unknown_todo_is_missing(store: &dyn TodoStore) {
    add(store, &[todo("water", 1)]).await;
    let now = Timestamp::now();
    let unknown = TodoId::generate(now).unwrap();
    assert_eq!(store.get(unknown).await.unwrap(), None);
    for precondition in [Precondition::Any, Precondition::Versions(vec![now])] {
        let changed = store
            .change(unknown, &precondition, &retitled("x"), now)
            .await;
        assert_eq!(changed.unwrap(), Outcome::Missing);
        let removed = store.remove(unknown, &precondition).await;
        assert_eq!(removed.unwrap(), Outcome::Missing);
    }
}

async fn a_removed_todo_cannot_be_read_or_listed(store: &dyn TodoStore) {
    let (gone, stays) = (todo("gone for good", 1), todo("stays for good", 2));
    add(store, &[gone.clone(), stays]).await;
    done(store.remove(gone.id, &Precondition::Any).await.unwrap());
    assert_eq!(store.get(gone.id).await.unwrap(), None);
    let again = store.remove(gone.id, &Precondition::Any).await.unwrap();
    assert_eq!(again, Outcome::Missing);
    assert_eq!(
        titles(store, &Filter::default(), 10).await,
        ["stays for good"]
    );
    assert_eq!(
        titles(store, &text("for good"), 10).await,
        ["stays for good"]
    );
}

async fn a_closed_store_refuses_changes(store: &dyn TodoStore) {
    store.close().await.unwrap();
    let refused = store.create(&todo("water", 1)).await.unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Unavailable);
    assert!(store.ready().await.is_err());
    store.close().await.unwrap();
}

//! What every todos backend promises.

use std::collections::HashSet;
use std::sync::Arc;

use fieldstation::error::StoreErrorKind;
use fieldstation::timestamp::Timestamp;
use fieldstation::todos::{
    Change, Cursor, Description, Filter, Outcome, Precondition, Status, Title, Todo, TodoId,
    TodoStore, folded,
};
use futures_util::future::join_all;

use super::todo_numbers::{
    a_number_that_came_is_not_given_again, every_todo_has_a_number_that_leads_to_it,
    todos_are_listed_by_their_numbers, todos_come_whole_and_coming_again_changes_nothing,
    what_was_touched_here_stays_as_it_is_here,
};

/// Each behaviour on each backend, as a test of its own: `postgres::a_new_todo_is_read_back`.
macro_rules! suite {
    ($($behaviour:ident),* $(,)?) => {
        mod sqlite {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $behaviour() {
                    let (store, _directory) = super::embedded();
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
                    let store = super::postgres_at(&database.url());
                    super::$behaviour(store.as_ref()).await;
                    store.close().await.unwrap();
                }
            )*
        }
    };
}

suite![
    an_empty_store_has_an_empty_list,
    a_new_todo_is_read_back,
    adding_the_same_todo_again_changes_nothing,
    any_text_is_kept_as_it_is,
    the_ends_of_time_are_stored,
    a_change_touches_only_its_fields,
    every_change_makes_a_later_version,
    a_change_of_another_version_is_a_conflict,
    one_of_several_versions_is_enough,
    unknown_todos_are_missing,
    a_removed_todo_is_gone,
    todos_are_in_order,
    todos_are_paged_in_order,
    a_page_goes_on_where_the_last_one_ended,
    a_list_has_those_of_a_status,
    a_window_of_deadlines_is_half_open,
    a_text_is_found_in_whatever_case,
    a_text_means_nothing_special,
    a_common_text_is_paged_like_a_rare_one,
    a_changed_text_is_found_by_its_new_words,
    filters_hold_together,
    long_descriptions_make_short_pages,
    of_concurrent_changes_of_a_version_one_is_made,
    concurrent_changes_of_different_fields_are_all_kept,
    a_closed_store_refuses_changes,
    every_todo_has_a_number_that_leads_to_it,
    todos_are_listed_by_their_numbers,
    a_number_that_came_is_not_given_again,
    todos_come_whole_and_coming_again_changes_nothing,
    what_was_touched_here_stays_as_it_is_here,
];

/// The embedded backend in a directory that goes with it.
fn embedded() -> (Arc<dyn TodoStore>, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let url = "sqlite:".parse().unwrap();
    let app_database = || {
        let held = fieldstation::storage::data_directory::DataDirectory::open(directory.path())?;
        fieldstation::storage::app_database::AppDatabase::open(Arc::new(held))
    };
    let store = fieldstation::todos::open(Some(&url), directory.path(), app_database).unwrap();
    (store, directory)
}

#[cfg(feature = "cloud")]
fn postgres_at(url: &str) -> Arc<dyn TodoStore> {
    let nowhere = std::path::Path::new("");
    let url = url.parse().unwrap();
    let not_embedded = || panic!("the embedded database is asked for");
    fieldstation::todos::open(Some(&url), nowhere, not_embedded).unwrap()
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// A todo made so many seconds into a day.
pub(super) fn todo(title: &str, second: i64) -> Todo {
    let start = time("2026-11-20T00:00").micros();
    let created_at = Timestamp::from_micros(start + second * 1_000_000).unwrap();
    Todo {
        id: TodoId::make(created_at).unwrap(),
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

/// All titles of a list, a page at a time.
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

async fn an_empty_store_has_an_empty_list(store: &dyn TodoStore) {
    let page = store.list(&Filter::default(), None, 10).await.unwrap();
    assert!(page.items.is_empty() && !page.more);
    assert!(titles(store, &text("anything"), 10).await.is_empty());
    store.ready().await.unwrap();
}

async fn a_new_todo_is_read_back(store: &dyn TodoStore) {
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

async fn any_text_is_kept_as_it_is(store: &dyn TodoStore) {
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

async fn the_ends_of_time_are_stored(store: &dyn TodoStore) {
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

async fn a_change_touches_only_its_fields(store: &dyn TodoStore) {
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

async fn every_change_makes_a_later_version(store: &dyn TodoStore) {
    let new = todo("water", 100);
    add(store, std::slice::from_ref(&new)).await;
    // A clock that is behind, and one that stands still.
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

async fn a_change_of_another_version_is_a_conflict(store: &dyn TodoStore) {
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

async fn one_of_several_versions_is_enough(store: &dyn TodoStore) {
    let new = todo("water", 1);
    add(store, std::slice::from_ref(&new)).await;
    let several = Precondition::Versions(vec![time("2026-01-01T00:00"), new.updated_at]);
    done(store.remove(new.id, &several).await.unwrap());
}

async fn unknown_todos_are_missing(store: &dyn TodoStore) {
    add(store, &[todo("water", 1)]).await;
    let now = Timestamp::now();
    let unknown = TodoId::make(now).unwrap();
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

async fn a_removed_todo_is_gone(store: &dyn TodoStore) {
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

/// Ten todos, and their titles in the order of the list.
async fn ten(store: &dyn TodoStore) -> Vec<String> {
    let mut todos = vec![
        due("0", 9, "2026-12-01T00:00"),
        due("1", 1, "2026-12-02T00:00"),
        due("2", 2, "2026-12-02T00:00"),
        due("3 B", 3, "2026-12-02T00:00"),
        due("3 a", 3, "2026-12-02T00:00"),
        due("3 é", 3, "2026-12-02T00:00"),
        due("4", 0, "2026-12-03T00:00"),
        todo("5", 0),
        todo("6", 5),
        todo("7", 9),
    ];
    let titles = todos
        .iter()
        .map(|todo| todo.title.as_str().to_owned())
        .collect();
    todos.reverse();
    todos.swap(0, 5);
    add(store, &todos).await;
    titles
}

async fn todos_are_in_order(store: &dyn TodoStore) {
    let expected = ten(store).await;
    assert_eq!(titles(store, &Filter::default(), 1000).await, expected);
}

async fn todos_are_paged_in_order(store: &dyn TodoStore) {
    let expected = ten(store).await;
    for limit in 1..=11 {
        assert_eq!(titles(store, &Filter::default(), limit).await, expected);
    }
    // Two that differ in nothing but their ids.
    let (one, other) = (todo("same", 20), todo("same", 20));
    add(store, &[one, other]).await;
    assert_eq!(
        titles(store, &Filter::default(), 1).await[10..],
        ["same", "same"]
    );
}

async fn a_page_goes_on_where_the_last_one_ended(store: &dyn TodoStore) {
    ten(store).await;
    let all = Filter::default();
    let first = store.list(&all, None, 4).await.unwrap();
    let last = first.items.last().unwrap();
    // What was seen goes, and something new comes before it.
    done(store.remove(last.id, &Precondition::Any).await.unwrap());
    add(store, &[due("new", 0, "2026-11-30T00:00")]).await;
    let second = store.list(&all, Some(&last.cursor()), 3).await.unwrap();
    let titles: Vec<_> = second
        .items
        .iter()
        .map(|todo| todo.title.as_str())
        .collect();
    assert_eq!(titles, ["3 a", "3 é", "4"]);
}

async fn a_list_has_those_of_a_status(store: &dyn TodoStore) {
    let all = ten(store).await;
    let page = store.list(&Filter::default(), None, 100).await.unwrap();
    for todo in &page.items[2..5] {
        let change = of_status(Status::Completed);
        let changed = store.change(todo.id, &Precondition::Any, &change, Timestamp::now());
        done(changed.await.unwrap());
    }
    for (status, expected) in [
        (Status::Completed, all[2..5].to_vec()),
        (Status::Pending, [&all[..2], &all[5..]].concat()),
        (Status::InProgress, Vec::new()),
    ] {
        let filter = Filter {
            status: Some(status),
            ..Filter::default()
        };
        for limit in [1, 3, 100] {
            assert_eq!(titles(store, &filter, limit).await, expected, "{status:?}");
        }
    }
}

async fn a_window_of_deadlines_is_half_open(store: &dyn TodoStore) {
    let all = ten(store).await;
    let window = |from: Option<&str>, to: Option<&str>| Filter {
        deadline_from: from.map(time),
        deadline_to: to.map(time),
        ..Filter::default()
    };
    let (second, third) = (Some("2026-12-02T00:00"), Some("2026-12-03T00:00"));
    for (filter, expected) in [
        (window(second, third), &all[1..6]),
        (window(None, second), &all[..1]),
        (window(third, None), &all[6..7]),
        (
            window(Some("2026-12-02T00:00:00.000001Z"), None),
            &all[6..7],
        ),
        (window(third, second), &[]),
        (window(None, Some("0001-01-01T00:00")), &[]),
        (window(Some("9999-12-31T23:59"), None), &[]),
    ] {
        for limit in [1, 2, 100] {
            assert_eq!(titles(store, &filter, limit).await, expected, "{filter:?}");
        }
    }
}

async fn a_text_is_found_in_whatever_case(store: &dyn TodoStore) {
    let described = Todo {
        description: Description::new("Zuerst die STRASSE, dann der ÄPFELBAUM").unwrap(),
        ..todo("b", 2)
    };
    add(store, &[todo("Äpfel kaufen", 1), described, todo("c", 3)]).await;
    for (words, expected) in [
        ("äpfel", &["Äpfel kaufen", "b"][..]),
        ("ÄPFEL", &["Äpfel kaufen", "b"]),
        ("pfel k", &["Äpfel kaufen"]),
        ("straß", &[]),
        ("strasse", &["b"]),
        ("ä", &["Äpfel kaufen", "b"]),
        ("au", &["Äpfel kaufen", "b"]),
        ("c", &["c"]),
        ("apfel", &[]),
    ] {
        assert_eq!(titles(store, &text(words), 1).await, expected, "{words}");
    }
}

async fn a_text_means_nothing_special(store: &dyn TodoStore) {
    add(
        store,
        &[
            todo("100% \\ \"done\" a_b 'x' AND NOT (y*)", 1),
            todo("plain", 2),
        ],
    )
    .await;
    for (words, count) in [
        ("100%", 1),
        ("100% \\ \"", 1),
        ("%", 1),
        ("_", 1),
        ("a_b", 1),
        ("axb", 0),
        ("l%n", 0),
        ("pl_in", 0),
        ("\\", 1),
        ("and not", 1),
        ("\"done\"", 1),
        ("(y*)", 1),
        ("'x'", 1),
        ("plain", 1),
    ] {
        assert_eq!(titles(store, &text(words), 5).await.len(), count, "{words}");
    }
}

async fn a_common_text_is_paged_like_a_rare_one(store: &dyn TodoStore) {
    // More than the embedded backend looks up and sorts.
    let mut expected = Vec::new();
    for number in 0..1100 {
        let name = if number % 300 == 7 {
            "needle in hay"
        } else {
            "hay"
        };
        let mut new = todo(&format!("{name} {number:04}"), number);
        if number % 2 == 0 {
            new.status = Status::Completed;
        }
        expected.push(new.title.as_str().to_owned());
        store.create(&new).await.unwrap();
    }
    assert_eq!(titles(store, &text("Hay"), 250).await, expected);
    let needles = titles(store, &text("needle"), 3).await;
    assert_eq!(needles.len(), 4);
    assert!(needles.is_sorted());
    let filter = Filter {
        status: Some(Status::Pending),
        ..text("hay 10")
    };
    let found = titles(store, &filter, 7).await;
    assert_eq!(found.len(), 50, "{found:?}");
}

async fn a_changed_text_is_found_by_its_new_words(store: &dyn TodoStore) {
    let new = todo("water the plants", 1);
    add(store, std::slice::from_ref(&new)).await;
    let now = time("2026-11-20T12:00");
    let change = Change {
        description: Some(Description::new("on the balcony").unwrap()),
        ..retitled("feed the cat")
    };
    done(
        store
            .change(new.id, &Precondition::Any, &change, now)
            .await
            .unwrap(),
    );
    assert!(titles(store, &text("plants"), 5).await.is_empty());
    assert_eq!(titles(store, &text("the cat"), 5).await.len(), 1);
    assert_eq!(titles(store, &text("BALCONY"), 5).await.len(), 1);
    let change = of_status(Status::Completed);
    done(
        store
            .change(new.id, &Precondition::Any, &change, now)
            .await
            .unwrap(),
    );
    assert_eq!(titles(store, &text("balcony"), 5).await.len(), 1);
}

async fn filters_hold_together(store: &dyn TodoStore) {
    let completed = Todo {
        status: Status::Completed,
        ..due("water b", 2, "2026-12-02T00:00")
    };
    add(
        store,
        &[
            due("water a", 1, "2026-12-02T00:00"),
            completed,
            due("water c", 3, "2026-12-05T00:00"),
            todo("water d", 4),
            due("feed", 5, "2026-12-02T00:00"),
        ],
    )
    .await;
    let filter = Filter {
        status: Some(Status::Pending),
        deadline_from: Some(time("2026-12-01T00:00")),
        deadline_to: Some(time("2026-12-03T00:00")),
        text: Some("water".to_owned()),
    };
    assert_eq!(titles(store, &filter, 1).await, ["water a"]);
}

async fn long_descriptions_make_short_pages(store: &dyn TodoStore) {
    let description = Description::new(&"💡".repeat(10_000)).unwrap();
    let mut expected = Vec::new();
    for number in 0..60 {
        let new = Todo {
            description: description.clone(),
            ..todo(&format!("{number:02}"), number)
        };
        expected.push(new.title.as_str().to_owned());
        store.create(&new).await.unwrap();
    }
    let (mut found, mut after, mut pages) = (Vec::new(), None, 0);
    loop {
        let page = store
            .list(&Filter::default(), after.as_ref(), 1000)
            .await
            .unwrap();
        let bytes: usize = page
            .items
            .iter()
            .map(|todo| todo.description.as_str().len())
            .sum();
        assert!((1..=1_200_000).contains(&bytes), "{bytes}");
        after = page.items.last().map(Todo::cursor);
        found.extend(page.items.iter().map(|todo| todo.title.as_str().to_owned()));
        pages += 1;
        if !page.more {
            break;
        }
    }
    assert_eq!(found, expected);
    assert_eq!(pages, 3);
}

async fn of_concurrent_changes_of_a_version_one_is_made(store: &dyn TodoStore) {
    let new = todo("water", 1);
    add(store, std::slice::from_ref(&new)).await;
    let mut version = new.updated_at;
    for round in 0..10 {
        let seen = Precondition::Versions(vec![version]);
        let titles: Vec<_> = (0..8)
            .map(|editor| format!("{round} by {editor}"))
            .collect();
        let changes = titles.iter().map(|title| {
            let seen = &seen;
            async move {
                let now = Timestamp::now();
                store
                    .change(new.id, seen, &retitled(title), now)
                    .await
                    .unwrap()
            }
        });
        let made: Vec<Todo> = join_all(changes)
            .await
            .into_iter()
            .filter_map(|outcome| match outcome {
                Outcome::Done(todo) => Some(todo),
                Outcome::Conflict(_) => None,
                Outcome::Missing => panic!("it is missing"),
            })
            .collect();
        assert_eq!(made.len(), 1, "{made:?}");
        assert_eq!(store.get(new.id).await.unwrap().as_ref(), Some(&made[0]));
        version = made[0].updated_at;
    }
}

async fn concurrent_changes_of_different_fields_are_all_kept(store: &dyn TodoStore) {
    let new = todo("water", 1);
    add(store, std::slice::from_ref(&new)).await;
    let changes = [
        retitled("plants"),
        of_status(Status::Completed),
        Change {
            deadline: Some(Some(time("2026-12-01T00:00"))),
            ..Change::default()
        },
        Change {
            description: Some(Description::new("more").unwrap()),
            ..Change::default()
        },
    ];
    let made = join_all(changes.iter().map(|change| async move {
        let now = Timestamp::now();
        let changed = store.change(new.id, &Precondition::Any, change, now).await;
        done(changed.unwrap()).updated_at
    }))
    .await;
    let versions: HashSet<Timestamp> = made.into_iter().collect();
    assert_eq!(versions.len(), 4);
    let all = store.get(new.id).await.unwrap().unwrap();
    assert_eq!(all.title.as_str(), "plants");
    assert_eq!(all.status, Status::Completed);
    assert_eq!(all.deadline, Some(time("2026-12-01T00:00")));
    assert_eq!(all.description.as_str(), "more");
}

async fn a_closed_store_refuses_changes(store: &dyn TodoStore) {
    store.close().await.unwrap();
    let refused = store.create(&todo("water", 1)).await.unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Unavailable);
    assert!(store.ready().await.is_err());
    store.close().await.unwrap();
}

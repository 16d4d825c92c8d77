//! Lists of todos: order, pages and filters.

use fieldstation::timestamp::Timestamp;
use fieldstation::todos::{Description, Filter, Precondition, Status, Todo, TodoStore};

use super::{add, done, due, of_status, text, time, titles, todo};

pub(super) async fn the_list_of_an_empty_store_is_empty(store: &dyn TodoStore) {
    let page = store.list(&Filter::default(), None, 10).await.unwrap();
    assert!(page.items.is_empty() && !page.more);
    assert!(titles(store, &text("anything"), 10).await.is_empty());
    store.ready().await.unwrap();
}

/// Ten todos, and their titles in the order of the list.
async fn add_ten_todos(store: &dyn TodoStore) -> Vec<String> {
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

pub(super) async fn todos_are_listed_in_order(store: &dyn TodoStore) {
    let expected = add_ten_todos(store).await;
    assert_eq!(titles(store, &Filter::default(), 1000).await, expected);
}

pub(super) async fn todos_are_paged_in_order(store: &dyn TodoStore) {
    let expected = add_ten_todos(store).await;
    for limit in 1..=11 {
        assert_eq!(titles(store, &Filter::default(), limit).await, expected);
    }
    // Two todos with different ids and otherwise the same content.
    let (one, other) = (todo("same", 20), todo("same", 20));
    add(store, &[one, other]).await;
    assert_eq!(
        titles(store, &Filter::default(), 1).await[10..],
        ["same", "same"]
    );
}

pub(super) async fn a_page_begins_after_the_last_todo_of_the_page_before(store: &dyn TodoStore) {
    add_ten_todos(store).await;
    let all = Filter::default();
    let first = store.list(&all, None, 4).await.unwrap();
    let last = first.items.last().unwrap();
    // The test removes the last todo of the first page, and adds a todo before the place of the removed todo.
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

pub(super) async fn a_list_can_be_filtered_by_status(store: &dyn TodoStore) {
    let all = add_ten_todos(store).await;
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

pub(super) async fn a_window_of_deadlines_excludes_its_end(store: &dyn TodoStore) {
    let all = add_ten_todos(store).await;
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

pub(super) async fn a_todo_has_to_match_all_filters(store: &dyn TodoStore) {
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

pub(super) async fn a_page_with_long_descriptions_ends_early(store: &dyn TodoStore) {
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

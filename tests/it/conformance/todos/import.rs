//! The numbers of todos, and the import of todos from another store.

use fieldstation::timestamp::Timestamp;
use fieldstation::todos::import::{ImportBatch, ImportItem, ImportOutcome};
use fieldstation::todos::{Change, Precondition, Status, Title, Todo, TodoStore};

use super::{done, todo};

/// The first number from a store. Numbers of other programs have at most 28 bits.
const FIRST_NUMBER: i64 = 1 << 28;

fn batch(has_timestamps: bool, items: Vec<(Option<i64>, Todo)>) -> ImportBatch {
    let items = items
        .into_iter()
        .map(|(number, todo)| ImportItem { number, todo });
    ImportBatch {
        origin: "elsewhere".to_owned(),
        has_timestamps,
        items: items.collect(),
    }
}

async fn import(store: &dyn TodoStore, batch: &ImportBatch) -> Vec<ImportOutcome> {
    let results = store.import(batch).await.unwrap();
    results.into_iter().map(|result| result.outcome).collect()
}

async fn change(store: &dyn TodoStore, todo: &Todo, title: &str) -> Todo {
    let change = Change {
        title: Some(Title::new(title).unwrap()),
        ..Change::default()
    };
    let now = Timestamp::now();
    let changed = store.change(todo.id, &Precondition::Any, &change, now);
    done(changed.await.unwrap())
}

pub(super) async fn every_todo_has_a_number_and_is_found_by_it(store: &dyn TodoStore) {
    let mut numbers = Vec::new();
    for title in ["a", "b", "c"] {
        let new = todo(title, 1);
        store.create(&new).await.unwrap();
        store.create(&new).await.unwrap();
        let number = store.number_of(new.id).await.unwrap().unwrap();
        assert_eq!(store.id_of(number).await.unwrap(), Some(new.id));
        numbers.push(number);
        // The number of a removed todo is not assigned again.
        if title == "b" {
            done(store.remove(new.id, &Precondition::Any).await.unwrap());
            assert_eq!(store.id_of(number).await.unwrap(), None);
            assert_eq!(store.number_of(new.id).await.unwrap(), None);
        }
    }
    assert!(numbers[0] >= FIRST_NUMBER, "{numbers:?}");
    assert!(numbers.is_sorted_by(|one, next| one < next), "{numbers:?}");
    assert_eq!(store.count().await.unwrap(), 2);
    for number in [0, 7, -7, i64::MIN, i64::MAX] {
        assert_eq!(store.id_of(number).await.unwrap(), None);
    }
}

pub(super) async fn todos_are_listed_in_order_of_their_numbers(store: &dyn TodoStore) {
    let items =
        [70, -5, 9, FIRST_NUMBER + 4].map(|number| (Some(number), todo(&number.to_string(), 1)));
    import(store, &batch(true, items.into())).await;
    store.create(&todo("new", 0)).await.unwrap();
    let mut titles = Vec::new();
    let mut from = Some(i64::MIN);
    while let Some(begin) = from {
        let page = store.by_number(begin, 2).await.unwrap();
        assert!(page.items.len() <= 2);
        from = page.next();
        titles.extend(
            page.items
                .iter()
                .map(|item| item.todo.title.as_str().to_owned()),
        );
    }
    assert_eq!(titles, ["-5", "9", "70", "268435460", "new"]);
    assert!(store.id_of(FIRST_NUMBER + 4).await.unwrap().is_some());
    let page = store.by_number(70, 10).await.unwrap();
    assert_eq!((page.items.len(), page.more), (3, false));
}

pub(super) async fn an_imported_number_is_never_assigned_again(store: &dyn TodoStore) {
    let high = FIRST_NUMBER + 1_000;
    import(store, &batch(true, vec![(Some(high), todo("high", 1))])).await;
    let new = todo("new", 2);
    store.create(&new).await.unwrap();
    assert!(store.number_of(new.id).await.unwrap().unwrap() > high);
    // A todo with a number already in use gets another number.
    let rival = todo("rival", 3);
    let taken = batch(true, vec![(Some(high), rival.clone())]);
    let results = store.import(&taken).await.unwrap();
    assert_eq!(results[0].outcome, ImportOutcome::Added);
    let number = results[0].number.unwrap();
    assert!(number > high);
    assert_eq!(store.number_of(rival.id).await.unwrap(), Some(number));
    // The same holds within a batch.
    let twice = batch(
        true,
        vec![(Some(5), todo("one", 1)), (Some(5), todo("two", 1))],
    );
    let results = store.import(&twice).await.unwrap();
    assert_eq!(results[0].number, Some(5));
    assert!(results[1].number.unwrap() >= FIRST_NUMBER);
}

pub(super) async fn an_import_is_complete_and_repeating_it_changes_nothing(store: &dyn TodoStore) {
    let mut one = todo("one", 1);
    one.status = Status::Completed;
    one.deadline = Some(Timestamp::MIN);
    one.updated_at = Timestamp::now();
    let several = batch(true, vec![(Some(3), one.clone()), (None, todo("two", 2))]);
    assert_eq!(import(store, &several).await, [ImportOutcome::Added; 2]);
    assert_eq!(import(store, &several).await, [ImportOutcome::Unchanged; 2]);
    assert_eq!(store.get(one.id).await.unwrap(), Some(one.clone()));
    let found = store
        .find(&[one.id, fieldstation::todos::TodoId::NIL])
        .await
        .unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].number, &found[0].todo), (3, &one));
    let texts = fieldstation::todos::Filter {
        text: Some("one".to_owned()),
        ..Default::default()
    };
    assert_eq!(store.list(&texts, None, 5).await.unwrap().items, [one]);
}

pub(super) async fn an_import_keeps_todos_that_were_changed_in_this_store(store: &dyn TodoStore) {
    for has_timestamps in [false, true] {
        let all: Vec<Todo> = ["same", "changed there", "changed here", "both", "removed"]
            .map(|title| todo(title, 1))
            .into();
        let first = all.iter().map(|todo| (None, todo.clone())).collect();
        import(store, &batch(has_timestamps, first)).await;
        for at in [2, 3] {
            change(store, &all[at], "mine").await;
        }
        done(store.remove(all[4].id, &Precondition::Any).await.unwrap());
        let mut second = all.clone();
        for at in [1, 3] {
            second[at].title = Title::new("theirs").unwrap();
        }
        for todo in &mut second[1..] {
            todo.updated_at = Timestamp::now();
        }
        let again = batch(
            has_timestamps,
            second.iter().map(|todo| (None, todo.clone())).collect(),
        );
        let expected = [
            ImportOutcome::Unchanged,
            ImportOutcome::Updated,
            ImportOutcome::ChangedHere,
            ImportOutcome::ChangedHere,
            ImportOutcome::RemovedHere,
        ];
        assert_eq!(import(store, &again).await, expected);
        let mut titles = Vec::new();
        for todo in &all {
            let current = store.get(todo.id).await.unwrap();
            titles.push(current.map(|current| current.title.as_str().to_owned()));
        }
        let expected = [
            Some("same"),
            Some("theirs"),
            Some("mine"),
            Some("mine"),
            None,
        ];
        assert_eq!(titles, expected.map(|title| title.map(str::to_owned)));
        // A further import still updates a todo without changes in this store.
        second[1].title = Title::new("theirs again").unwrap();
        second[1].updated_at = Timestamp::now();
        let once_more = batch(has_timestamps, vec![(None, second[1].clone())]);
        assert_eq!(import(store, &once_more).await, [ImportOutcome::Updated]);
        let current = store.get(second[1].id).await.unwrap().unwrap();
        assert!(batch(has_timestamps, Vec::new()).is_same(&second[1], &current));
    }
}

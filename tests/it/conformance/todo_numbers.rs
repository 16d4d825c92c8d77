//! What every todos backend promises of numbers, and of todos that come from another store.

use fieldstation::timestamp::Timestamp;
use fieldstation::todos::import::{Arrival, Arrivals, Became};
use fieldstation::todos::{Change, Precondition, Status, Title, Todo, TodoStore};

use super::todos::{done, todo};

/// The first number that a store gives: those of other programs have 28 bits.
const FIRST: i64 = 1 << 28;

fn arrivals(have_times: bool, items: Vec<(Option<i64>, Todo)>) -> Arrivals {
    let items = items
        .into_iter()
        .map(|(number, todo)| Arrival { number, todo });
    Arrivals {
        origin: "elsewhere".to_owned(),
        have_times,
        items: items.collect(),
    }
}

async fn take_over(store: &dyn TodoStore, arrivals: &Arrivals) -> Vec<Became> {
    let arrived = store.take_over(arrivals).await.unwrap();
    arrived.into_iter().map(|arrived| arrived.became).collect()
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

pub(super) async fn every_todo_has_a_number_that_leads_to_it(store: &dyn TodoStore) {
    let mut numbers = Vec::new();
    for title in ["a", "b", "c"] {
        let new = todo(title, 1);
        store.create(&new).await.unwrap();
        store.create(&new).await.unwrap();
        let number = store.number_of(new.id).await.unwrap().unwrap();
        assert_eq!(store.id_of(number).await.unwrap(), Some(new.id));
        numbers.push(number);
        // One that was removed does not give its number to the next.
        if title == "b" {
            done(store.remove(new.id, &Precondition::Any).await.unwrap());
            assert_eq!(store.id_of(number).await.unwrap(), None);
            assert_eq!(store.number_of(new.id).await.unwrap(), None);
        }
    }
    assert!(numbers[0] >= FIRST, "{numbers:?}");
    assert!(numbers.is_sorted_by(|one, next| one < next), "{numbers:?}");
    assert_eq!(store.count().await.unwrap(), 2);
    for number in [0, 7, -7, i64::MIN, i64::MAX] {
        assert_eq!(store.id_of(number).await.unwrap(), None);
    }
}

pub(super) async fn todos_are_listed_by_their_numbers(store: &dyn TodoStore) {
    let items = [70, -5, 9, FIRST + 4].map(|number| (Some(number), todo(&number.to_string(), 1)));
    take_over(store, &arrivals(true, items.into())).await;
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
    assert!(store.id_of(FIRST + 4).await.unwrap().is_some());
    let page = store.by_number(70, 10).await.unwrap();
    assert_eq!((page.items.len(), page.more), (3, false));
}

pub(super) async fn a_number_that_came_is_not_given_again(store: &dyn TodoStore) {
    let high = FIRST + 1_000;
    take_over(store, &arrivals(true, vec![(Some(high), todo("high", 1))])).await;
    let new = todo("new", 2);
    store.create(&new).await.unwrap();
    assert!(store.number_of(new.id).await.unwrap().unwrap() > high);
    // A todo whose number another one has gets another.
    let rival = todo("rival", 3);
    let taken = arrivals(true, vec![(Some(high), rival.clone())]);
    let arrived = store.take_over(&taken).await.unwrap();
    assert_eq!(arrived[0].became, Became::Added);
    let number = arrived[0].number.unwrap();
    assert!(number > high);
    assert_eq!(store.number_of(rival.id).await.unwrap(), Some(number));
    // Also when both come at once.
    let twice = arrivals(
        true,
        vec![(Some(5), todo("one", 1)), (Some(5), todo("two", 1))],
    );
    let arrived = store.take_over(&twice).await.unwrap();
    assert_eq!(arrived[0].number, Some(5));
    assert!(arrived[1].number.unwrap() >= FIRST);
}

pub(super) async fn todos_come_whole_and_coming_again_changes_nothing(store: &dyn TodoStore) {
    let mut one = todo("one", 1);
    one.status = Status::Completed;
    one.deadline = Some(Timestamp::MIN);
    one.updated_at = Timestamp::now();
    let several = arrivals(true, vec![(Some(3), one.clone()), (None, todo("two", 2))]);
    assert_eq!(take_over(store, &several).await, [Became::Added; 2]);
    assert_eq!(take_over(store, &several).await, [Became::Unchanged; 2]);
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

pub(super) async fn what_was_touched_here_stays_as_it_is_here(store: &dyn TodoStore) {
    for have_times in [false, true] {
        let all: Vec<Todo> = ["same", "changed there", "changed here", "both", "removed"]
            .map(|title| todo(title, 1))
            .into();
        let first = all.iter().map(|todo| (None, todo.clone())).collect();
        take_over(store, &arrivals(have_times, first)).await;
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
        let again = arrivals(
            have_times,
            second.iter().map(|todo| (None, todo.clone())).collect(),
        );
        let expected = [
            Became::Unchanged,
            Became::CaughtUp,
            Became::ChangedHere,
            Became::ChangedHere,
            Became::RemovedHere,
        ];
        assert_eq!(take_over(store, &again).await, expected);
        let mut titles = Vec::new();
        for todo in &all {
            let here = store.get(todo.id).await.unwrap();
            titles.push(here.map(|here| here.title.as_str().to_owned()));
        }
        let expected = [
            Some("same"),
            Some("theirs"),
            Some("mine"),
            Some("mine"),
            None,
        ];
        assert_eq!(titles, expected.map(|title| title.map(str::to_owned)));
        // And once more: it goes on following what nobody touched.
        second[1].title = Title::new("theirs again").unwrap();
        second[1].updated_at = Timestamp::now();
        let once_more = arrivals(have_times, vec![(None, second[1].clone())]);
        assert_eq!(take_over(store, &once_more).await, [Became::CaughtUp]);
        let here = store.get(second[1].id).await.unwrap().unwrap();
        assert!(arrivals(have_times, Vec::new()).is_same(&second[1], &here));
    }
}

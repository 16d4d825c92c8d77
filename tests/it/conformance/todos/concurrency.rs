//! Concurrent changes of a todo.

use std::collections::HashSet;

use fieldstation::timestamp::Timestamp;
use fieldstation::todos::{Change, Description, Outcome, Precondition, Status, Todo, TodoStore};
use futures_util::future::join_all;

use super::{add, done, of_status, retitled, time, todo};

pub(super) async fn of_concurrent_changes_of_the_same_version_one_succeeds(store: &dyn TodoStore) {
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

pub(super) async fn concurrent_changes_of_different_fields_all_succeed(store: &dyn TodoStore) {
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

//! After every kind of write to `station.db` each row has a checksum, and the ledger counts the row.

use fieldstation::files::{Condition, DeviceId, FileStore};
use fieldstation::greeting::GreetingStore;
use fieldstation::timestamp::Timestamp;
use fieldstation::todos::{Change, Description, Precondition, Status, Title, Todo};
use proptest::prelude::*;

use super::{Stores, arrivals, todo, verified};

#[derive(Clone, Debug)]
enum Step {
    Create(String),
    Change(prop::sample::Index, Option<String>, Option<String>, bool),
    Remove(prop::sample::Index),
    Come(Option<i64>, String),
    ComeAgain(prop::sample::Index, String),
    Send(u8, Vec<u8>),
    RemoveFile(u8),
    Greet(String),
}

fn steps() -> impl Strategy<Value = Step> {
    let text = || "[a-zÄ\"' ]{1,12}x";
    let index = any::<prop::sample::Index>;
    prop_oneof![
        text().prop_map(Step::Create),
        (
            index(),
            prop::option::of(text()),
            prop::option::of(text()),
            any::<bool>()
        )
            .prop_map(|(at, title, text, done)| Step::Change(at, title, text, done)),
        index().prop_map(Step::Remove),
        (prop::option::of(0..20_i64), text()).prop_map(|(number, title)| Step::Come(number, title)),
        (index(), text()).prop_map(|(at, title)| Step::ComeAgain(at, title)),
        (0..4_u8, prop::collection::vec(any::<u8>(), 0..9))
            .prop_map(|(device, bytes)| Step::Send(device, bytes)),
        (0..4_u8).prop_map(Step::RemoveFile),
        text().prop_map(Step::Greet),
    ]
}

async fn take(stores: &Stores, step: Step, todos: &mut Vec<Todo>) {
    let now = Timestamp::now();
    let device = |n: u8| format!("device {n}");
    match step {
        Step::Create(title) => {
            let new = todo(&title, "", None, Status::Pending);
            stores.todos.create(&new).await.unwrap();
            todos.push(new);
        }
        Step::Change(at, title, text, done) if !todos.is_empty() => {
            let change = Change {
                title: title.map(|title| Title::new(&title).unwrap()),
                description: text.map(|text| Description::new(&text).unwrap()),
                status: done.then_some(Status::Completed),
                ..Change::default()
            };
            let id = at.get(todos).id;
            let changed = stores.todos.change(id, &Precondition::Any, &change, now);
            changed.await.unwrap();
        }
        Step::Remove(at) if !todos.is_empty() => {
            let gone = todos.swap_remove(at.index(todos.len()));
            let removed = stores.todos.remove(gone.id, &Precondition::Any);
            removed.await.unwrap();
        }
        Step::Come(number, title) => {
            let new = todo(&title, "from elsewhere", Some(7), Status::InProgress);
            let came = arrivals(vec![(number, new.clone())]);
            stores.todos.import(&came).await.unwrap();
            todos.push(new);
        }
        Step::ComeAgain(at, title) if !todos.is_empty() => {
            let changed = Todo {
                title: Title::new(&title).unwrap(),
                updated_at: now,
                ..at.get(todos).clone()
            };
            let came = arrivals(vec![(None, changed)]);
            stores.todos.import(&came).await.unwrap();
        }
        Step::Send(n, bytes) => stores.send(&device(n), &bytes).await,
        Step::RemoveFile(n) => {
            let device = DeviceId::new(&device(n)).unwrap();
            let always = Condition::default();
            stores.files.remove(&device, &always).await.unwrap();
        }
        Step::Greet(word) => stores
            .greeting
            .set(word.trim().parse().unwrap())
            .await
            .unwrap(),
        Step::Change(..) | Step::Remove(_) | Step::ComeAgain(..) => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn what_is_written_in_whatever_order_is_sound(steps in prop::collection::vec(steps(), 1..40)) {
        let directory = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let listed = runtime.block_on(async {
            let stores = Stores::open(directory.path()).await.unwrap();
            let mut todos = Vec::new();
            for step in steps {
                take(&stores, step, &mut todos).await;
            }
            let listed = super::all(stores.todos.as_ref(), &Default::default()).await.unwrap();
            stores.close().await;
            listed
        });
        let report = verified(directory.path()).unwrap();
        prop_assert!(report.is_sound(), "{:?}", report);
        prop_assert_eq!(report.todos, Some(listed.len() as u64));
    }
}

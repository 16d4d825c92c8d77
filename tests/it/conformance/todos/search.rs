//! Searches for todos by text.

use fieldstation::todos::{Change, Description, Filter, Precondition, Status, Todo, TodoStore};

use super::{add, done, of_status, retitled, text, time, titles, todo};

pub(super) async fn a_search_ignores_case(store: &dyn TodoStore) {
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

pub(super) async fn a_search_takes_special_characters_literally(store: &dyn TodoStore) {
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

pub(super) async fn a_search_for_a_common_text_returns_every_page(store: &dyn TodoStore) {
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

pub(super) async fn a_search_finds_a_changed_text_by_its_new_words(store: &dyn TodoStore) {
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

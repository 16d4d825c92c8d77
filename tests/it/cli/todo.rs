//! `fieldstation todo`.

use super::stub_server::{StubServer, answer};

use super::{Ended, fieldstation};
use crate::support::Server;

fn todo(server: &Server, arguments: &[&str]) -> Ended {
    let url = server.url();
    let mut all = vec!["todo", "--url", &url];
    all.extend(arguments);
    fieldstation(server.directory().path(), &all)
}

/// The ids in a table, in the order of the rows.
fn ids(table: &str) -> Vec<String> {
    let rows = table.lines().skip(1);
    rows.map(|row| row.split(' ').next().unwrap().to_owned())
        .collect()
}

#[test]
fn todos_are_added_listed_done_and_removed() {
    let server = Server::start();
    let empty = todo(&server, &["list"]).with_code(0);
    assert_eq!(empty.stdout, "");
    empty.says("nothing");
    let later = [
        "add",
        "Feed",
        "the",
        "cat",
        "--deadline",
        "2026-12-02T08:00",
    ];
    let added = todo(&server, &later).with_code(0);
    let cat = ids(&added.stdout).remove(0);
    let first = [
        "add",
        "Water the plants",
        "--deadline",
        "2026-12-01T08:00+01:00",
        "--description",
        "Balcony",
        "--status",
        "in progress",
        "--json",
    ];
    let plants = todo(&server, &first).with_code(0).json();
    assert_eq!(plants["description"], "Balcony");
    let plants = plants["id"].as_str().unwrap();

    let listed = todo(&server, &["list"]).with_code(0);
    assert_eq!(
        listed.stdout,
        format!(
            "ID                                    STATUS       DEADLINE              TITLE\n\
             {plants}  in progress  2026-12-01T07:00:00Z  Water the plants\n\
             {cat}  pending      2026-12-02T08:00:00Z  Feed the cat\n"
        )
    );
    for (filter, expected) in [
        (&["--status", "pending"][..], &[cat.as_str()][..]),
        (&["--text", "BALCONY"], &[plants]),
        (&["--after", "2026-12-02T00:00Z"], &[&cat]),
        (&["--before", "2026-12-02T00:00Z"], &[plants]),
        (&["--limit", "1"], &[plants]),
    ] {
        let listed = todo(&server, &[&["list"], filter].concat()).with_code(0);
        assert_eq!(ids(&listed.stdout), expected, "{filter:?}");
    }
    todo(&server, &["list", "--limit", "1"]).says("--limit");
    let json = todo(&server, &["list", "--json"]).with_code(0).json();
    assert_eq!(json["todos"].as_array().unwrap().len(), 2);

    let done = todo(&server, &["done", &cat]).with_code(0);
    assert!(done.stdout.contains("completed"), "{}", done.stdout);
    // A missing todo does not keep the command from removing the others.
    let removed = todo(&server, &["rm", "7", plants, &cat]).with_code(1);
    removed.says("there is no todo with the id 7");
    assert_eq!(removed.stdout, format!("removed {plants}\nremoved {cat}\n"));
    assert_eq!(todo(&server, &["list"]).with_code(0).stdout, "");
}

#[test]
fn invalid_input_is_named() {
    let server = Server::start();
    todo(&server, &["add", " "])
        .with_code(1)
        .says("title is empty");
    todo(&server, &["add", "a", "--deadline", "soon"])
        .with_code(1)
        .says("RFC 3339");
    todo(&server, &["add", "a", "--status", "done"])
        .with_code(1)
        .says("in progress");
    todo(&server, &["list", "--status", "done"])
        .with_code(1)
        .says("in progress");
    todo(&server, &["done", "7"]).with_code(1).says("404");
    for usage in [
        &["add"][..],
        &["done"],
        &["rm"],
        &["list", "--limit", "0"],
        &[],
    ] {
        todo(&server, usage).with_code(2);
    }
    assert_eq!(todo(&server, &["list"]).with_code(0).stdout, "");
}

#[test]
fn adding_is_not_tried_twice() {
    let directory = tempfile::tempdir().unwrap();
    let request = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
    let count = std::sync::Arc::clone(&request);
    let server = StubServer::start(move |_| {
        count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        answer(
            "503 Service Unavailable",
            "retry-after: 0\r\n",
            r#"{"detail":"no PostgreSQL"}"#,
        )
    });
    fieldstation(
        directory.path(),
        &["todo", "add", "a", "--url", &server.url()],
    )
    .with_code(1)
    .says("no PostgreSQL");
    assert_eq!(request.load(std::sync::atomic::Ordering::Relaxed), 1);
}

#[test]
fn a_removal_whose_answer_was_lost_is_done() {
    let directory = tempfile::tempdir().unwrap();
    let request = std::sync::atomic::AtomicU32::new(0);
    let server = StubServer::start(move |_| {
        match request.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
            0 => answer("503 Service Unavailable", "retry-after: 0\r\n", "{}"),
            _ => answer("404 Not Found", "", "{}"),
        }
    });
    let removed = fieldstation(
        directory.path(),
        &["todo", "rm", "7", "--url", &server.url()],
    );
    assert_eq!(removed.with_code(0).stdout, "removed 7\n");
}

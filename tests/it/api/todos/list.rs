//! `/api/todos`, on each backend.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::support::{Answer, Client, Server};

/// A separate test of each behaviour on each backend.
macro_rules! suite {
    ($($behaviour:ident),* $(,)?) => {
        mod sqlite {
            $(
                #[tokio::test]
                async fn $behaviour() {
                    let mut server = crate::support::Server::start();
                    super::$behaviour(&mut server).await;
                }
            )*
        }

        #[cfg(feature = "cloud")]
        mod postgres {
            $(
                #[tokio::test]
                async fn $behaviour() {
                    let database = crate::support::Database::new();
                    let mut server = crate::support::Server::with_args(&["--todos", &database.url()]);
                    super::$behaviour(&mut server).await;
                    for password in database.passwords() {
                        assert!(!server.log().contains(password), "{}", server.log());
                    }
                }
            )*
        }
    };
}

suite![
    a_todo_is_made_read_replaced_merged_and_removed,
    what_was_acknowledged_survives_a_kill,
    what_was_acknowledged_at_a_kill_is_there_and_whole,
    a_stale_change_is_refused,
    if_match_takes_lists_and_stars,
    a_known_version_is_not_sent_again,
    lists_are_filtered_ordered_and_paged,
    a_cursor_belongs_to_its_filter,
    unknown_ids_are_404,
    a_merge_follows_rfc_7396,
    methods_are_named,
];

/// Sends JSON.
pub async fn send(client: &Client, method: &str, path: &str, body: Value) -> Answer {
    let request = client.request(method, path);
    let request = request.header("content-type", "application/json");
    Answer::to(request.body(body.to_string())).await
}

/// Sends JSON with `If-Match`.
async fn send_if(client: &Client, method: &str, path: &str, tag: &str, body: Value) -> Answer {
    let request = client.request(method, path).header("if-match", tag);
    let request = request.header("content-type", "application/json");
    Answer::to(request.body(body.to_string())).await
}

/// Creates a todo, and returns the path and the entity tag.
async fn make(client: &Client, body: Value) -> (String, String) {
    let answer = send(client, "POST", "/api/todos", body)
        .await
        .with_status(201);
    let path = answer.header("location").unwrap().to_owned();
    (path, answer.header("etag").unwrap().to_owned())
}

pub async fn titles(client: &Client, query: &str) -> Vec<String> {
    let answer = client
        .get(&format!("/api/todos{query}"))
        .await
        .with_status(200);
    let list = answer.json();
    let todos = list["todos"].as_array().unwrap();
    todos
        .iter()
        .map(|todo| todo["title"].as_str().unwrap().to_owned())
        .collect()
}

async fn a_todo_is_made_read_replaced_merged_and_removed(server: &mut Server) {
    let client = server.client();
    let sent = json!({"title":" Water the plants ","deadline":"2026-12-01T09:00:00+01:00"});
    let made = send(&client, "POST", "/api/todos", sent)
        .await
        .with_status(201);
    assert_eq!(made.header("content-type"), Some("application/json"));
    let todo = made.json();
    let keys: Vec<&String> = todo.as_object().unwrap().keys().collect();
    assert_eq!(
        keys,
        [
            "id",
            "title",
            "description",
            "deadline",
            "status",
            "createdAt",
            "updatedAt",
        ]
    );
    assert_eq!(todo["title"], "Water the plants");
    assert_eq!(todo["description"], "");
    assert_eq!(todo["deadline"], "2026-12-01T08:00:00Z");
    assert_eq!(todo["status"], "pending");
    assert_eq!(todo["createdAt"], todo["updatedAt"]);
    let path = format!("/api/todos/{}", todo["id"].as_str().unwrap());
    assert_eq!(made.header("location"), Some(path.as_str()));
    let tag = format!("\"{}\"", todo["updatedAt"].as_str().unwrap());
    assert_eq!(made.header("etag"), Some(tag.as_str()));

    let read = client.get(&path).await.with_status(200);
    assert_eq!(
        (read.json(), read.header("etag")),
        (todo.clone(), Some(tag.as_str()))
    );
    let head = Answer::to(client.request("HEAD", &path))
        .await
        .with_status(200);
    assert_eq!(
        (head.body.len(), head.header("etag")),
        (0, Some(tag.as_str()))
    );

    let whole = json!({"title":"Feed the cat","description":"twice","status":"in progress"});
    let replaced = send(&client, "PUT", &path, whole).await.with_status(200);
    let second = replaced.json();
    assert_eq!(second["title"], "Feed the cat");
    assert_eq!(second["deadline"], Value::Null);
    assert_eq!(second["status"], "in progress");
    assert_eq!(second["createdAt"], todo["createdAt"]);
    assert_ne!(replaced.header("etag"), Some(tag.as_str()));

    let patch = json!({"status":"completed"});
    let merged = send(&client, "PATCH", &path, patch).await.with_status(200);
    assert_eq!(merged.json()["status"], "completed");
    assert_eq!(merged.json()["description"], "twice");
    assert_eq!(client.get(&path).await.json(), merged.json());

    let removed = Answer::to(client.request("DELETE", &path))
        .await
        .with_status(204);
    assert!(removed.body.is_empty());
    client.get(&path).await.problem(404, "unknown-todo");
    assert!(titles(&client, "").await.is_empty());
}

async fn what_was_acknowledged_survives_a_kill(server: &mut Server) {
    let client = server.client();
    let (path, _) = make(&client, json!({"title":"stays"})).await;
    let (gone, _) = make(&client, json!({"title":"goes"})).await;
    Answer::to(client.request("DELETE", &gone))
        .await
        .with_status(204);
    server.restart_in_place();
    let client = server.client();
    assert_eq!(client.get(&path).await.json()["title"], "stays");
    assert_eq!(titles(&client, "").await, ["stays"]);
}

async fn what_was_acknowledged_at_a_kill_is_there_and_whole(server: &mut Server) {
    const BEFORE_THE_KILL: u32 = 40;
    let added = Arc::new(Semaphore::new(0));
    let is_over = Arc::new(AtomicBool::new(false));
    let adding = (0..8).map(|writer| {
        let client = server.client();
        let added = Arc::clone(&added);
        let is_over = Arc::clone(&is_over);
        tokio::spawn(async move {
            let mut acknowledged = Vec::new();
            for number in 0..10_000 {
                if is_over.load(Ordering::Relaxed) {
                    break;
                }
                let title = format!("{writer} {number}");
                let body = json!({"title":title,"description":title.repeat(50)}).to_string();
                let request = client.request("POST", "/api/todos").body(body);
                match Answer::try_to(request).await {
                    Ok(answer) if answer.status == 201 => {
                        acknowledged.push(title);
                        added.add_permits(1);
                    }
                    _ => break,
                }
            }
            acknowledged
        })
    });
    let adding: Vec<_> = adding.collect();
    let enough = added.acquire_many(BEFORE_THE_KILL);
    let enough = tokio::time::timeout(Duration::from_secs(60), enough).await;
    enough
        .expect("too few todos are acknowledged")
        .unwrap()
        .forget();
    is_over.store(true, Ordering::Relaxed);
    server.restart_in_place();
    // A request may have reached the new server, so the list is read after the last answer.
    let acknowledged: Vec<_> = future::join_all(adding).await;
    let client = server.client();
    let mut stored = std::collections::HashSet::new();
    let mut cursor = String::new();
    loop {
        let answer = client
            .get(&format!("/api/todos?limit=1000{cursor}"))
            .await
            .with_status(200);
        let page = answer.json();
        for todo in page["todos"].as_array().unwrap() {
            let title = todo["title"].as_str().unwrap();
            assert_eq!(todo["description"], title.repeat(50));
            stored.insert(title.to_owned());
        }
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let mut count = 0;
    for titles in acknowledged {
        for title in titles.unwrap() {
            assert!(stored.contains(&title), "{title} is lost");
            count += 1;
        }
    }
    assert!(count > 0);
    // The search finds the todos too, so the text index is complete.
    assert_eq!(
        titles(&client, "?text=0+0")
            .await
            .contains(&"0 0".to_owned()),
        stored.contains("0 0")
    );
}

async fn a_stale_change_is_refused(server: &mut Server) {
    let client = server.client();
    let (path, tag) = make(&client, json!({"title":"draft"})).await;
    let mine = json!({"title":"mine"});
    send_if(&client, "PUT", &path, &tag, mine)
        .await
        .with_status(200);
    for method in ["PUT", "PATCH"] {
        send_if(&client, method, &path, &tag, json!({"title":"theirs"}))
            .await
            .problem_saying(412, "precondition-failed", &["ETag"]);
    }
    let remove = client.request("DELETE", &path).header("if-match", &tag);
    Answer::to(remove).await.problem(412, "precondition-failed");
    assert_eq!(titles(&client, "").await, ["mine"]);
}

async fn if_match_takes_lists_and_stars(server: &mut Server) {
    let client = server.client();
    let (path, first) = make(&client, json!({"title":"a"})).await;
    let list = format!("\"other\", {first}");
    let answer = send_if(&client, "PATCH", &path, &list, json!({"title":"b"})).await;
    let second = answer.with_status(200).header("etag").unwrap().to_owned();
    send_if(&client, "PATCH", &path, "*", json!({"title":"c"}))
        .await
        .with_status(200);
    for stale in [
        second.as_str(),
        "",
        "\"\"",
        "\"1\"",
        "W/\"2026-11-20T13:00:00Z\"",
    ] {
        send_if(&client, "PATCH", &path, stale, json!({"title":"d"}))
            .await
            .problem(412, "precondition-failed");
    }
    for malformed in ["a", "\"a", "*, \"a\""] {
        send_if(&client, "PATCH", &path, malformed, json!({"title":"d"}))
            .await
            .problem_saying(400, "invalid-parameter", &["If-Match"]);
    }
    let request = client.request("PATCH", &path).header("if-none-match", "*");
    Answer::to(request.body(r#"{"title":"d"}"#))
        .await
        .problem(400, "invalid-parameter");
    assert_eq!(titles(&client, "").await, ["c"]);
}

async fn a_known_version_is_not_sent_again(server: &mut Server) {
    let client = server.client();
    let (path, tag) = make(&client, json!({"title":"a"})).await;
    for known in [
        tag.clone(),
        format!("W/{tag}"),
        format!("\"x\", {tag}"),
        "*".to_owned(),
    ] {
        let request = client.request("GET", &path).header("if-none-match", &known);
        let answer = Answer::to(request).await.with_status(304);
        assert!(answer.body.is_empty());
        assert_eq!(answer.header("etag"), Some(tag.as_str()));
    }
    let request = client
        .request("GET", &path)
        .header("if-none-match", "\"x\"");
    Answer::to(request).await.with_status(200);
}

async fn lists_are_filtered_ordered_and_paged(server: &mut Server) {
    let client = server.client();
    for (title, deadline, status) in [
        ("no deadline", None, "pending"),
        ("late", Some("2026-12-24T00:00:00Z"), "pending"),
        ("early", Some("2026-12-01T00:00:00Z"), "completed"),
        ("middle", Some("2026-12-10T00:00:00Z"), "in progress"),
    ] {
        make(
            &client,
            json!({"title":title,"deadline":deadline,"status":status}),
        )
        .await;
    }
    for (query, expected) in [
        ("", &["early", "middle", "late", "no deadline"][..]),
        ("?status=in%20progress", &["middle"]),
        ("?status=in+progress", &["middle"]),
        ("?deadlineAfter=2026-12-10T00:00:00Z", &["middle", "late"]),
        ("?deadlineBefore=2026-12-10T00:00:00Z", &["early"]),
        (
            "?deadlineAfter=2026-12-10T01:00:00+01:00&deadlineBefore=2026-12-24T00:00",
            &["middle"],
        ),
        ("?text=DEAD", &["no deadline"]),
        ("?text=", &["early", "middle", "late", "no deadline"]),
        ("?status=pending&text=e", &["late", "no deadline"]),
    ] {
        assert_eq!(titles(&client, query).await, expected, "{query}");
    }
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let answer = client
            .get(&format!("/api/todos?limit=1{cursor}"))
            .await
            .with_status(200);
        let page = answer.json();
        assert_eq!(page.as_object().unwrap().len(), 2);
        assert_eq!(page["todos"].as_array().unwrap().len(), 1);
        seen.push(page["todos"][0]["title"].as_str().unwrap().to_owned());
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, ["early", "middle", "late", "no deadline"]);
    for (query, words) in [
        ("?status=done", "in progress"),
        ("?deadlineBefore=tomorrow", "RFC 3339"),
        ("?limit=0", "1000"),
        ("?limit=1001", "1000"),
        ("?cursor=x", "cursor"),
        ("?colour=red", "deadlineAfter"),
        ("?text=%00", "NUL"),
    ] {
        let answer = client.get(&format!("/api/todos{query}")).await;
        answer.problem_saying(400, "invalid-parameter", &[words]);
    }
    let long = "x".repeat(201);
    let answer = client.get(&format!("/api/todos?text={long}")).await;
    answer.problem(400, "invalid-parameter");
}

async fn a_cursor_belongs_to_its_filter(server: &mut Server) {
    let client = server.client();
    for title in ["a", "b", "c"] {
        make(&client, json!({"title":title})).await;
    }
    let answer = client.get("/api/todos?limit=1&status=pending").await;
    let next = answer.json()["next"].as_str().unwrap().to_owned();
    let query = format!("?limit=2&status=pending&cursor={next}");
    assert_eq!(titles(&client, &query).await, ["b", "c"]);
    for other in ["", "&status=completed", "&status=pending&text=b"] {
        let answer = client
            .get(&format!("/api/todos?cursor={next}{other}"))
            .await;
        answer.problem(400, "invalid-parameter");
    }
}

async fn unknown_ids_are_404(server: &mut Server) {
    let client = server.client();
    make(&client, json!({"title":"a"})).await;
    for id in [
        "7",
        "x%00y",
        "0190b36e-7a00-7000-8000-000000000000",
        "..%2F..%2Fetc",
        "%27%20OR%201=1",
    ] {
        let path = format!("/api/todos/{id}");
        client.get(&path).await.problem(404, "unknown-todo");
        for method in ["PUT", "PATCH"] {
            let answer = send(&client, method, &path, json!({"title":"b"})).await;
            answer.problem(404, "unknown-todo");
        }
        let answer = Answer::to(client.request("DELETE", &path)).await;
        answer.problem(404, "unknown-todo");
    }
    assert_eq!(titles(&client, "").await, ["a"]);
}

async fn a_merge_follows_rfc_7396(server: &mut Server) {
    let client = server.client();
    let whole =
        json!({"title":"a","description":"b","deadline":"2026-12-01T00:00Z","status":"completed"});
    let (path, _) = make(&client, whole).await;
    let request = client.request("PATCH", &path);
    let request = request.header(
        "content-type",
        "application/merge-patch+json; charset=utf-8",
    );
    let answer = Answer::to(request.body(r#"{"deadline":null,"description":null}"#)).await;
    let todo = answer.with_status(200).json();
    assert_eq!(todo["title"], "a");
    assert_eq!(
        (&todo["deadline"], &todo["description"]),
        (&Value::Null, &json!(""))
    );
    assert_eq!(todo["status"], "completed");
    send(&client, "PATCH", &path, json!({"title":null}))
        .await
        .problem_saying(422, "invalid-todo", &["title"]);
    send(&client, "PATCH", &path, json!({}))
        .await
        .with_status(200);
    assert_eq!(client.get(&path).await.json()["title"], "a");
}

async fn methods_are_named(server: &mut Server) {
    let client = server.client();
    let answer = Answer::to(client.request("DELETE", "/api/todos")).await;
    answer.problem(405, "method-not-allowed");
    assert_eq!(answer.header("allow"), Some("GET,HEAD,POST"));
    let answer = Answer::to(client.request("POST", "/api/todos/1")).await;
    answer.problem(405, "method-not-allowed");
    assert_eq!(answer.header("allow"), Some("GET,HEAD,PUT,PATCH,DELETE"));
}

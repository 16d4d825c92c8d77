//! The requests of clients of the older todo app, on each backend.

use std::sync::Arc;

use fieldstation::storage::app_database::AppDatabase;
use fieldstation::storage::data_directory::DataDirectory;
use serde_json::{Value, json};

use crate::support::{Answer, Client, Server};

/// A separate test of each behaviour on each backend.
macro_rules! suite {
    ($($behaviour:ident),* $(,)?) => {
        mod sqlite {
            $(
                #[tokio::test]
                async fn $behaviour() {
                    let server = crate::support::Server::start();
                    super::$behaviour(&server).await;
                }
            )*
        }

        #[cfg(feature = "cloud")]
        mod postgres {
            $(
                #[tokio::test]
                async fn $behaviour() {
                    let database = crate::support::Database::new();
                    let server = crate::support::Server::with_args(&["--todos", &database.url()]);
                    super::$behaviour(&server).await;
                }
            )*
        }
    };
}

suite![
    the_calls_of_the_older_readme_work,
    an_unknown_id_is_a_200_that_says_so,
    a_free_status_becomes_one_of_ours,
    what_is_not_accepted_is_refused_and_named,
    a_list_of_any_length_is_whole_and_in_order,
    a_number_leads_to_a_todo_as_its_id_does,
];

/// Sends a form.
async fn form(client: &Client, method: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.extend_pairs(fields);
    let request = client.request(method, path);
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    Answer::to(request.body(form.finish())).await
}

/// Requests a single todo.
async fn ask(client: &Client, body: Value) -> Answer {
    let request = client.request("GET", "/request");
    let request = request.header("content-type", "application/json");
    Answer::to(request.body(body.to_string())).await
}

async fn added(client: &Client, title: &str) -> i64 {
    let answer = form(client, "POST", "/add", &[("title", title)]).await;
    answer.with_status(200).json()["res"]["id"]
        .as_i64()
        .unwrap()
}

/// The body as text, because old clients may depend on the order of members.
fn exactly(answer: &Answer, expected: &Value) {
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.text(), expected.to_string());
}

fn no_todo() -> Value {
    json!({"error": "No todo found", "status": 404, "res": null})
}

async fn the_calls_of_the_older_readme_work(server: &Server) {
    let client = server.client();
    exactly(
        &client.get("/request").await,
        &json!({"res": [], "status": 200, "msg": "Successfully got all todo actions", "number_of_todos": 0}),
    );
    let fields = [
        ("title", "Water"),
        ("description", "the plants"),
        ("deadline", "2025-03-01 10:00:00"),
        ("status", "in progress"),
        ("submit", "Add"),
    ];
    let answer = form(&client, "POST", "/add", &fields).await;
    let id = answer.json()["res"]["id"].as_i64().unwrap();
    let todo = json!({
        "id": id,
        "title": "Water",
        "description": "the plants",
        "deadline": "Sat, 01 Mar 2025 10:00:00 GMT",
        "status": "in progress",
    });
    let said = |todo: &Value, message: &str| json!({"res": todo, "status": 200, "msg": message});
    exactly(&answer, &said(&todo, "Successfully added todo action"));
    exactly(
        &client.get("/request").await,
        &json!({
            "res": [todo],
            "status": 200,
            "msg": "Successfully got all todo actions",
            "number_of_todos": 1,
        }),
    );
    for sent in [json!({"id": id}), json!({"id": id.to_string(), "more": 1})] {
        let answer = ask(&client, sent).await;
        exactly(&answer, &said(&todo, "Successfully got todo action"));
    }

    let number = id.to_string();
    let fields = [
        ("id", number.as_str()),
        ("title", "Feed"),
        ("deadline", ""),
        ("status", "Done"),
    ];
    let changed = json!({
        "id": id, "title": "Feed", "description": "the plants", "deadline": null, "status": "completed",
    });
    let answer = form(&client, "PUT", "/request", &fields).await;
    exactly(&answer, &said(&changed, "Successfully added todo action"));

    let path = format!("/request/{id}");
    let answer = Answer::to(client.request("DELETE", &path)).await;
    exactly(&answer, &said(&changed, "Successfully deleted todo action"));
    exactly(&ask(&client, json!({"id": id})).await, &no_todo());
    assert_eq!(client.get("/request").await.json()["number_of_todos"], 0);
}

async fn an_unknown_id_is_a_200_that_says_so(server: &Server) {
    let client = server.client();
    added(&client, "other").await;
    for id in [0, 7, -1, i64::MAX] {
        exactly(&ask(&client, json!({"id": id})).await, &no_todo());
        let number = id.to_string();
        let fields = [("id", number.as_str()), ("title", "x")];
        exactly(&form(&client, "PUT", "/request", &fields).await, &no_todo());
        let path = format!("/request/{id}");
        exactly(
            &Answer::to(client.request("DELETE", &path)).await,
            &no_todo(),
        );
    }
    for id in ["x", "7.5", "", "0190b36e-7a00-7000-8000-000000000000"] {
        let path = format!("/request/{id}");
        Answer::to(client.request("DELETE", &path))
            .await
            .with_status(404);
    }
    assert_eq!(client.get("/request").await.json()["number_of_todos"], 1);
}

async fn a_free_status_becomes_one_of_ours(server: &Server) {
    let client = server.client();
    for (text, status) in [
        ("Done", "completed"),
        ("IN-PROGRESS", "in progress"),
        ("wip", "in progress"),
        ("to do", "pending"),
        ("whatever", "pending"),
        ("", "pending"),
    ] {
        let fields = [("title", "a"), ("status", text)];
        let answer = form(&client, "POST", "/add", &fields).await;
        assert_eq!(answer.json()["res"]["status"], status, "{text}");
    }
    let answer = form(&client, "POST", "/add", &[("title", "a")]).await;
    assert_eq!(answer.json()["res"]["status"], "pending");
}

async fn what_is_not_accepted_is_refused_and_named(server: &Server) {
    let client = server.client();
    for (fields, word) in [
        (&[("description", "x")][..], "title"),
        (&[("title", " ")], "title"),
        (&[("title", "a"), ("deadline", "tomorrow")], "deadline"),
        (&[("title", "a"), ("title", "b")], "title"),
    ] {
        let answer = form(&client, "POST", "/add", fields).await;
        answer.problem_saying(422, "invalid-todo", &[word]);
    }
    for fields in [&[("title", "a")][..], &[("id", "x")], &[("id", "7.0")]] {
        let answer = form(&client, "PUT", "/request", fields).await;
        answer.problem_saying(422, "invalid-todo", &["id"]);
    }
    for body in [
        json!({}),
        json!({"id": null}),
        json!({"id": 7.5}),
        json!([7]),
    ] {
        let answer = ask(&client, body).await;
        answer.problem_saying(422, "invalid-todo", &["id"]);
    }
    let request = client
        .request("GET", "/request")
        .header("content-type", "application/json");
    let answer = Answer::to(request.body("{\"id\":")).await;
    answer.problem(400, "unreadable-body");
    // A client gets all todos for a request with a content type but without a body.
    let request = client
        .request("GET", "/request")
        .header("content-type", "application/json");
    assert_eq!(Answer::to(request).await.json()["number_of_todos"], 0);
    let request = client.request("POST", "/add").body("title=a");
    let request = request.header("content-type", "text/csv");
    Answer::to(request)
        .await
        .problem(415, "unsupported-media-type");
}

async fn a_list_of_any_length_is_whole_and_in_order(server: &Server) {
    let client = server.client();
    // More than a page, by count and by bytes.
    let long = "é\"".repeat(2_500);
    let mut expected = Vec::new();
    for number in 0..450 {
        let title = number.to_string();
        let description = if number % 2 == 0 { long.as_str() } else { "" };
        let fields = [("title", title.as_str()), ("description", description)];
        let answer = form(&client, "POST", "/add", &fields).await;
        expected.push(answer.json()["res"].clone());
    }
    let list = client.get("/request").await.with_status(200).json();
    assert_eq!(list["number_of_todos"], 450);
    assert_eq!(list["res"], Value::Array(expected));
}

async fn a_number_leads_to_a_todo_as_its_id_does(server: &Server) {
    let client = server.client();
    let number = added(&client, "Water").await;
    assert!(number >= 1 << 28);
    let by_number = format!("/api/todos/{number}");
    let todo = client.get(&by_number).await.with_status(200).json();
    let id = todo["id"].as_str().unwrap();
    assert_eq!(todo["title"], "Water");
    assert_eq!(todo.as_object().unwrap().len(), 7);
    let by_id = format!("/api/todos/{id}");
    assert_eq!(client.get(&by_id).await.json(), todo);
    let tag = client
        .get(&by_number)
        .await
        .header("etag")
        .unwrap()
        .to_owned();
    for (method, body) in [
        ("PATCH", r#"{"status":"completed"}"#),
        ("PUT", r#"{"title":"b"}"#),
    ] {
        let stale = client
            .request(method, &by_number)
            .header("if-match", "\"x\"");
        Answer::to(stale.body(body))
            .await
            .problem(412, "precondition-failed");
        let request = client.request(method, &by_number).body(body);
        Answer::to(request).await.with_status(200);
    }
    let now = client.get(&by_id).await;
    assert_ne!(now.header("etag"), Some(tag.as_str()));
    assert_eq!(now.json()["title"], "b");
    Answer::to(client.request("DELETE", &by_number))
        .await
        .with_status(204);
    for path in [&by_number, &by_id] {
        client.get(path).await.problem(404, "unknown-todo");
    }
}

#[tokio::test]
async fn a_long_list_takes_the_memory_of_a_page() {
    const TODOS: i64 = 8_000;
    let server = Server::start();
    let (directory, data) = (server.directory().clone(), server.data());
    assert_eq!(server.stop().code, Some(0));
    // 40 MB of descriptions.
    let sql = "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?1)
         INSERT INTO todos (id, title, title_folded, description, description_folded, deadline, status, created_at, updated_at)
         SELECT printf('00000000-0000-7000-8000-%012d', n), 'a', '', printf('%.*c', 5000, 'd'), '', 9223372036854775807,
             'pending', 0, 0
         FROM numbers";
    let app_database = AppDatabase::open(Arc::new(DataDirectory::open(&data).unwrap())).unwrap();
    app_database
        .write("add todos", |transaction| {
            Ok(transaction.execute(sql, [TODOS])?)
        })
        .await
        .unwrap();
    app_database.close().await;
    drop(app_database);
    let server = Server::try_in(&directory, &[]).unwrap();
    let client = server.client();
    client.get("/api/todos?limit=1").await.with_status(200);
    let before = server.memory_peak_bytes();
    let list = client.get("/request").await.with_status(200).json();
    assert_eq!(list["number_of_todos"], TODOS);
    assert_eq!(list["res"].as_array().unwrap().len() as i64, TODOS);
    let grown = (server.memory_peak_bytes() - before) >> 20;
    assert!(grown < 20, "{grown} MiB more");
}

#[tokio::test]
async fn without_compatibility_there_are_no_older_routes() {
    let server = Server::with_args(&["--compatibility", "none"]);
    let client = server.client();
    for (method, path) in [
        ("POST", "/add"),
        ("GET", "/request"),
        ("PUT", "/request"),
        ("DELETE", "/request/7"),
    ] {
        let answer = Answer::to(client.request(method, path)).await;
        answer.problem(404, "not-found");
    }
    client.get("/api/todos").await.with_status(200);
}

//! Bodies of todos: JSON and forms, accepted and refused.

use serde_json::{Value, json};

use super::list::{send, titles};
use crate::support::{Answer, Client, Server};

async fn post(
    client: &Client,
    content_type: Option<&str>,
    body: impl Into<reqwest::Body>,
) -> Answer {
    let request = client.request("POST", "/api/todos").body(body);
    Answer::to(match content_type {
        Some(content_type) => request.header("content-type", content_type),
        None => request,
    })
    .await
}

const FORM: &str = "application/x-www-form-urlencoded";

#[tokio::test]
async fn json_and_forms_make_the_same_todo() {
    let server = Server::start();
    let client = server.client();
    let multipart = "--b\r\nContent-Disposition: form-data; name=\"title\"\r\n\r\nÄ & b\r\n--b\r\n\
                     Content-Disposition: form-data; name=\"deadline\"\r\n\r\n2026-12-01T10:00\r\n--b\r\n\
                     Content-Disposition: form-data; name=\"description\"\r\n\r\none\r\ntwo\r\n--b--\r\n";
    let json = r#"{"title":"Ä & b","deadline":"2026-12-01 10:00","description":"one\r\ntwo"}"#;
    let form = "title=%C3%84+%26+b&deadline=2026-12-01T10%3A00&status=&description=one%0D%0Atwo";
    for (content_type, body) in [
        (None, json),
        (Some("application/json"), json),
        (Some("Application/JSON; charset=utf-8"), json),
        (Some(FORM), form),
        // The type from `curl -d`.
        (Some(FORM), json),
        (Some("multipart/form-data; boundary=b"), multipart),
    ] {
        let todo = post(&client, content_type, body)
            .await
            .with_status(201)
            .json();
        assert_eq!(todo["title"], "Ä & b", "{content_type:?}");
        assert_eq!(todo["deadline"], "2026-12-01T10:00:00Z");
        assert_eq!(todo["description"], "one\r\ntwo");
        assert_eq!(todo["status"], "pending");
        let path = format!("/api/todos/{}", todo["id"].as_str().unwrap());
        let request = client.request("PUT", &path).header("content-type", FORM);
        let answer = Answer::to(request.body("title=x&status=in+progress")).await;
        let replaced = answer.with_status(200).json();
        assert_eq!(
            (&replaced["title"], &replaced["status"]),
            (&json!("x"), &json!("in progress"))
        );
        assert_eq!(replaced["deadline"], Value::Null);
    }
}

#[tokio::test]
async fn what_is_wrong_is_named_and_nothing_is_stored() {
    let server = Server::start();
    let client = server.client();
    for (body, fields) in [
        (json!({}), &["title"][..]),
        (json!({"title":""}), &["title"]),
        (json!({"title":"  "}), &["title"]),
        (json!({"title":"x".repeat(201)}), &["title"]),
        (json!({"title":"a\nb"}), &["title"]),
        (json!({"title":"a\u{0}b"}), &["title"]),
        (json!({"title":7}), &["title"]),
        (json!({"title":null}), &["title"]),
        (json!({"title":["a"]}), &["title"]),
        (json!({"title":"a","status":"done"}), &["status"]),
        (json!({"title":"a","status":"Pending"}), &["status"]),
        (json!({"title":"a","status":1}), &["status"]),
        (json!({"title":"a","deadline":"tomorrow"}), &["deadline"]),
        (json!({"title":"a","deadline":""}), &["deadline"]),
        (
            json!({"title":"a","deadline":"2026-02-30T00:00:00Z"}),
            &["deadline"],
        ),
        (
            json!({"title":"a","deadline":"2026-12-01T00:00:60Z"}),
            &["deadline"],
        ),
        (json!({"title":"a","deadline":1_796_000_000}), &["deadline"]),
        (
            json!({"title":"a","description":"x".repeat(10_001)}),
            &["description"],
        ),
        (
            json!({"title":"a","description":"a\u{0}"}),
            &["description"],
        ),
        (json!({"title":"a","description":false}), &["description"]),
        (json!({"title":"a","priority":"high"}), &["priority"]),
        (json!({"title":"a","Status":"pending"}), &["Status"]),
        (json!({"title":"a","id":"1"}), &["id"]),
        (
            json!({"title":"a","createdAt":"2026-12-01T00:00:00Z"}),
            &["createdAt"],
        ),
        (
            json!({"status":"x","colour":{}}),
            &["title", "colour", "status"],
        ),
    ] {
        let answer = send(&client, "POST", "/api/todos", body.clone()).await;
        // An empty deadline in JSON is not a blank field of a form.
        let problem = answer.problem(422, "invalid-todo");
        assert_eq!(problem["field"], fields[0], "{body}");
        let errors = problem["errors"].as_array().unwrap();
        let mut named: Vec<_> = errors
            .iter()
            .map(|error| error["field"].as_str().unwrap())
            .collect();
        named.sort_unstable();
        let mut fields = fields.to_vec();
        fields.sort_unstable();
        assert_eq!(named, fields, "{body}");
    }
    for (content_type, body, status, slug) in [
        ("application/json", "", 400, "unreadable-body"),
        ("application/json", "{", 400, "unreadable-body"),
        (
            "application/json",
            "{\"title\":\"a\"} x",
            400,
            "unreadable-body",
        ),
        ("application/json", "[]", 422, "invalid-todo"),
        ("application/json", "\"a\"", 422, "invalid-todo"),
        (
            "application/json",
            "{\"title\":\"a\",\"title\":\"b\"}",
            422,
            "invalid-todo",
        ),
        (
            "application/json",
            "{\"title\":\"\\ud800\"}",
            400,
            "unreadable-body",
        ),
        (FORM, "", 422, "invalid-todo"),
        (FORM, "title=a&title=b", 422, "invalid-todo"),
        (FORM, "title=a&colour=red", 422, "invalid-todo"),
        (FORM, "title=a&deadline=tomorrow", 422, "invalid-todo"),
        (FORM, "title=%ff", 400, "unreadable-body"),
        ("multipart/form-data", "x", 400, "unreadable-body"),
        (
            "multipart/form-data; boundary=b",
            "x",
            400,
            "unreadable-body",
        ),
        ("text/plain", "title", 415, "unsupported-media-type"),
        (
            "application/merge-patch+json",
            "{\"title\":\"a\"}",
            415,
            "unsupported-media-type",
        ),
    ] {
        let answer = post(&client, Some(content_type), body).await;
        answer.problem(status, slug);
    }
    let file = "--b\r\nContent-Disposition: form-data; name=\"title\"; filename=\"a.txt\"\r\n\r\na\r\n--b--\r\n";
    post(&client, Some("multipart/form-data; boundary=b"), file)
        .await
        .problem_saying(422, "invalid-todo", &["title", "file"]);
    post(
        &client,
        Some("application/json"),
        b"{\"title\":\"\xff\"}".to_vec(),
    )
    .await
    .problem(400, "unreadable-body");
    post(&client, Some("application/json"), vec![b' '; 1 << 21])
        .await
        .problem(413, "body-too-large");
    let request = client
        .request("POST", "/api/todos")
        .header("content-encoding", "gzip");
    let answer = Answer::to(request.body("x")).await;
    answer.problem(415, "unsupported-media-type");
    assert!(titles(&client, "").await.is_empty());
}

#[tokio::test]
async fn a_part_of_a_form_has_a_head_of_bounded_length() {
    let server = Server::start();
    let client = server.client();
    for (path, method, field, fits) in [
        ("/api/todos", "POST", "title", 201),
        ("/api/devices/202", "PUT", "file", 200),
    ] {
        for (head_bytes, status) in [(8_000, fits), (20_000, 400)] {
            let more = "a".repeat(head_bytes);
            let head = format!("Content-Disposition: form-data; name=\"{field}\"\r\nX: {more}");
            let request = client
                .request(method, path)
                .header("content-type", "multipart/form-data; boundary=b")
                .body(format!("--b\r\n{head}\r\n\r\nwater\r\n--b--\r\n"));
            let answer = Answer::to(request).await;
            if status == 400 {
                answer.problem_saying(400, "unreadable-body", &["head of a part"]);
            } else {
                answer.with_status(status);
            }
        }
    }
    assert_eq!(titles(&client, "").await, ["water"]);
}

#[tokio::test]
async fn a_patch_is_json() {
    let server = Server::start();
    let client = server.client();
    let todo = send(&client, "POST", "/api/todos", json!({"title":"a"}))
        .await
        .json();
    let path = format!("/api/todos/{}", todo["id"].as_str().unwrap());
    let patch = |content_type: &'static str, body: &'static str| {
        let request = client
            .request("PATCH", &path)
            .header("content-type", content_type);
        Answer::to(request.body(body))
    };
    // `curl -X PATCH -d` sends the type of a form.
    patch(FORM, r#"{"status":"completed"}"#)
        .await
        .with_status(200);
    for (content_type, body) in [
        (FORM, "status=completed"),
        ("text/plain", "{}"),
        ("application/json-patch+json", "[]"),
        ("multipart/form-data; boundary=b", ""),
    ] {
        let answer = patch(content_type, body).await;
        answer.problem_saying(415, "unsupported-media-type", &["merge-patch"]);
    }
    let answer = patch("application/json", r#"{"colour":"red","title":""}"#).await;
    answer.problem_saying(422, "invalid-todo", &["colour", "title"]);
    assert_eq!(client.get(&path).await.json()["status"], "completed");
}

#[tokio::test]
async fn a_disk_that_fails_ends_the_server_and_keeps_what_was_acknowledged() {
    let directory = std::sync::Arc::new(tempfile::tempdir().unwrap());
    // Room for some hundred kilobytes.
    let server = Server::with_file_limit(&directory, 1024);
    let client = server.client();
    let mut acknowledged = Vec::new();
    for number in 0..10_000 {
        let title = format!("{number:05}");
        let body = json!({"title":title,"description":"x".repeat(500)}).to_string();
        let request = client.request("POST", "/api/todos").body(body);
        match Answer::try_to(request).await {
            Ok(answer) if answer.status == 201 => acknowledged.push(title),
            Ok(answer) => {
                assert!(
                    matches!(answer.status, 500 | 503 | 507),
                    "{}",
                    answer.text()
                );
                break;
            }
            Err(_) => break,
        }
    }
    let exited = server.wait();
    assert_eq!(exited.code, Some(4), "{}", exited.output);
    let server = Server::try_in(&directory, &[]).unwrap();
    let found = titles(&server.client(), "?limit=1000").await;
    assert!(found.len() >= acknowledged.len() && !acknowledged.is_empty());
    assert!(acknowledged.iter().all(|title| found.contains(title)));
}

#[tokio::test]
async fn a_very_wrong_body_is_answered_briefly() {
    let server = Server::start();
    let client = server.client();
    let fields: Vec<String> = (0..20_000).map(|at| format!("\"f{at}\":0")).collect();
    let body = format!("{{{}}}", fields.join(","));
    let answer = post(&client, Some("application/json"), body).await;
    let problem = answer.problem(422, "invalid-todo");
    assert!(problem["errors"].as_array().unwrap().len() <= 101);
    let deep = format!("{{\"title\":{}", "[".repeat(100_000));
    post(&client, Some("application/json"), deep)
        .await
        .problem(400, "unreadable-body");
}

#[tokio::test]
async fn deadlines_are_spelled_as_times_are_elsewhere() {
    let server = Server::start();
    let client = server.client();
    for (body, deadline) in [
        // An unencoded plus sign in a form is a space, and no timestamp ends in a space and an offset.
        (
            "title=a&deadline=2026-12-01T08:00+01:00",
            "2026-12-01T07:00:00Z",
        ),
        (
            "title=a+b&deadline=2026-12-01+08:00",
            "2026-12-01T08:00:00Z",
        ),
        (
            "title=a&deadline=20261201T080000%2B0100",
            "2026-12-01T07:00:00Z",
        ),
        ("title=a&deadline=2026-12-1+8:00", "2026-12-01T08:00:00Z"),
    ] {
        let todo = post(&client, Some(FORM), body).await.with_status(201);
        assert_eq!(todo.json()["deadline"], deadline, "{body}");
    }
    // Only timestamps are repaired.
    let todo = post(&client, Some(FORM), "title=2026-12-01T08:00+01:00").await;
    let todo = todo.with_status(201).json();
    assert_eq!(todo["title"], "2026-12-01T08:00 01:00");
    let answer = post(&client, Some(FORM), "title=a&deadline=2026-12-01+8:0").await;
    answer.problem_saying(422, "invalid-todo", &["deadline", "one digit"]);
}

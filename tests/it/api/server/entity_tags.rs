//! Entity tags mean the same on every route with entity tags (RFC 9110, sections 8.8.3 and 13.1).

use serde_json::json;

use crate::support::{Answer, Server};

/// The lines of `If-None-Match`, and the status of the answer. `TAG` stands for the current tag of the route, with the quotes.
const REQUESTS: &[(&[&str], u16)] = &[
    (&[], 200),
    (&["TAG"], 304),
    (&["W/TAG"], 304),
    (&[" \tTAG\t "], 304),
    (&["\"a\""], 200),
    (&["\"a\", TAG"], 304),
    (&["\"a\",TAG"], 304),
    (&["\"a\" ,\tW/TAG"], 304),
    (&["\"a\"", "TAG"], 304),
    (&["\"a\"", "W/\"b\""], 200),
    (&["\"a,b\", \"\""], 200),
    (&["*"], 304),
    (&[" * "], 304),
    // Empty elements of a list are ignored, and a list may have no other elements.
    (&[""], 200),
    (&[","], 200),
    (&[", ,TAG,,"], 304),
    (&["", "TAG"], 304),
    // The wildcard stands alone.
    (&["*", "\"a\""], 400),
    (&["\"a\"", "*"], 400),
    (&["*, TAG"], 400),
    (&["*", "*"], 400),
    (&["*,"], 400),
    // Invalid tags, and elements without a separator.
    (&["a"], 400),
    (&["\"a"], 400),
    (&["a\""], 400),
    (&["\"a\" \"b\""], 400),
    (&["\"a\"\"b\""], 400),
    (&["\"a\"b"], 400),
    (&["\"a b\""], 400),
    (&["w/TAG"], 400),
    (&["W/a"], 400),
    (&["W/ TAG"], 400),
    (&["TAG", "a"], 400),
    (&["TAG; \"a\""], 400),
];

#[tokio::test]
async fn if_none_match_means_the_same_on_every_route() {
    let server = Server::start();
    let client = server.client();
    let file = client.request("PUT", "/api/devices/202").body("content");
    Answer::to(file).await.with_status(200);
    let todo = client
        .request("POST", "/api/todos")
        .json(&json!({"title": "a"}));
    let todo = Answer::to(todo).await.with_status(201);
    let todo = todo.header("location").unwrap().to_owned();
    let mut wrong = Vec::new();
    for path in ["/api/devices/202/content", &todo, "/openapi.json"] {
        let current = client.get(path).await.with_status(200);
        let current = current.header("etag").unwrap();
        for (lines, status) in REQUESTS {
            let mut request = client.request("GET", path);
            for line in *lines {
                request = request.header("if-none-match", line.replace("TAG", current));
            }
            let answer = Answer::to(request).await;
            if answer.status != *status {
                wrong.push(format!("{path} {lines:?}: {}, not {status}", answer.status));
            } else if *status == 400 {
                let words = ["If-None-Match", "entity tags"];
                answer.problem_saying(400, "invalid-parameter", &words);
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

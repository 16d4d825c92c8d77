//! The description of the API equals the behaviour of the server: the same routes, statuses, types and fields.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::{Answer, Client, Description, Operation, Request, Server};

const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src");

/// Creates the object in the path of an operation, because the methods of the path may remove the object.
async fn path_of(client: &Client, description: &Description, operation: &Operation) -> String {
    if operation.path.starts_with("/api/todos/") {
        let request = client
            .request("POST", "/api/todos")
            .body(r#"{"title":"Water the plants"}"#);
        let todo = Answer::to(request).await.with_status(201).json();
        return format!("/api/todos/{}", todo["id"].as_str().unwrap());
    }
    if operation.path.starts_with("/api/devices/{id}") {
        client
            .send_file("202", "hello, device\n")
            .await
            .with_status(200);
    }
    let parameters = description.parameters(operation).into_iter();
    let in_path = parameters.filter(|parameter| parameter["in"] == "path");
    in_path.fold(operation.path.clone(), |path, parameter| {
        let name = parameter["name"].as_str().unwrap();
        path.replace(
            &format!("{{{name}}}"),
            parameter["example"].as_str().unwrap(),
        )
    })
}

async fn send(client: &Client, operation: &Operation, path: &str, request: &Request) -> Answer {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(&request.query);
    let path = match query.finish() {
        query if query.is_empty() => path.to_owned(),
        query => format!("{path}?{query}"),
    };
    let mut http = client.request(&operation.method, &path);
    for (name, value) in &request.headers {
        http = http.header(name, value);
    }
    if let Some((content_type, body)) = &request.body {
        http = http.header("content-type", content_type).body(body.clone());
    }
    Answer::to(http).await
}

/// Stores the objects of the examples.
async fn filled() -> (Server, Client, Description) {
    let server = Server::start();
    let client = server.client();
    let reading = r#"{"sensorId":"202","temperature":18,"timestamp":"2026-11-20T13:00:00"}"#;
    client.put(reading).await.with_status(200);
    let description = Description::of(&client).await;
    (server, client, description)
}

#[tokio::test]
async fn every_example_is_answered_as_described() {
    let (_server, client, description) = filled().await;
    let mut sent = 0;
    for operation in description.operations() {
        for request in description.example_requests(&operation) {
            let path = path_of(&client, &description, &operation).await;
            let answer = send(&client, &operation, &path, &request).await;
            let what = format!("{request:?}");
            assert!(
                answer.status < 400,
                "{} {path} {what}: {}",
                operation.method,
                answer.text()
            );
            description.assert_described(&operation, &answer, &what);
            sent += 1;
        }
    }
    assert!(sent > 100, "{sent}");
}

#[tokio::test]
async fn every_refusal_is_described() {
    let (_server, client, description) = filled().await;
    let mut statuses = BTreeSet::new();
    for operation in description.operations() {
        for request in bad_requests(&description, &operation) {
            let path = path_of(&client, &description, &operation).await;
            let answer = send(&client, &operation, &path, &request).await;
            description.assert_described(&operation, &answer, &format!("{request:?}"));
            statuses.insert(answer.status);
        }
        if operation.path.contains("{id}") {
            let id = "01a1fcfe-0000-706a-ba40-bcedbc6d0bd9";
            for request in description.example_requests(&operation) {
                let path = operation.path.replace("{id}", id);
                let answer = send(&client, &operation, &path, &request).await;
                description.assert_described(&operation, &answer, &format!("{request:?}"));
                statuses.insert(answer.status);
                Answer::to(client.request("DELETE", &format!("/api/devices/{id}"))).await;
            }
        }
    }
    let expected = [400, 404, 406, 412, 413, 415, 416, 422];
    for status in expected {
        assert!(
            statuses.contains(&status),
            "{status} was never answered: {statuses:?}"
        );
    }
}

/// The variants of an example, each with a single mistake.
fn bad_requests(description: &Description, operation: &Operation) -> Vec<Request> {
    let good = description.example_requests(operation).swap_remove(0);
    let mut requests = Vec::new();
    let mut with = |change: &dyn Fn(&mut Request)| {
        let mut request = good.clone();
        change(&mut request);
        requests.push(request);
    };
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    with(&|request| request.query.push(pair("nonsense", "1")));
    let window = [
        pair("from", "2026-11-20T14:00:00Z"),
        pair("to", "2026-11-20T13:00:00Z"),
    ];
    let parameters = description.parameters(operation);
    if parameters
        .iter()
        .any(|parameter| parameter["name"] == "from")
    {
        with(&|request| request.query.extend(window.clone()));
    }
    for parameter in parameters {
        let name = parameter["name"].as_str().unwrap();
        match parameter["in"].as_str().unwrap() {
            "query" => with(&|request| request.query.push(pair(name, "\0"))),
            "header" => {
                for value in ["nonsense", "\"nothing\"", "*", "bytes=99-"] {
                    with(&|request| request.headers.push(pair(name, value)));
                }
            }
            _ => {}
        }
    }
    with(&|request| request.headers.push(pair("accept", "image/png")));
    if let Some((_, body)) = &good.body {
        with(&|request| request.headers.push(pair("content-encoding", "nonsense")));
        with(&|request| request.body = Some(("multipart/nonsense".to_owned(), body.clone())));
        let media = operation.value["requestBody"]["content"]
            .as_object()
            .unwrap();
        for media in media.keys() {
            let media = media.replace("multipart/form-data", "multipart/form-data; boundary=x");
            for bytes in [
                &b"{"[..],
                b"",
                b"\xff",
                b"[]",
                b"{}",
                b"[{\"sensorId\":\"a\"}]",
                b"a=b",
            ] {
                with(&|request| request.body = Some((media.clone(), bytes.to_vec())));
            }
            // A file may have this size.
            if operation.path != "/api/devices/{id}" && operation.path != "/api/readings" {
                let large = vec![b' '; (1 << 20) + 1];
                with(&|request| request.body = Some((media.clone(), large.clone())));
            }
        }
    }
    requests
}

#[tokio::test]
async fn every_example_is_as_its_schema_says() {
    let server = Server::start();
    let description = Description::of(&server.client()).await;
    let mut checked = 0;
    walk(&description.0, &mut |value| {
        if !value["schema"].is_object() {
            return;
        }
        for example in description.examples(value) {
            description.assert_valid(&value["schema"], &example, &value.to_string());
            checked += 1;
        }
    });
    let schemas = description.0["components"]["schemas"].as_object().unwrap();
    for (name, schema) in schemas {
        for example in schema["examples"].as_array().into_iter().flatten() {
            description.assert_valid(schema, example, name);
            checked += 1;
        }
    }
    assert!(checked > 100, "{checked}");
}

fn walk(value: &Value, look: &mut impl FnMut(&Value)) {
    look(value);
    match value {
        Value::Object(members) => members.values().for_each(|member| walk(member, look)),
        Value::Array(items) => items.iter().for_each(|item| walk(item, look)),
        _ => {}
    }
}

#[tokio::test]
async fn every_route_of_the_sources_is_described_and_no_other() {
    let server = Server::start();
    let description = Description::of(&server.client()).await;
    let described: BTreeSet<_> = description
        .paths()
        .into_iter()
        .map(|(path, _)| path)
        .collect();
    let mut routes = BTreeSet::new();
    collect_routes(Path::new(SOURCES), &mut routes);
    assert_eq!(routes, described);
}

/// The paths in the calls of `route` in the sources. The sources add routes in no other way.
fn collect_routes(directory: &Path, routes: &mut BTreeSet<String>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect_routes(&path, routes);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let source = fs::read_to_string(&path).unwrap();
            for other in [
                ".nest(",
                ".nest_service(",
                ".route_service(",
                ".fallback_service(",
            ] {
                assert!(!source.contains(other), "{other} in {}", path.display());
            }
            for call in source.split(".route(").skip(1) {
                let literal = call.trim_start().strip_prefix('"');
                let literal = literal.unwrap_or_else(|| panic!("no literal in {}", path.display()));
                routes.insert(literal.split('"').next().unwrap().to_owned());
            }
        }
    }
}

#[tokio::test]
async fn a_path_has_the_methods_that_are_described_and_no_other() {
    let (_server, client, description) = filled().await;
    for (path, methods) in description.paths() {
        let mut allowed: BTreeSet<_> = methods.iter().map(String::as_str).collect();
        if allowed.contains("GET") {
            allowed.insert("HEAD");
        }
        let path = path.replace("{id}", "202");
        for method in ["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS"] {
            let answer = Answer::to(client.request(method, &path)).await;
            assert_eq!(
                answer.status == 405,
                !allowed.contains(method),
                "{method} {path}"
            );
            if answer.status == 405 {
                let said = answer.header("allow").unwrap().split(',').map(str::trim);
                assert_eq!(said.collect::<BTreeSet<_>>(), allowed, "{method} {path}");
            } else if answer.status == 404 && method != "HEAD" {
                assert_ne!(
                    answer.json()["type"],
                    "/problems/not-found",
                    "{method} {path}"
                );
            }
        }
        if !path.ends_with('/') {
            let below = format!("{path}/nothing/nothing/nothing");
            client.get(&below).await.problem(404, "not-found");
        }
    }
}

#[tokio::test]
async fn the_description_is_fetched_again_only_when_it_has_changed() {
    let server = Server::start();
    let client = server.client();
    let answer = client.get("/openapi.json").await.with_status(200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("no-cache"));
    assert_eq!(answer.json()["openapi"], "3.1.1");
    let tag = answer.header("etag").unwrap();
    assert!(tag.starts_with('"'), "{tag}");
    let request = client
        .request("GET", "/openapi.json")
        .header("if-none-match", tag);
    let same = Answer::to(request).await.with_status(304);
    assert_eq!(same.header("etag"), Some(tag));
    assert!(same.body.is_empty());
    let request = client
        .request("GET", "/openapi.json")
        .header("if-none-match", "\"other\"");
    Answer::to(request).await.with_status(200);
}

#[tokio::test]
async fn the_page_needs_no_script_and_names_the_server_as_its_reader_does() {
    let server = Server::start();
    let client = server.client();
    let answer = client.get("/docs").await.with_status(200);
    assert_eq!(
        answer.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    let policy = answer.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    let page = answer.text();
    for forbidden in [
        "<script",
        " style=",
        "<style",
        "javascript:",
        "{origin}",
        "https://",
    ] {
        assert!(!page.contains(forbidden), "{forbidden}");
    }
    assert!(page.contains(&format!("{}/api/temperature", server.url())));
    let request = client.request("GET", "/docs").header("host", "a'$(id)");
    let page = Answer::to(request).await.text();
    assert!(!page.contains("$(id)"));
}

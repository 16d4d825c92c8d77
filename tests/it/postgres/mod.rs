//! Todos on a real PostgreSQL: several servers, outages, access, existing tables, and imports.

mod access;
mod existing_tables;
mod migrate;
mod older_app;
mod older_oracle;
mod outage;
mod outage_log;
mod pgbouncer;
mod replicas;

use serde_json::{Value, json};

use crate::support::{Answer, Client};

/// Adds a todo. Returns the answer of the server.
pub async fn add(client: &Client, title: &str) -> Answer {
    let request = client.request("POST", "/api/todos");
    Answer::to(request.body(json!({"title":title}).to_string())).await
}

/// Changes a todo. `tag` is the expected version.
pub async fn change(client: &Client, path: &str, tag: Option<&str>, change: Value) -> Answer {
    let request = client.request("PATCH", path);
    let request = match tag {
        Some(tag) => request.header("if-match", tag),
        None => request,
    };
    Answer::to(request.body(change.to_string())).await
}

/// The titles of all todos.
pub async fn titles(client: &Client) -> Vec<String> {
    let answer = client.get("/api/todos?limit=1000").await.with_status(200);
    let list = answer.json();
    let todos = list["todos"].as_array().unwrap();
    todos
        .iter()
        .map(|todo| todo["title"].as_str().unwrap().to_owned())
        .collect()
}

//! A server with a full disk, without the data directory, or without permission to write.

mod cycles;
mod full;
mod gone;
mod read_only;

use crate::support::{Answer, Client};

/// Adds a todo. The answer has the path of the todo.
async fn add_todo(client: &Client, title: &str) -> Answer {
    let body = serde_json::json!({ "title": title }).to_string();
    Answer::to(client.request("POST", "/api/todos").body(body)).await
}

/// Sets the word of the greeting.
async fn greet(client: &Client, word: &str) -> Answer {
    Answer::to(client.request("POST", "/hello").body(word.to_owned())).await
}

/// Removes the resource at a path.
async fn remove(client: &Client, path: &str) -> Answer {
    Answer::to(client.request("DELETE", path)).await
}

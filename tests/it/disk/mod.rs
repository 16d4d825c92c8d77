//! What a server does when its disk is full, its data directory goes away, or nothing may be written.

mod cycles;
mod full;
mod gone;
mod read_only;

use crate::support::{Answer, Client};

/// One todo; its path.
async fn add_todo(client: &Client, title: &str) -> Answer {
    let body = serde_json::json!({ "title": title }).to_string();
    Answer::to(client.request("POST", "/api/todos").body(body)).await
}

/// Sets the word of the greeting.
async fn greet(client: &Client, word: &str) -> Answer {
    Answer::to(client.request("POST", "/hello").body(word.to_owned())).await
}

/// Removes whatever is at a path.
async fn remove(client: &Client, path: &str) -> Answer {
    Answer::to(client.request("DELETE", path)).await
}

//! The requests of clients to each kind of store, and how to read the stored number from an answer.

use async_trait::async_trait;

use crate::support::{Answer, Client};

/// Writes numbers in order, and reads the stored number.
#[async_trait]
pub trait Probe: Send + Sync {
    /// The member of `/health`.
    fn store(&self) -> &'static str;

    /// The number of keys for the writing clients. Each key has a single writing client. The other clients read the first key.
    fn keys(&self) -> usize;

    async fn write(&self, client: &Client, key: usize, number: u64) -> Answer;

    async fn read(&self, client: &Client, key: usize) -> Answer;

    /// The number in the answer to a read. An error describes an answer without a number, or with a part of a number.
    fn number(&self, answer: &Answer) -> Result<u64, String>;

    /// A route on a different store.
    fn other(&self) -> &'static str;
}

/// `PUT /api/temperature`, with a reading for each number.
pub struct Readings;

/// The timestamp of a number. Timestamps have the order of the numbers.
pub fn timestamp(number: u64) -> String {
    let (hour, minute, second) = (number / 3600, number / 60 % 60, number % 60);
    format!("2026-11-20T{hour:02}:{minute:02}:{second:02}Z")
}

#[async_trait]
impl Probe for Readings {
    fn store(&self) -> &'static str {
        "readings"
    }

    fn keys(&self) -> usize {
        5
    }

    async fn write(&self, client: &Client, key: usize, number: u64) -> Answer {
        let time = timestamp(number);
        let body = format!(r#"{{"sensorId":"{key}","timestamp":"{time}","temperature":{number}}}"#);
        client.put(body).await
    }

    async fn read(&self, client: &Client, key: usize) -> Answer {
        client.get(&format!("/api/sensors/{key}")).await
    }

    fn number(&self, answer: &Answer) -> Result<u64, String> {
        let text = answer.text();
        let summary: serde_json::Value =
            serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))?;
        let (latest, last) = (summary["latest"].as_u64(), summary["last"].as_str());
        match latest {
            Some(latest) if last == Some(timestamp(latest).as_str()) => Ok(latest),
            _ => Err(text),
        }
    }

    fn other(&self) -> &'static str {
        "/hello"
    }
}

/// `PUT /api/devices/{id}`, with a file of the repeated number.
pub struct Files;

const LINES: usize = 2_000;

#[async_trait]
impl Probe for Files {
    fn store(&self) -> &'static str {
        "files"
    }

    fn keys(&self) -> usize {
        5
    }

    async fn write(&self, client: &Client, key: usize, number: u64) -> Answer {
        let request = client.request("PUT", &format!("/api/devices/{key}"));
        Answer::to(request.body(format!("{number}\n").repeat(LINES))).await
    }

    async fn read(&self, client: &Client, key: usize) -> Answer {
        // A download may break off. A broken download counts as no answer.
        let request = client.request("GET", &format!("/api/devices/{key}/content"));
        match Answer::try_to(request).await {
            Ok(answer) => answer,
            Err(_) => Answer {
                status: 0,
                headers: Default::default(),
                body: Default::default(),
            },
        }
    }

    fn number(&self, answer: &Answer) -> Result<u64, String> {
        let text = answer.text();
        let first = text.lines().next().and_then(|line| line.parse().ok());
        match first {
            Some(number) if text == format!("{number}\n").repeat(LINES) => Ok(number),
            _ => Err(format!("{} bytes, the first line {first:?}", text.len())),
        }
    }

    fn other(&self) -> &'static str {
        "/api/stats"
    }
}

/// `PUT /api/todos/{id}`, with the number as the title.
pub struct Todos {
    ids: Vec<String>,
}

impl Todos {
    pub async fn add(client: &Client) -> Self {
        let mut ids = Vec::new();
        for _ in 0..5 {
            let request = client.request("POST", "/api/todos");
            let todo = Answer::to(request.body(r#"{"title":"0"}"#)).await;
            let todo = todo.with_status(201).json();
            ids.push(todo["id"].as_str().unwrap().to_owned());
        }
        Self { ids }
    }
}

#[async_trait]
impl Probe for Todos {
    fn store(&self) -> &'static str {
        "todos"
    }

    fn keys(&self) -> usize {
        self.ids.len()
    }

    async fn write(&self, client: &Client, key: usize, number: u64) -> Answer {
        let request = client.request("PUT", &format!("/api/todos/{}", self.ids[key]));
        Answer::to(request.body(format!(r#"{{"title":"{number}"}}"#))).await
    }

    async fn read(&self, client: &Client, key: usize) -> Answer {
        client.get(&format!("/api/todos/{}", self.ids[key])).await
    }

    fn number(&self, answer: &Answer) -> Result<u64, String> {
        let text = answer.text();
        let todo: serde_json::Value =
            serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))?;
        let title = todo["title"].as_str();
        title.and_then(|title| title.parse().ok()).ok_or(text)
    }

    fn other(&self) -> &'static str {
        "/api/stats"
    }
}

/// `POST /hello`, with the number as the word. The server has a single word, so a single client writes.
pub struct Greeting;

#[async_trait]
impl Probe for Greeting {
    fn store(&self) -> &'static str {
        "greeting"
    }

    fn keys(&self) -> usize {
        1
    }

    async fn write(&self, client: &Client, _key: usize, number: u64) -> Answer {
        let request = client.request("POST", "/hello");
        Answer::to(request.body(number.to_string())).await
    }

    async fn read(&self, client: &Client, _key: usize) -> Answer {
        client.get("/hello").await
    }

    fn number(&self, answer: &Answer) -> Result<u64, String> {
        let text = answer.text();
        text.parse().map_err(|_| text)
    }

    fn other(&self) -> &'static str {
        "/api/stats"
    }
}

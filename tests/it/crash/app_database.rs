//! A client that writes todos, the greeting and files, and the required state of the store afterwards.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::support::{Answer, Client, FileBytes, Random, Server};

const FILE_BYTES_MAX: usize = 120_000;

/// The stored state beside readings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Record {
    /// Titles by ids.
    todos: BTreeMap<String, String>,
    /// The greeting. `None` means no greeting so far.
    word: Option<String>,
    /// Lengths of files by device. A length identifies a file.
    files: BTreeMap<String, usize>,
}

/// A client that sends requests in order.
pub struct AppDatabaseWriter {
    random: Random,
    bytes: FileBytes,
    number: usize,
    certain: Record,
    /// The state if the server carried out the unanswered request. A todo added by this request has an empty id.
    in_flight: Option<Record>,
    acknowledged: usize,
}

impl AppDatabaseWriter {
    pub fn new(seed: u64) -> Self {
        Self {
            random: Random::new(seed),
            bytes: FileBytes::up_to(FILE_BYTES_MAX),
            number: 0,
            certain: Record::default(),
            in_flight: None,
            acknowledged: 0,
        }
    }

    /// The number of acknowledged requests.
    pub fn acknowledged(&self) -> usize {
        self.acknowledged
    }

    /// Writes until the server is gone, or until the outcome of a request is unknown.
    pub async fn write(&mut self, client: Client) {
        while self.send(&client).await {}
    }

    async fn send(&mut self, client: &Client) -> bool {
        self.number += 1;
        let mut then = self.certain.clone();
        let any_todo = self.any_todo();
        let request = match (self.random.below(6), any_todo) {
            (0, Some(id)) => {
                then.todos.remove(&id);
                client.request("DELETE", &format!("/api/todos/{id}"))
            }
            (1, Some(id)) => {
                let title = format!("changed {}", self.number);
                then.todos.insert(id.clone(), title.clone());
                let request = client.request("PATCH", &format!("/api/todos/{id}"));
                request.json(&json!({ "title": title }))
            }
            (0..=2, _) => {
                let title = format!("todo {}", self.number);
                then.todos.insert(String::new(), title.clone());
                let request = client.request("POST", "/api/todos");
                request.json(&json!({ "title": title }))
            }
            (3, _) => {
                let word = format!("word {}", self.number);
                then.word = Some(word.clone());
                client.request("POST", "/hello").body(word)
            }
            _ => {
                let device = format!("device-{}", self.random.below(4));
                let length = 1 + self.random.below(FILE_BYTES_MAX as u64) as usize;
                then.files.insert(device.clone(), length);
                let request = client.request("PUT", &format!("/api/devices/{device}"));
                request.body(self.bytes.of(length))
            }
        };
        self.in_flight = Some(then);
        // Without an answer the outcome is unknown.
        let Ok(answer) = Answer::try_to(request).await else {
            return false;
        };
        match answer.status {
            200 | 201 | 204 => {}
            503 => return false,
            _ => panic!("{}", answer.text()),
        }
        self.acknowledged += 1;
        let mut certain = self.in_flight.take().unwrap();
        if let Some(title) = certain.todos.remove("") {
            let todo = answer.json();
            certain.todos.insert(id_of(&todo), title);
        }
        self.certain = certain;
        true
    }

    fn any_todo(&mut self) -> Option<String> {
        let count = self.certain.todos.len() as u64;
        let at = (count > 0).then(|| self.random.below(count) as usize)?;
        self.certain.todos.keys().nth(at).cloned()
    }

    /// Checks that every acknowledged change is stored, with or without the unanswered request.
    pub async fn audit(&mut self, server: &Server) {
        let client = server.client();
        let found = Record {
            todos: todos(&client).await,
            word: match client.get("/hello").await.with_status(200).text() {
                word if word == "World" => None,
                word => Some(word),
            },
            files: self.files(&client).await,
        };
        let in_flight = self.in_flight.take();
        let is_in_flight = in_flight.as_ref().is_some_and(|then| is_same(&found, then));
        assert!(
            is_in_flight || found == self.certain,
            "there is {found:?}, and should be {:?}, or {in_flight:?}",
            self.certain
        );
        self.certain = found;
    }

    async fn files(&self, client: &Client) -> BTreeMap<String, usize> {
        let mut files = BTreeMap::new();
        for device in client.devices().await {
            let file = client.file(&device).await;
            assert!(
                file == self.bytes.of(file.len()),
                "the file of {device} is torn"
            );
            files.insert(device, file.len());
        }
        files
    }
}

/// Whether the found state equals the expected state. The expected state may have a todo with an unknown id.
fn is_same(found: &Record, then: &Record) -> bool {
    let titles = |kept: &Record| -> BTreeSet<String> { kept.todos.values().cloned().collect() };
    let is_known = |id: &String| id.is_empty() || found.todos.contains_key(id);
    found.word == then.word
        && found.files == then.files
        && found.todos.len() == then.todos.len()
        && titles(found) == titles(then)
        && then.todos.keys().all(is_known)
}

fn id_of(todo: &Value) -> String {
    todo["id"].as_str().unwrap().to_owned()
}

async fn todos(client: &Client) -> BTreeMap<String, String> {
    let mut todos = BTreeMap::new();
    let mut path = "/api/todos?limit=1000".to_owned();
    loop {
        let page = client.get(&path).await.with_status(200).json();
        for todo in page["todos"].as_array().unwrap() {
            todos.insert(id_of(todo), todo["title"].as_str().unwrap().to_owned());
        }
        match page["next"].as_str() {
            Some(next) => path = format!("/api/todos?limit=1000&cursor={next}"),
            None => return todos,
        }
    }
}

//! `fieldstation todo`: the task list of a server.

mod table;

use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::{Args, Subcommand};
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Request, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::client::{CallError, Client, Patience};
use super::server_url::ServerUrl;
use super::target::DEFAULT_URL;
use super::{Failure, runtime, standard_output};

/// Which server, and what to do there.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The server
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "FIELDSTATION_URL",
        default_value = DEFAULT_URL
    )]
    url: ServerUrl,

    /// Print the result as JSON
    #[arg(long, global = true)]
    json: bool,

    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List todos, by deadline
    List(ListArguments),
    /// Add a todo
    Add(AddArguments),
    /// Mark todos as completed
    Done(IdArguments),
    /// Remove todos
    Rm(IdArguments),
}

#[derive(Debug, Args)]
struct ListArguments {
    /// Only those of a status: pending, in progress, completed
    #[arg(long, value_name = "STATUS")]
    status: Option<String>,

    /// Only those with a deadline at this time or later
    #[arg(long, value_name = "TIME")]
    after: Option<String>,

    /// Only those with a deadline before this time
    #[arg(long, value_name = "TIME")]
    before: Option<String>,

    /// Only those with this in the title or the description, in whatever case
    #[arg(long, value_name = "WORDS")]
    text: Option<String>,

    /// How many at most
    #[arg(
        long,
        value_name = "N",
        default_value_t = 100,
        value_parser = clap::value_parser!(u32).range(1..=1000)
    )]
    limit: u32,
}

#[derive(Debug, Args)]
struct AddArguments {
    /// What is to be done; several words need no quotes
    #[arg(required = true, value_name = "TITLE")]
    title: Vec<String>,

    /// More about it
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,

    /// Until when, such as 2026-12-01T08:00+01:00; UTC without an offset
    #[arg(long, value_name = "TIME")]
    deadline: Option<String>,

    /// How far it is: pending, in progress, completed
    #[arg(long, value_name = "STATUS")]
    status: Option<String>,
}

#[derive(Debug, Args)]
struct IdArguments {
    /// The ids, as `fieldstation todo list` shows them
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
}

const EXAMPLES: &str = "\
Examples:
  fieldstation todo add Water the plants --deadline 2026-12-01T08:00
  fieldstation todo list --status pending --before 2026-12-24T00:00
  fieldstation todo done 019aa3f2-5f0e-7cc1-a5f1-6d1b3c1c5a52
  fieldstation todo rm 019aa3f2-5f0e-7cc1-a5f1-6d1b3c1c5a52

Exit codes: 0 done; 1 not done, or not all of it; 2 bad usage.";

/// A person waits for the answer.
const PATIENCE: Patience = Patience {
    attempts_max: 4,
    timeout: Duration::from_secs(30),
};

/// A todo as a server sends it, as far as it is shown.
#[derive(Debug, Deserialize)]
struct Todo {
    id: String,
    title: String,
    deadline: Option<String>,
    status: String,
}

#[derive(Debug, Deserialize)]
struct Page {
    todos: Vec<Todo>,
    next: Option<String>,
}

/// Does it, and prints what came of it.
pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    runtime::block_on(1, act(arguments))
}

async fn act(arguments: Arguments) -> Result<(), Failure> {
    let Arguments { url, json, action } = arguments;
    match action {
        Action::List(which) => list(Client::new(url, PATIENCE)?, &which, json).await,
        // Adding twice makes two: what was not answered is not sent again.
        Action::Add(new) => {
            add(
                Client::new(url, Patience::once(PATIENCE.timeout))?,
                new,
                json,
            )
            .await
        }
        Action::Done(which) => done(&Client::new(url, PATIENCE)?, &which.ids, json).await,
        Action::Rm(which) => remove(&Client::new(url, PATIENCE)?, &which.ids, json).await,
    }
}

async fn list(client: Client, which: &ListArguments, as_json: bool) -> Result<(), Failure> {
    let mut url = client.server().at(&["api", "todos"]);
    let filters = [
        ("status", &which.status),
        ("deadlineAfter", &which.after),
        ("deadlineBefore", &which.before),
        ("text", &which.text),
    ];
    url.query_pairs_mut()
        .append_pair("limit", &which.limit.to_string())
        .extend_pairs(
            filters
                .iter()
                .filter_map(|(name, value)| Some((name, value.as_ref()?))),
        );
    let answer = client.call(&Request::new(Method::GET, url), |_| {}).await;
    let body = answer.map_err(anyhow::Error::from)?.body;
    if as_json {
        return Ok(print_json(&body)?);
    }
    let page: Page = serde_json::from_slice(&body).context("the server sent no list of todos")?;
    standard_output::print(&table::of(&page.todos))?;
    if page.todos.is_empty() {
        eprintln!("There is nothing to be done.");
    }
    if page.next.is_some() {
        eprintln!(
            "There are more: --limit shows up to 1000, and --status, --before and --text fewer."
        );
    }
    Ok(())
}

async fn add(client: Client, new: AddArguments, as_json: bool) -> Result<(), Failure> {
    let mut todo = Map::new();
    todo.insert("title".to_owned(), new.title.join(" ").into());
    let others = [
        ("description", new.description),
        ("deadline", new.deadline),
        ("status", new.status),
    ];
    for (name, value) in others {
        if let Some(value) = value {
            todo.insert(name.to_owned(), value.into());
        }
    }
    let url = client.server().at(&["api", "todos"]);
    let request = with_json(Method::POST, url, &Value::Object(todo));
    let answer = client.call(&request, |_| {}).await;
    let body = answer.map_err(anyhow::Error::from)?.body;
    Ok(print_todos(&[body], as_json)?)
}

async fn done(client: &Client, ids: &[String], as_json: bool) -> Result<(), Failure> {
    let mut changed = Vec::new();
    let mut failure = None;
    for id in ids {
        let url = client.server().at(&["api", "todos", id]);
        let request = with_json(Method::PATCH, url, &json!({"status":"completed"}));
        match client.call(&request, |_| {}).await {
            Ok(answer) => changed.push(answer.body),
            Err(error) => note(&mut failure, id, error),
        }
    }
    print_todos(&changed, as_json)?;
    failure.map_or(Ok(()), |error| Err(error.into()))
}

async fn remove(client: &Client, ids: &[String], as_json: bool) -> Result<(), Failure> {
    let mut removed = Vec::new();
    let mut failure = None;
    for id in ids {
        let url = client.server().at(&["api", "todos", id]);
        match client
            .call(&Request::new(Method::DELETE, url), |_| {})
            .await
        {
            Ok(_) => removed.push(id),
            // The try before this one has done it, and its answer was lost.
            Err(CallError::Status {
                status: StatusCode::NOT_FOUND,
                attempts: 2..,
                ..
            }) => removed.push(id),
            Err(error) => note(&mut failure, id, error),
        }
    }
    let text = if as_json {
        format!("{:#}\n", json!({"removed":removed}))
    } else {
        removed.iter().map(|id| format!("removed {id}\n")).collect()
    };
    standard_output::print(&text)?;
    failure.map_or(Ok(()), |error| Err(error.into()))
}

/// Goes on with the others; the first that failed is what the command fails with.
fn note(failure: &mut Option<anyhow::Error>, id: &str, error: CallError) {
    match failure {
        None => *failure = Some(anyhow!(error)),
        Some(_) => eprintln!("fieldstation: {id}: {error}"),
    }
}

fn with_json(method: Method, url: reqwest::Url, body: &Value) -> Request {
    let mut request = Request::new(method, url);
    let json = HeaderValue::from_static("application/json");
    request.headers_mut().insert(CONTENT_TYPE, json);
    *request.body_mut() = Some(body.to_string().into());
    request
}

fn print_todos(bodies: &[impl AsRef<[u8]>], as_json: bool) -> anyhow::Result<()> {
    if as_json {
        return bodies.iter().try_for_each(|body| print_json(body.as_ref()));
    }
    let todos = bodies
        .iter()
        .map(|body| serde_json::from_slice(body.as_ref()))
        .collect::<Result<Vec<Todo>, _>>()
        .context("the server sent no todo")?;
    standard_output::print(&table::of(&todos))
}

fn print_json(body: &[u8]) -> anyhow::Result<()> {
    let value: Value = serde_json::from_slice(body).context("the server sent no JSON")?;
    standard_output::print(&format!("{value:#}\n"))
}

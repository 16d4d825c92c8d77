//! `fieldstation todo`: the task list of a server.

mod table;

use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::{Args, Subcommand};
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Request, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::client::{CallError, Client};
use super::retry::RetryPolicy;
use super::server_url::ServerUrl;
use super::target::DEFAULT_URL;
use super::{Failure, runtime, standard_output};

/// The arguments of `todo`.
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
    /// Only todos with this status: pending, in progress, completed
    #[arg(long, value_name = "STATUS")]
    status: Option<String>,

    /// Only todos with a deadline at this time or later
    #[arg(long, value_name = "TIME")]
    after: Option<String>,

    /// Only todos with a deadline before this time
    #[arg(long, value_name = "TIME")]
    before: Option<String>,

    /// Only todos with this text in the title or the description, in any case
    #[arg(long, value_name = "WORDS")]
    text: Option<String>,

    /// The most todos to list
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
    /// The title; several words need no quotes
    #[arg(required = true, value_name = "TITLE")]
    title: Vec<String>,

    /// A longer description
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,

    /// The deadline, such as 2026-12-01T08:00+01:00; UTC if the time has no offset
    #[arg(long, value_name = "TIME")]
    deadline: Option<String>,

    /// The status: pending, in progress, completed
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

Exit codes: 0 success; 1 the command failed, in whole or in part; 2 bad usage.";

/// Short, because a person waits for the answer.
const POLICY: RetryPolicy = RetryPolicy {
    attempts_max: 4,
    attempt_timeout: Duration::from_secs(30),
    retry_window: Duration::from_secs(45),
};

/// The fields of a todo that are shown.
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

/// Runs the action, and prints its result.
pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    runtime::block_on(1, act(arguments))
}

async fn act(arguments: Arguments) -> Result<(), Failure> {
    let Arguments { url, json, action } = arguments;
    match action {
        Action::List(which) => list(Client::new(url, POLICY)?, &which, json).await,
        // A repeated request could add the todo twice.
        Action::Add(new) => {
            add(
                Client::new(url, RetryPolicy::once(POLICY.attempt_timeout))?,
                new,
                json,
            )
            .await
        }
        Action::Done(which) => done(&Client::new(url, POLICY)?, &which.ids, json).await,
        Action::Rm(which) => remove(&Client::new(url, POLICY)?, &which.ids, json).await,
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
    let answer = client.call(&Request::new(Method::GET, url), notice).await;
    let body = answer.map_err(anyhow::Error::from)?.value;
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
    let answer = client.call(&request, notice).await;
    let body = answer.map_err(anyhow::Error::from)?.value;
    Ok(print_todos(&[body], as_json)?)
}

async fn done(client: &Client, ids: &[String], as_json: bool) -> Result<(), Failure> {
    let mut changed = Vec::new();
    let mut failure = None;
    for id in ids {
        let url = client.server().at(&["api", "todos", id]);
        let request = with_json(Method::PATCH, url, &json!({"status":"completed"}));
        match client.call(&request, notice).await {
            Ok(answer) => changed.push(answer.value),
            Err(error) => report_failure(&mut failure, id, error),
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
            .call(&Request::new(Method::DELETE, url), notice)
            .await
        {
            Ok(_) => removed.push(id),
            // An earlier attempt removed the todo, and its answer was lost.
            Err(CallError::Status {
                status: StatusCode::NOT_FOUND,
                attempts: 2..,
                ..
            }) => removed.push(id),
            Err(error) => report_failure(&mut failure, id, error),
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

/// Keeps the first error as the failure of the command, and prints the others.
fn report_failure(failure: &mut Option<anyhow::Error>, id: &str, error: CallError) {
    match failure {
        None => *failure = Some(anyhow!(error)),
        Some(_) => eprintln!("fieldstation: {id}: {error}"),
    }
}

fn notice(text: &str) {
    eprintln!("fieldstation: {text}");
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

//! The routes of an older todo app, in the formats of the older app, for clients with these formats: forms as bodies, integer ids,
//! deadlines as HTTP dates, and status 200 for a missing todo. `--compatibility none` removes the routes.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::{delete, get, post};
use bytes::Bytes;
use futures_util::{Stream, stream};
use tracing::warn;

use super::fields::{self, Entries, Value};
use super::{TodoLimits, TodoRoutes, media, new_id};
use crate::http::extract::{PathPart, shortened};
use crate::http::json::{self, Separator, write_integer, write_or_null, write_string};
use crate::http::{Problem, ProblemKind, body, date};
use crate::timestamp::Timestamp;
use crate::todos::import::{NumberedPage, NumberedTodo};
use crate::todos::{Outcome, Precondition, Todo, TodoStore, free_status};

/// The number of todos in a read.
const PAGE_TODOS: usize = 200;
/// The limit for the number of attempts to remove a todo while others change the todo.
const ATTEMPTS_MAX: usize = 5;

const ADDED: &str = "Successfully added todo action";
const GOT: &str = "Successfully got todo action";
const GOT_ALL: &str = "Successfully got all todo actions";
const DELETED: &str = "Successfully deleted todo action";

/// The routes over a store.
pub fn router(store: Arc<dyn TodoStore>, limits: TodoLimits) -> Router {
    Router::new()
        .route("/add", post(add))
        .route("/request", get(all_or_one).put(change))
        .route("/request/{id}", delete(remove))
        .with_state(Arc::new(TodoRoutes { store, limits }))
}

/// `POST /add`
async fn add(
    State(routes): State<Arc<TodoRoutes>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let entries = routes.entries(media::of_todo(&headers)?, body).await?;
    let fields = fields::parse_full(known_fields(entries))?;
    let now = Timestamp::now();
    let todo = Todo {
        id: new_id(now)?,
        title: fields.title,
        description: fields.description,
        deadline: fields.deadline,
        status: fields.status,
        created_at: now,
        updated_at: now,
    };
    routes.store.create(&todo).await?;
    let number = routes.store.number_of(todo.id).await?;
    match number {
        Some(number) => Ok(success(&NumberedTodo { number, todo }, ADDED)),
        // Another client has removed the todo already.
        None => Ok(no_todo()),
    }
}

/// `GET /request`: all todos, or the todo named in a JSON body.
async fn all_or_one(
    State(routes): State<Arc<TodoRoutes>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let bytes = body::read(body, routes.limits.body_bytes_max, routes.limits.body_idle).await?;
    if !media::is_json(&headers) || bytes.trim_ascii().is_empty() {
        return all(Arc::clone(&routes.store)).await;
    }
    let number = named(&bytes)?;
    Ok(match numbered(&*routes.store, number).await? {
        Some(todo) => success(&todo, GOT),
        None => no_todo(),
    })
}

/// `PUT /request`
async fn change(
    State(routes): State<Arc<TodoRoutes>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let mut entries = routes.entries(media::of_todo(&headers)?, body).await?;
    let id = entries.iter().position(|(name, _)| name == "id");
    let number = match id.map(|at| entries.remove(at).1) {
        Some(Value::Text(text)) => number(&text).ok_or_else(|| {
            fields::refused_field("id", format!("`{}` is not an integer", shortened(&text)))
        })?,
        Some(Value::Other("a number")) => {
            return Err(fields::refused_field(
                "id",
                "is a number of JSON; send a form, or the id in quotes".to_owned(),
            ));
        }
        _ => return Err(fields::refused_field("id", "is missing".to_owned())),
    };
    let change = fields::parse_partial(known_fields(entries))?;
    let Some(id) = routes.store.id_of(number).await? else {
        return Ok(no_todo());
    };
    let now = Timestamp::now();
    let changed = routes.store.change(id, &Precondition::Any, &change, now);
    Ok(match changed.await? {
        Outcome::Done(todo) => success(&NumberedTodo { number, todo }, ADDED),
        Outcome::Missing | Outcome::Conflict(_) => no_todo(),
    })
}

/// `DELETE /request/{id}`
async fn remove(
    State(routes): State<Arc<TodoRoutes>>,
    PathPart(id): PathPart,
) -> Result<Response, Problem> {
    let Some(number) = number(&id) else {
        return Err(super::unknown(&id));
    };
    for _ in 0..ATTEMPTS_MAX {
        let Some(todo) = numbered(&*routes.store, number).await? else {
            return Ok(no_todo());
        };
        // The answer has the removed version.
        let seen = Precondition::Versions(vec![todo.todo.updated_at]);
        match routes.store.remove(todo.todo.id, &seen).await? {
            Outcome::Done(()) => return Ok(success(&todo, DELETED)),
            Outcome::Missing => return Ok(no_todo()),
            Outcome::Conflict(_) => {}
        }
    }
    let detail =
        "other requests changed the todo during every attempt to remove it; send this again";
    Err(Problem::new(ProblemKind::Overloaded, detail).retry_after_seconds(1))
}

async fn numbered(
    store: &dyn TodoStore,
    number: i64,
) -> Result<Option<NumberedTodo>, crate::error::StoreError> {
    let Some(id) = store.id_of(number).await? else {
        return Ok(None);
    };
    let todo = store.get(id).await?;
    Ok(todo.map(|todo| NumberedTodo { number, todo }))
}

/// The fields in the form for `/api/todos`. Any text is a status; unknown fields are ignored.
fn known_fields(entries: Entries) -> Entries {
    let known = entries
        .into_iter()
        .filter(|(name, _)| fields::KNOWN.contains(&name.as_str()));
    known
        .map(|(name, value)| match (name.as_str(), value) {
            ("status", Value::Text(text)) => {
                (name, Value::Text(free_status(&text).as_str().to_owned()))
            }
            (_, value) => (name, value),
        })
        .collect()
}

/// The id in `{"id":7}`.
fn named(body: &[u8]) -> Result<i64, Problem> {
    let value: serde_json::Value = serde_json::from_slice(body).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        Problem::new(
            ProblemKind::UnreadableBody,
            format!("the body is not JSON: see line {line}, column {column}"),
        )
        .with_source(error)
    })?;
    let id = match &value["id"] {
        serde_json::Value::Number(number) => number.as_i64(),
        serde_json::Value::String(text) => number(text),
        _ => None,
    };
    id.ok_or_else(|| {
        fields::refused_field(
            "id",
            "is no integer; send {\"id\":7}, or no body for all todos".to_owned(),
        )
    })
}

/// The number in a path or a form.
pub(super) fn number(text: &str) -> Option<i64> {
    let number: i64 = text.trim().parse().ok()?;
    // `+7` and `007` are not numbers of todos.
    (number.to_string() == text.trim()).then_some(number)
}

/// `{"res":{…},"status":200,"msg":…}`
fn success(todo: &NumberedTodo, message: &str) -> Response {
    let mut out = Vec::with_capacity(256 + todo.todo.description.as_str().len());
    out.extend_from_slice(b"{\"res\":");
    write_todo(&mut out, todo);
    out.extend_from_slice(b",\"status\":200,\"msg\":");
    write_string(&mut out, message);
    out.push(b'}');
    json::answer(out)
}

/// The answer of the older app for a missing todo.
fn no_todo() -> Response {
    json::answer("{\"error\":\"No todo found\",\"status\":404,\"res\":null}")
}

/// `{"res":[…],"status":200,"msg":…,"number_of_todos":n}`, in the order of the numbers, a page in memory at a time.
async fn all(store: Arc<dyn TodoStore>) -> Result<Response, Problem> {
    let first = store.by_number(i64::MIN, PAGE_TODOS).await?;
    let mut listing = Listing {
        store,
        count: 0,
        separator: Separator::default(),
        ready: VecDeque::new(),
        next: None,
    };
    listing.take(&first);
    Ok(json::answer(Body::from_stream(pieces(listing))))
}

/// The progress of a list.
struct Listing {
    store: Arc<dyn TodoStore>,
    count: u64,
    separator: Separator,
    ready: VecDeque<Bytes>,
    /// The first number of the next page; `None` after the last page.
    next: Option<i64>,
}

fn pieces(listing: Listing) -> impl Stream<Item = io::Result<Bytes>> {
    stream::try_unfold(listing, async |mut listing| {
        if listing.ready.is_empty()
            && let Some(from) = listing.next.take()
        {
            let page = listing.store.by_number(from, PAGE_TODOS).await;
            let page = page.map_err(|error| {
                warn!(%error, "a list of todos is cut off");
                io::Error::other(error)
            })?;
            listing.take(&page);
        }
        Ok(listing.ready.pop_front().map(|piece| (piece, listing)))
    })
}

impl Listing {
    fn take(&mut self, page: &NumberedPage) {
        let mut out = Vec::with_capacity(64 + page.items.len() * 256);
        if self.count == 0 {
            out.extend_from_slice(b"{\"res\":[");
        }
        for todo in &page.items {
            self.separator.write(&mut out);
            write_todo(&mut out, todo);
            self.count += 1;
        }
        self.next = page.next();
        if self.next.is_none() {
            out.extend_from_slice(b"],\"status\":200,\"msg\":");
            write_string(&mut out, GOT_ALL);
            out.extend_from_slice(b",\"number_of_todos\":");
            write_integer(&mut out, self.count);
            out.push(b'}');
        }
        self.ready.push_back(Bytes::from(out));
    }
}

fn write_todo(out: &mut Vec<u8>, numbered: &NumberedTodo) {
    let todo = &numbered.todo;
    out.extend_from_slice(b"{\"id\":");
    out.extend_from_slice(numbered.number.to_string().as_bytes());
    out.extend_from_slice(b",\"title\":");
    write_string(out, todo.title.as_str());
    out.extend_from_slice(b",\"description\":");
    write_string(out, todo.description.as_str());
    out.extend_from_slice(b",\"deadline\":");
    let deadline = todo.deadline.map(date::format);
    write_or_null(out, deadline.as_deref(), write_string);
    out.extend_from_slice(b",\"status\":");
    write_string(out, todo.status.as_str());
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_one_spelling() {
        assert_eq!(number("7"), Some(7));
        assert_eq!(number(" -7 "), Some(-7));
        for other in [
            "",
            "+7",
            "007",
            "7.0",
            "0190b36e-7a00-7000-8000-000000000000",
            "9223372036854775808",
        ] {
            assert_eq!(number(other), None, "{other}");
        }
    }
}

//! The routes of todos.

mod conditions;
mod fields;
mod media;
pub mod older;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::{Change, Filter, Outcome, Todo, TodoId, TodoStore, folded};
use crate::http::extract::{PathPart, Query, RawQuery, shortened};
use crate::http::{Page, Problem, ProblemKind, body, json};
use crate::timestamp::Timestamp;
use media::Format;

/// The most characters of the parameter `text`.
const TEXT_CHARACTERS_MAX: usize = 200;

/// The limits of requests.
#[derive(Clone, Copy, Debug)]
pub struct TodoLimits {
    /// The largest body, in bytes.
    pub body_bytes_max: usize,
    /// How long a client may take to send the next piece of a body.
    pub body_idle: Duration,
}

struct TodoRoutes {
    store: Arc<dyn TodoStore>,
    limits: TodoLimits,
}

/// The routes over a store.
pub fn router(store: Arc<dyn TodoStore>, limits: TodoLimits) -> Router {
    let todo = get(get_todo).put(replace).patch(patch).delete(remove);
    Router::new()
        .route("/api/todos", get(list).post(create))
        .route("/api/todos/{id}", todo)
        .with_state(Arc::new(TodoRoutes { store, limits }))
}

/// Todos in order, a page at a time.
async fn list(State(routes): State<Arc<TodoRoutes>>, query: RawQuery) -> Result<Response, Problem> {
    let query = query.parse(&[
        "status",
        "deadlineAfter",
        "deadlineBefore",
        "text",
        "limit",
        "cursor",
    ])?;
    let page = Page::from_query(&query)?;
    let filter = filter(&query)?;
    let after = page.start(wire::TODOS, |cursor| wire::read_cursor(cursor, &filter))?;
    let found = routes
        .store
        .list(&filter, after.as_ref(), page.limit)
        .await?;
    Ok(json::answer(wire::list(&found, &filter)))
}

fn filter(query: &Query) -> Result<Filter, Problem> {
    let text = query.get("text").filter(|text| !text.is_empty());
    if let Some(text) = text {
        if text.chars().count() > TEXT_CHARACTERS_MAX {
            return Err(Problem::parameter(
                "text",
                format!("has more than {TEXT_CHARACTERS_MAX} characters"),
            ));
        }
        if text.contains('\0') {
            return Err(Problem::parameter("text", "has a NUL in it"));
        }
    }
    Ok(Filter {
        status: query.parsed("status")?,
        deadline_from: query.time("deadlineAfter")?,
        deadline_to: query.time("deadlineBefore")?,
        text: text.map(folded),
    })
}

/// Adds a todo.
async fn create(
    State(routes): State<Arc<TodoRoutes>>,
    query: RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    query.parse(&[])?;
    let entries = routes.entries(media::of_todo(&headers)?, body).await?;
    let fields = fields::parse_full(entries)?;
    let now = Timestamp::now();
    let id = new_id(now)?;
    let todo = Todo {
        id,
        title: fields.title,
        description: fields.description,
        deadline: fields.deadline,
        status: fields.status,
        created_at: now,
        updated_at: now,
    };
    routes.store.create(&todo).await?;
    let location = HeaderValue::try_from(format!("/api/todos/{id}")).map_err(|error| {
        Problem::new(ProblemKind::Internal, "the id is not text").with_source(error)
    })?;
    let mut response = answer(&todo);
    *response.status_mut() = StatusCode::CREATED;
    response.headers_mut().insert(header::LOCATION, location);
    Ok(response)
}

/// One todo.
async fn get_todo(
    State(routes): State<Arc<TodoRoutes>>,
    PathPart(id): PathPart,
    query: RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    query.parse(&[])?;
    let found = routes.store.get(routes.id(&id).await?).await?;
    let todo = found.ok_or_else(|| unknown(&id))?;
    if conditions::is_known(&headers, todo.updated_at)? {
        let tag = [(header::ETAG, conditions::tag(todo.updated_at))];
        return Ok((StatusCode::NOT_MODIFIED, tag).into_response());
    }
    Ok(answer(&todo))
}

/// Replaces a todo. A field that is not sent gets the default of a new todo.
async fn replace(
    State(routes): State<Arc<TodoRoutes>>,
    PathPart(id): PathPart,
    query: RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    query.parse(&[])?;
    let entries = routes.entries(media::of_todo(&headers)?, body).await?;
    let fields = fields::parse_full(entries)?;
    let change = Change {
        title: Some(fields.title),
        description: Some(fields.description),
        deadline: Some(fields.deadline),
        status: Some(fields.status),
    };
    routes.change(&id, &headers, &change).await
}

/// Changes the fields that are sent (RFC 7396).
async fn patch(
    State(routes): State<Arc<TodoRoutes>>,
    PathPart(id): PathPart,
    query: RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    query.parse(&[])?;
    let entries = routes.entries(media::of_patch(&headers)?, body).await?;
    let change = fields::parse_partial(entries)?;
    routes.change(&id, &headers, &change).await
}

/// Removes a todo.
async fn remove(
    State(routes): State<Arc<TodoRoutes>>,
    PathPart(id): PathPart,
    query: RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    query.parse(&[])?;
    let precondition = conditions::precondition(&headers)?;
    let todo = routes.id(&id).await?;
    match routes.store.remove(todo, &precondition).await? {
        Outcome::Done(()) => Ok(StatusCode::NO_CONTENT.into_response()),
        Outcome::Missing => Err(unknown(&id)),
        Outcome::Conflict(version) => Err(conflict(version)),
    }
}

impl TodoRoutes {
    /// The id in a path. The path may also have the number of a todo from an older app.
    async fn id(&self, text: &str) -> Result<TodoId, Problem> {
        if let Some(number) = older::number(text) {
            let id = self.store.id_of(number).await?;
            return id.ok_or_else(|| unknown(text));
        }
        // A text that is not an id names no todo.
        text.parse().map_err(|_| unknown(text))
    }

    /// The fields of a body, in the order of the body.
    async fn entries(&self, format: Format, body: Body) -> Result<fields::Entries, Problem> {
        let bytes = body::read(body, self.limits.body_bytes_max, self.limits.body_idle).await?;
        media::entries(format, bytes)
    }

    async fn change(
        &self,
        id: &str,
        headers: &HeaderMap,
        change: &Change,
    ) -> Result<Response, Problem> {
        let precondition = conditions::precondition(headers)?;
        let todo = self.id(id).await?;
        let now = Timestamp::now();
        match self.store.change(todo, &precondition, change, now).await? {
            Outcome::Done(todo) => Ok(answer(&todo)),
            Outcome::Missing => Err(unknown(id)),
            Outcome::Conflict(version) => Err(conflict(version)),
        }
    }
}

/// The answer with a todo and its entity tag.
fn answer(todo: &Todo) -> Response {
    let mut out = Vec::with_capacity(256 + todo.description.as_str().len());
    wire::write_todo(&mut out, todo);
    let mut response = json::answer(out);
    let headers = response.headers_mut();
    headers.insert(header::ETAG, conditions::tag(todo.updated_at));
    response
}

fn new_id(now: Timestamp) -> Result<TodoId, Problem> {
    Ok(TodoId::generate(now)?)
}

fn unknown(id: &str) -> Problem {
    Problem::new(
        ProblemKind::UnknownTodo,
        format!("there is no todo with the id {}", shortened(id)),
    )
}

fn conflict(version: Timestamp) -> Problem {
    Problem::new(
        ProblemKind::PreconditionFailed,
        format!(
            "the todo was changed at {version}, and If-Match names another version: read it again, and send the change \
             with its new ETag"
        ),
    )
}

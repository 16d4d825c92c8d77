//! Todos: the words of the domain, the promise every backend keeps, the routes, the backends.

pub mod http;
mod manifest;
mod model;
#[cfg(feature = "cloud")]
mod postgres;
mod row;
mod sqlite;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;

pub use model::{
    Change, DESCRIPTION_CHARACTERS_MAX, Description, Filter, Place, Precondition, Status,
    StatusError, TITLE_CHARACTERS_MAX, TextError, Title, Todo, TodoId, TodoIdError, TodoPage,
    folded,
};

use crate::backend_url::BackendUrl;
use crate::error::{StoreError, StoreErrorKind};
use crate::station::StationDatabase;
use crate::timestamp::Timestamp;

/// The file that says where PostgreSQL is, when no URL does, in the working directory.
pub const MANIFEST: &str = "manifest.json";

/// What became of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome<T> {
    /// It was made.
    Done(T),
    /// There is no such todo.
    Missing,
    /// The todo is another version than the change was meant for: this one, last changed then. Nothing was done.
    Conflict(Timestamp),
}

/// Where todos live.
///
/// What every backend promises, and the conformance suite checks:
/// * A change that returned `Ok` is durable and is seen by every read that starts afterwards, on every replica.
/// * A change is made whole or not at all, and only of a version that its precondition names: of several that name the same
///   version one is made, whatever the replica.
/// * Every change makes another [`Todo::updated_at`], later than the one before, whatever the clocks say.
/// * A page begins after a place, not at a number of todos: what comes and goes meanwhile neither repeats nor hides a todo
///   that stays where it is.
/// * A change that failed with an error was not made, with one exception: after [`StoreErrorKind::Unavailable`] it may or may
///   not have been made, and reading the todo tells.
#[async_trait]
pub trait TodoStore: Send + Sync {
    /// Adds a todo. Adding the same one again changes nothing.
    async fn create(&self, todo: &Todo) -> Result<(), StoreError>;

    /// One todo, or `None` when there is none of that id.
    async fn get(&self, id: TodoId) -> Result<Option<Todo>, StoreError>;

    /// Todos in the order of their [`Place`]s, beginning after `after`, at most `limit`.
    async fn list(
        &self,
        filter: &Filter,
        after: Option<&Place>,
        limit: usize,
    ) -> Result<TodoPage, StoreError>;

    /// Changes a todo, at `now` or a moment after its last change, whichever is later.
    async fn change(
        &self,
        id: TodoId,
        precondition: &Precondition,
        change: &Change,
        now: Timestamp,
    ) -> Result<Outcome<Todo>, StoreError>;

    /// Removes a todo.
    async fn remove(
        &self,
        id: TodoId,
        precondition: &Precondition,
    ) -> Result<Outcome<()>, StoreError>;

    /// What kind of store it is, in a word.
    fn backend(&self) -> &'static str;

    /// Whether a change would be taken now. Cheap enough to be asked every second.
    async fn ready(&self) -> Result<(), StoreError>;

    /// What an operator should know of the backend although it works: each a sentence that says what to do.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }

    /// Finishes what is under way and lets go of everything. Changes are refused from then on.
    async fn close(&self) -> Result<(), StoreError>;
}

/// Opens the backend that a URL's scheme picks; without a URL, the one that a file `manifest.json` in `directory` names, and
/// the embedded one when there is no such file. Blocks until it is ready, or known to be away for the moment. `station` is
/// called only for the embedded backend.
///
/// # Errors
/// When the URL or the file is not one of ours ([`StoreErrorKind::Unsupported`]), or the backend cannot be opened.
pub fn open(
    url: Option<&BackendUrl>,
    directory: &Path,
    station: impl FnOnce() -> Result<Arc<StationDatabase>, StoreError>,
) -> Result<Arc<dyn TodoStore>, StoreError> {
    let Some(url) = url else {
        return match manifest::read(&directory.join(MANIFEST))? {
            Some(manifest) => open_manifest(&manifest),
            None => Ok(Arc::new(sqlite::SqliteTodos::new(station()?))),
        };
    };
    match (url.scheme(), url.rest()) {
        ("sqlite", "") => Ok(Arc::new(sqlite::SqliteTodos::new(station()?))),
        ("sqlite", _) => Err(StoreError::new(
            StoreErrorKind::Unsupported,
            format!(
                "todos are kept in the data directory: write sqlite: instead of {url}, and name the directory with --data"
            ),
        )),
        ("postgres" | "postgresql", _) => open_url(url),
        (scheme, _) => Err(StoreError::new(
            StoreErrorKind::Unsupported,
            format!(
                "there is no backend for todos with the scheme {scheme}; this binary knows sqlite: and postgres:"
            ),
        )),
    }
}

#[cfg(feature = "cloud")]
fn open_url(url: &BackendUrl) -> Result<Arc<dyn TodoStore>, StoreError> {
    let target = postgres::Target::from_url(url)?;
    Ok(Arc::new(postgres::PostgresTodos::open(target)?))
}

#[cfg(feature = "cloud")]
fn open_manifest(manifest: &manifest::Manifest) -> Result<Arc<dyn TodoStore>, StoreError> {
    let target = postgres::Target::from_manifest(manifest)?;
    Ok(Arc::new(postgres::PostgresTodos::open(target)?))
}

#[cfg(not(feature = "cloud"))]
fn open_url(_url: &BackendUrl) -> Result<Arc<dyn TodoStore>, StoreError> {
    Err(left_out("--todos asks for PostgreSQL"))
}

#[cfg(not(feature = "cloud"))]
fn open_manifest(_manifest: &manifest::Manifest) -> Result<Arc<dyn TodoStore>, StoreError> {
    Err(left_out(
        "manifest.json asks for PostgreSQL (--todos sqlite: keeps todos in the data directory)",
    ))
}

#[cfg(not(feature = "cloud"))]
fn left_out(who: &str) -> StoreError {
    StoreError::new(
        StoreErrorKind::Unsupported,
        format!("{who}, which this binary was built without; build it with the feature `cloud`"),
    )
}

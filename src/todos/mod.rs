//! Todos: the words of the domain, the promise every backend keeps, the routes, the backends.

mod free_status;
pub mod http;
mod manifest;
mod model;
pub mod moving;
#[cfg(feature = "cloud")]
mod postgres;
mod row;
mod sqlite;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;

pub use free_status::free_status;
pub use model::{
    Change, Cursor, DESCRIPTION_CHARACTERS_MAX, Description, Filter, Precondition, Status,
    StatusError, TITLE_CHARACTERS_MAX, TextError, Title, Todo, TodoId, TodoIdError, TodoPage,
    folded,
};

pub(crate) use sqlite::check_rows;

use crate::backend_url::BackendUrl;
#[cfg(not(feature = "cloud"))]
use crate::backend_url::feature_missing;
use crate::error::{StoreError, StoreErrorKind};
use crate::storage::app_database::AppDatabase;
use crate::timestamp::Timestamp;
use moving::{Arrivals, Arrived, HeldStore, Numbered, NumberedPage, TodoSource};

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

    /// Todos in the order of their [`Cursor`]s, beginning after `after`, at most `limit`.
    async fn list(
        &self,
        filter: &Filter,
        after: Option<&Cursor>,
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

    /// The id of the todo with a number.
    async fn id_of(&self, number: i64) -> Result<Option<TodoId>, StoreError>;

    /// The number of a todo.
    async fn number_of(&self, id: TodoId) -> Result<Option<i64>, StoreError>;

    /// Todos in the order of their numbers, beginning with the first that is `from` or more, at most `limit`.
    async fn by_number(&self, from: i64, limit: usize) -> Result<NumberedPage, StoreError>;

    /// Those of these ids that there are, in any order.
    async fn find(&self, ids: &[TodoId]) -> Result<Vec<Numbered>, StoreError>;

    /// How many todos there are.
    async fn count(&self) -> Result<u64, StoreError>;

    /// Takes in todos of another store, as [`moving`] says; tells what became of each, in their order.
    async fn take_over(&self, arrivals: &Arrivals) -> Result<Vec<Arrived>, StoreError>;

    /// What kind of store it is, in a word.
    fn backend(&self) -> &'static str;

    /// Whether a change would be taken now. Cheap enough to be asked every second.
    async fn ready(&self) -> Result<(), StoreError>;

    /// What an operator should know of the backend although it works: each a sentence that says what to do.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }

    /// Refuses every request from then on, and lets go of what only this store uses. A database that several stores share stays open.
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
    app_database: impl FnOnce() -> Result<Arc<AppDatabase>, StoreError>,
) -> Result<Arc<dyn TodoStore>, StoreError> {
    let Some(url) = url else {
        return match manifest::read(&directory.join(MANIFEST))? {
            Some(manifest) => open_manifest(&manifest),
            None => Ok(Arc::new(sqlite::SqliteTodos::new(app_database()?))),
        };
    };
    if url.scheme() == MANIFEST_SCHEME {
        return open_manifest(&named_manifest(url, directory)?);
    }
    match (url.scheme(), url.rest()) {
        ("sqlite", "") => Ok(Arc::new(sqlite::SqliteTodos::new(app_database()?))),
        ("sqlite", _) => Err(url.path_not_taken("the store of todos")),
        ("postgres" | "postgresql", _) => open_url(url),
        _ => Err(url.unknown_scheme("todos", "sqlite:, postgres: and manifest:")),
    }
}

/// Opens what todos are read from when they go somewhere else: as [`open`], and the table of the older todo app.
///
/// # Errors
/// As [`open`]; when there is no table of todos, or one of neither kind.
pub async fn open_source(
    url: &BackendUrl,
    directory: &Path,
    app_database: impl FnOnce() -> Result<Arc<AppDatabase>, StoreError>,
) -> Result<Box<dyn TodoSource>, StoreError> {
    match url.scheme() {
        "postgres" | "postgresql" => open_url_as_source(url).await,
        MANIFEST_SCHEME => {
            let manifest = named_manifest(url, directory)?;
            open_manifest_as_source(manifest).await
        }
        _ => Ok(Box::new(HeldStore {
            store: open(Some(url), directory, app_database)?,
        })),
    }
}

/// The scheme of what a file `manifest.json` says: `manifest:` for that of the working directory, `manifest:FILE` for another.
const MANIFEST_SCHEME: &str = "manifest";

fn named_manifest(url: &BackendUrl, directory: &Path) -> Result<manifest::Manifest, StoreError> {
    let path = match url.rest() {
        "" => directory.join(MANIFEST),
        path => directory.join(path),
    };
    manifest::read(&path)?.ok_or_else(|| {
        StoreError::new(
            StoreErrorKind::Unsupported,
            format!("{url} names a file that is not there: {}", path.display()),
        )
    })
}

#[cfg(feature = "cloud")]
async fn open_url_as_source(url: &BackendUrl) -> Result<Box<dyn TodoSource>, StoreError> {
    let target = postgres::PostgresUrl::from_url(url)?;
    Ok(Box::new(postgres::PostgresSource::open(&target).await?))
}

/// The key `schema` is where a server is to keep its own; the table of the older app is where its user finds it.
#[cfg(feature = "cloud")]
async fn open_manifest_as_source(
    manifest: manifest::Manifest,
) -> Result<Box<dyn TodoSource>, StoreError> {
    let manifest = manifest::Manifest {
        schema: None,
        ..manifest
    };
    let target = postgres::PostgresUrl::from_manifest(&manifest)?;
    Ok(Box::new(postgres::PostgresSource::open(&target).await?))
}

#[cfg(not(feature = "cloud"))]
async fn open_url_as_source(url: &BackendUrl) -> Result<Box<dyn TodoSource>, StoreError> {
    Err(url.feature_missing())
}

#[cfg(not(feature = "cloud"))]
async fn open_manifest_as_source(
    _manifest: manifest::Manifest,
) -> Result<Box<dyn TodoSource>, StoreError> {
    Err(feature_missing("PostgreSQL, which manifest.json names,"))
}

#[cfg(feature = "cloud")]
fn open_url(url: &BackendUrl) -> Result<Arc<dyn TodoStore>, StoreError> {
    let target = postgres::PostgresUrl::from_url(url)?;
    Ok(Arc::new(postgres::PostgresTodos::open(target)?))
}

#[cfg(feature = "cloud")]
fn open_manifest(manifest: &manifest::Manifest) -> Result<Arc<dyn TodoStore>, StoreError> {
    let target = postgres::PostgresUrl::from_manifest(manifest)?;
    Ok(Arc::new(postgres::PostgresTodos::open(target)?))
}

#[cfg(not(feature = "cloud"))]
fn open_url(url: &BackendUrl) -> Result<Arc<dyn TodoStore>, StoreError> {
    Err(url.feature_missing())
}

#[cfg(not(feature = "cloud"))]
fn open_manifest(_manifest: &manifest::Manifest) -> Result<Arc<dyn TodoStore>, StoreError> {
    Err(feature_missing(
        "PostgreSQL, which manifest.json names (--todos sqlite: keeps todos in the data directory),",
    ))
}

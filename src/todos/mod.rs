//! Todos: the types, the trait with the promises of every backend, the routes, and the backends.

mod free_status;
pub mod http;
pub mod import;
mod manifest;
mod model;
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

use self::import::{
    ImportBatch, ImportResult, NumberedPage, NumberedTodo, StoreSource, TodoSource,
};
use crate::backend_url::BackendUrl;
#[cfg(not(feature = "cloud"))]
use crate::backend_url::feature_missing;
use crate::error::{StoreError, StoreErrorKind};
use crate::storage::app_database::AppDatabase;
use crate::timestamp::Timestamp;

/// The file in the working directory with the settings of PostgreSQL. The file is read when no URL is given.
pub const MANIFEST: &str = "manifest.json";

/// The outcome of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome<T> {
    /// The change was made.
    Done(T),
    /// The todo does not exist.
    Missing,
    /// The precondition does not name the present version. The value is the present version. Nothing was changed.
    Conflict(Timestamp),
}

/// A store of todos.
///
/// Every backend keeps these promises, and the conformance suite checks the promises:
/// * Success: a change is durable after `Ok`. A read started afterwards sees the change, on every server.
/// * Failure: after an error nothing has changed. The only exception is [`StoreErrorKind::Unavailable`]: then nobody knows whether
///   the change was made, and reading the todo shows the answer.
/// * Concurrent readers: a read sees a change completely or not at all, and returns each todo in a single version.
/// * Concurrent changes: a change is made only if the precondition names the present version. If several changes name the same version, on
///   any servers, exactly one change is made.
/// * Every change sets [`Todo::updated_at`] to a later time than before, even when a clock goes backwards.
/// * A page begins after a [`Cursor`], not at a count. So an addition or a removal between two pages neither repeats nor hides another
///   todo.
#[async_trait]
pub trait TodoStore: Send + Sync {
    /// Adds a todo. If a todo with this id exists already, nothing is changed.
    async fn create(&self, todo: &Todo) -> Result<(), StoreError>;

    /// The todo with an id; `None` when there is none.
    async fn get(&self, id: TodoId) -> Result<Option<Todo>, StoreError>;

    /// At most `limit` todos in the order of their [`Cursor`]s, beginning after `after`. A page may end earlier when the descriptions are
    /// long.
    async fn list(
        &self,
        filter: &Filter,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<TodoPage, StoreError>;

    /// Changes the fields of a todo. The new [`Todo::updated_at`] is `now`, or a microsecond after the old time if this time is later.
    async fn change(
        &self,
        id: TodoId,
        precondition: &Precondition,
        change: &Change,
        now: Timestamp,
    ) -> Result<Outcome<Todo>, StoreError>;

    /// Removes a todo. The number of the todo is never used again.
    async fn remove(
        &self,
        id: TodoId,
        precondition: &Precondition,
    ) -> Result<Outcome<()>, StoreError>;

    /// The id of the todo with a number; `None` when there is none.
    async fn id_of(&self, number: i64) -> Result<Option<TodoId>, StoreError>;

    /// The number of a todo; `None` when the todo does not exist.
    async fn number_of(&self, id: TodoId) -> Result<Option<i64>, StoreError>;

    /// At most `limit` todos in the order of their numbers, beginning at the number `from`.
    async fn by_number(&self, from: i64, limit: usize) -> Result<NumberedPage, StoreError>;

    /// The todos with these ids, in any order. Unknown ids are left out.
    async fn find(&self, ids: &[TodoId]) -> Result<Vec<NumberedTodo>, StoreError>;

    /// The number of todos.
    async fn count(&self) -> Result<u64, StoreError>;

    /// Imports todos of another store, as [`import`] describes: all of the batch or nothing. Returns the outcome of each todo, in the order
    /// of the batch. Importing the same batch again changes nothing.
    async fn import(&self, arrivals: &ImportBatch) -> Result<Vec<ImportResult>, StoreError>;

    /// The name of the backend, in one word.
    fn backend(&self) -> &'static str;

    /// Whether the store accepts changes now. Cheap enough for a call every second.
    ///
    /// # Errors
    /// The reason why the store accepts no changes.
    async fn ready(&self) -> Result<(), StoreError>;

    /// Warnings for the operator while the store works. Each warning is a sentence with advice.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }

    /// Refuses every later operation with [`StoreErrorKind::Unavailable`], and releases the resources of this store. A shared database of
    /// several stores stays open.
    async fn close(&self) -> Result<(), StoreError>;
}

/// Opens the backend for the scheme of a URL, on the runtime of the caller. Without a URL, opens the database of the file `manifest.json`
/// in `directory`, and the embedded backend when there is no such file. Returns when the backend is ready, or cannot be reached at the
/// moment. `app_database` is called only for the embedded backend.
///
/// # Errors
/// [`StoreErrorKind::Unsupported`] when the URL or the file has a mistake; otherwise the error of the backend.
pub async fn open(
    url: Option<&BackendUrl>,
    directory: &Path,
    app_database: impl FnOnce() -> Result<Arc<AppDatabase>, StoreError>,
) -> Result<Arc<dyn TodoStore>, StoreError> {
    let Some(url) = url else {
        return match manifest::read(&directory.join(MANIFEST))? {
            Some(manifest) => open_manifest(&manifest).await,
            None => Ok(Arc::new(sqlite::SqliteTodos::new(app_database()?))),
        };
    };
    if url.scheme() == MANIFEST_SCHEME {
        return open_manifest(&named_manifest(url, directory)?).await;
    }
    match (url.scheme(), url.rest()) {
        ("sqlite", "") => Ok(Arc::new(sqlite::SqliteTodos::new(app_database()?))),
        ("sqlite", _) => Err(url.path_not_taken("the store of todos")),
        ("postgres" | "postgresql", _) => open_url(url).await,
        _ => Err(url.unknown_scheme("todos", "sqlite:, postgres: and manifest:")),
    }
}

/// Opens the source of a copy: any backend of [`open`], or the table of the older todo app.
///
/// # Errors
/// Those of [`open`]; an error when there is no table of todos, or the table has unknown columns.
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
        _ => Ok(Box::new(StoreSource {
            store: open(Some(url), directory, app_database).await?,
        })),
    }
}

/// The scheme for the settings in a file `manifest.json`: `manifest:` for the file in the working directory, `manifest:FILE` for
/// another file.
const MANIFEST_SCHEME: &str = "manifest";

fn named_manifest(url: &BackendUrl, directory: &Path) -> Result<manifest::Manifest, StoreError> {
    let path = match url.rest() {
        "" => directory.join(MANIFEST),
        path => directory.join(path),
    };
    manifest::read(&path)?.ok_or_else(|| {
        StoreError::new(
            StoreErrorKind::Unsupported,
            format!("{url} names a file that does not exist: {}", path.display()),
        )
    })
}

#[cfg(feature = "cloud")]
async fn open_url_as_source(url: &BackendUrl) -> Result<Box<dyn TodoSource>, StoreError> {
    let url = postgres::PostgresUrl::from_url(url)?;
    Ok(Box::new(postgres::PostgresSource::open(&url).await?))
}

/// The key `schema` is the schema of this program. The table of the older app is in the first schema of the user.
#[cfg(feature = "cloud")]
async fn open_manifest_as_source(
    manifest: manifest::Manifest,
) -> Result<Box<dyn TodoSource>, StoreError> {
    let manifest = manifest::Manifest {
        schema: None,
        ..manifest
    };
    let url = postgres::PostgresUrl::from_manifest(&manifest)?;
    Ok(Box::new(postgres::PostgresSource::open(&url).await?))
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
async fn open_url(url: &BackendUrl) -> Result<Arc<dyn TodoStore>, StoreError> {
    let url = postgres::PostgresUrl::from_url(url)?;
    Ok(Arc::new(postgres::PostgresTodos::open(url).await?))
}

#[cfg(feature = "cloud")]
async fn open_manifest(manifest: &manifest::Manifest) -> Result<Arc<dyn TodoStore>, StoreError> {
    let url = postgres::PostgresUrl::from_manifest(manifest)?;
    Ok(Arc::new(postgres::PostgresTodos::open(url).await?))
}

#[cfg(not(feature = "cloud"))]
async fn open_url(url: &BackendUrl) -> Result<Arc<dyn TodoStore>, StoreError> {
    Err(url.feature_missing())
}

#[cfg(not(feature = "cloud"))]
async fn open_manifest(_manifest: &manifest::Manifest) -> Result<Arc<dyn TodoStore>, StoreError> {
    Err(feature_missing(
        "PostgreSQL, which manifest.json names (--todos sqlite: keeps todos in the data directory),",
    ))
}

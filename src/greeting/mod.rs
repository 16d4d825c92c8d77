//! The greeting: the word on the front page, the trait with the promises of every backend, the routes, and the backends.

pub mod http;
mod model;
#[cfg(feature = "cloud")]
pub mod redis;
pub mod sqlite;

use std::sync::Arc;

use async_trait::async_trait;

pub use model::{Word, WordError};

pub(crate) use sqlite::check_rows;

use crate::backend_url::BackendUrl;
use crate::error::StoreError;
use crate::storage::app_database::AppDatabase;

/// A store of the greeting's word.
///
/// Every backend keeps these promises, and the conformance suite checks the promises:
/// * All clients share the same word: [`Word::default`] until the first word is set.
/// * Success: after [`GreetingStore::set`] returned `Ok`, a read started afterwards sees the word, on every server, until the next word is
///   set. The word is as durable as the backend: on disk with SQLite, and as the configuration of Redis says.
/// * Failure: after an error the word is not set. The only exception is
///   [`StoreErrorKind::Unavailable`](crate::error::StoreErrorKind::Unavailable): then the word may be set, now or a little later, but never
///   over a word set successfully afterwards.
/// * Concurrent readers: a read returns a complete word, the old word or the new word.
#[async_trait]
pub trait GreetingStore: Send + Sync {
    /// Reads the word.
    async fn word(&self) -> Result<Word, StoreError>;

    /// Sets the word.
    async fn set(&self, word: Word) -> Result<(), StoreError>;

    /// The name of the backend, in one word.
    fn backend(&self) -> &'static str;

    /// Whether the store works now. Cheap enough for a call every second.
    ///
    /// # Errors
    /// The reason why the store does not work.
    async fn ready(&self) -> Result<(), StoreError>;

    /// Warnings for the operator while the store works. Each warning is a sentence with advice.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }

    /// Checks a backend on another machine from time to time, as long as the server runs. Returns at once for an embedded backend.
    async fn watch(&self) {}
}

/// Opens the backend for the scheme of a URL. `app_database` is called only for the embedded backend, so that a URL with a mistake creates
/// no database. A backend on another machine connects with the first operation, so that the server starts during an outage of that backend.
///
/// # Errors
/// [`StoreErrorKind::Unsupported`](crate::error::StoreErrorKind::Unsupported) when the URL has a mistake; otherwise the error of the database.
pub fn open(
    url: &BackendUrl,
    app_database: impl FnOnce() -> Result<Arc<AppDatabase>, StoreError>,
) -> Result<Arc<dyn GreetingStore>, StoreError> {
    match (url.scheme(), url.rest()) {
        ("sqlite", "") => Ok(Arc::new(sqlite::SqliteGreeting::new(app_database()?))),
        ("sqlite", _) => Err(url.path_not_taken("the greeting")),
        #[cfg(feature = "cloud")]
        ("redis" | "rediss" | "valkey" | "valkeys", _) => {
            Ok(Arc::new(redis::RedisGreeting::new(url)?))
        }
        #[cfg(not(feature = "cloud"))]
        ("redis" | "rediss" | "valkey" | "valkeys", _) => Err(url.feature_missing()),
        _ => Err(url.unknown_scheme(
            "the greeting",
            "sqlite:, redis://host:port and rediss://host:port",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::StoreErrorKind;

    /// The error of a URL. The database must not be opened.
    fn open_error(url: &str) -> StoreError {
        let app_database = || -> Result<_, StoreError> { panic!("opened the database for {url}") };
        let error = open(&url.parse().unwrap(), app_database).err().unwrap();
        assert_eq!(error.kind(), StoreErrorKind::Unsupported, "{url}");
        error
    }

    #[test]
    fn an_error_names_the_urls_that_work() {
        assert!(open_error("postgres://db").message().contains("redis://"));
        assert!(open_error("sqlite:other.db").message().contains("--data"));
    }

    #[cfg(not(feature = "cloud"))]
    #[test]
    fn an_error_names_the_missing_feature() {
        assert!(open_error("rediss://cache").message().contains("`cloud`"));
    }

    #[cfg(feature = "cloud")]
    #[test]
    fn a_store_opens_during_an_outage_of_redis() {
        let app_database = || -> Result<_, StoreError> { panic!("opened the database") };
        for url in ["redis://127.0.0.1:1", "valkey://no.such.host"] {
            let store = open(&url.parse().unwrap(), app_database).unwrap();
            assert_eq!(store.backend(), "redis");
        }
    }
}

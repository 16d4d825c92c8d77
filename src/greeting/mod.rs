//! The greeting: the word on the front page, the promise every backend keeps, the routes, the backends.

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

/// Where the word of the greeting lives.
///
/// What every backend promises, and the conformance suite checks:
/// * There is one word, the same for everybody; it is [`Word::default`] until the first one is set.
/// * A word whose setting returned `Ok` is seen by every read that starts afterwards, on every replica, until the next one is
///   set. It is as durable as the backend: on disk with SQLite, and whatever the server is set up for with Redis.
/// * A word whose setting failed was not set, with one exception: after [`crate::error::StoreErrorKind::Unavailable`] it may be, now or a little
///   later, but never over a word that was set with success after it.
#[async_trait]
pub trait GreetingStore: Send + Sync {
    /// The word.
    async fn word(&self) -> Result<Word, StoreError>;

    /// Makes this the word.
    async fn set(&self, word: Word) -> Result<(), StoreError>;

    /// What kind of store it is, in a word.
    fn backend(&self) -> &'static str;

    /// Whether a word could be read now. Cheap enough to be asked every second.
    async fn ready(&self) -> Result<(), StoreError>;

    /// What an operator should know of the backend although it works: each a sentence that says what to do.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }

    /// Looks at a backend on another machine from time to time, as long as the server runs. Ends at once where there is nothing to
    /// look at.
    async fn watch(&self) {}
}

/// Opens the backend that a URL's scheme picks. `station` is called only for a backend that lives in the data directory, so that a
/// URL with a mistake in it leaves no trace. A backend on another machine is connected to when it is first needed: one that is
/// down keeps no server from starting.
///
/// # Errors
/// When the scheme or the rest of the URL is none of ours ([`crate::error::StoreErrorKind::Unsupported`]), or the database cannot be opened.
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

    /// The error of a URL, which must not touch the data directory.
    fn refused(url: &str) -> StoreError {
        let app_database = || -> Result<_, StoreError> { panic!("opened the database for {url}") };
        let error = open(&url.parse().unwrap(), app_database).err().unwrap();
        assert_eq!(error.kind(), StoreErrorKind::Unsupported, "{url}");
        error
    }

    #[test]
    fn a_url_that_leads_nowhere_says_which_would() {
        assert!(refused("postgres://db").message().contains("redis://"));
        assert!(refused("sqlite:other.db").message().contains("--data"));
    }

    #[cfg(not(feature = "cloud"))]
    #[test]
    fn what_was_left_out_of_the_binary_is_named() {
        assert!(refused("rediss://cache").message().contains("`cloud`"));
    }

    #[cfg(feature = "cloud")]
    #[test]
    fn a_server_that_is_not_there_keeps_nothing_from_opening() {
        let app_database = || -> Result<_, StoreError> { panic!("opened the database") };
        for url in ["redis://127.0.0.1:1", "valkey://no.such.host"] {
            let store = open(&url.parse().unwrap(), app_database).unwrap();
            assert_eq!(store.backend(), "redis");
        }
    }
}

//! The greeting in `station.db`.

use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::OptionalExtension as _;

use super::{GreetingStore, Word};
use crate::error::StoreError;
use crate::sqlite;
use crate::station::{FILE_NAME, StationDatabase};

/// The greeting in a table of one row.
#[derive(Debug)]
pub struct SqliteGreeting {
    station: Arc<StationDatabase>,
}

impl SqliteGreeting {
    /// The greeting of this database.
    pub fn new(station: Arc<StationDatabase>) -> Self {
        Self { station }
    }
}

#[async_trait]
impl GreetingStore for SqliteGreeting {
    async fn word(&self) -> Result<Word, StoreError> {
        let read = self.station.read("read the greeting", |transaction| {
            Ok(transaction
                .prepare_cached("SELECT word FROM greeting WHERE id = 1")?
                .query_row([], |row| row.get::<_, String>(0))
                .optional()?)
        });
        match read.await? {
            None => Ok(Word::default()),
            Some(text) => text
                .parse()
                .map_err(|error| sqlite::damaged(FILE_NAME, format!("the greeting: {error}"))),
        }
    }

    async fn set(&self, word: Word) -> Result<(), StoreError> {
        let write = self.station.write("set the greeting", move |transaction| {
            transaction
                .prepare_cached(
                    "INSERT INTO greeting (id, word) VALUES (1, ?1)
                     ON CONFLICT (id) DO UPDATE SET word = excluded.word",
                )?
                .execute([word.as_str()])?;
            Ok(())
        });
        write.await
    }

    fn backend(&self) -> &'static str {
        "sqlite"
    }

    async fn ready(&self) -> Result<(), StoreError> {
        self.station.ready()
    }
}

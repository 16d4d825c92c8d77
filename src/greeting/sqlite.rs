//! The embedded backend of the greeting, in `station.db`.

use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, Transaction};

use super::{GreetingStore, Word};
use crate::error::StoreError;
use crate::storage::app_database::{self, AppDatabase, FILE_NAME, WorkError};
use crate::storage::sqlite;

/// The greeting in a table with a single row.
#[derive(Debug)]
pub struct SqliteGreeting {
    app_database: Arc<AppDatabase>,
}

impl SqliteGreeting {
    /// The greeting in this database.
    pub fn new(app_database: Arc<AppDatabase>) -> Self {
        Self { app_database }
    }
}

#[async_trait]
impl GreetingStore for SqliteGreeting {
    async fn word(&self) -> Result<Word, StoreError> {
        let read = self.app_database.read("read the greeting", |transaction| {
            let word = transaction
                .prepare_cached(
                    "SELECT word, check_row(checksum, computed, 'the greeting', word) FROM greeting_checked WHERE id = 1",
                )?
                .query_row([], |row| row.get::<_, String>(0))
                .optional()?;
            if word.is_none() {
                check_never_set(transaction)?;
            }
            Ok(word)
        });
        match read.await? {
            None => Ok(Word::default()),
            Some(text) => text
                .parse()
                .map_err(|error| sqlite::damaged(FILE_NAME, format!("the greeting: {error}"))),
        }
    }

    async fn set(&self, word: Word) -> Result<(), StoreError> {
        let write = self
            .app_database
            .write("set the greeting", move |transaction| {
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
        self.app_database.ready()
    }
}

/// The table has no row. Checks that no word was ever set.
fn check_never_set(transaction: &Transaction<'_>) -> Result<(), WorkError> {
    let expected: Option<i64> = transaction
        .prepare_cached("SELECT row_count FROM ledger WHERE table_name = 'greeting'")?
        .query_row([], |row| row.get(0))
        .optional()?;
    if expected == Some(0) {
        return Ok(());
    }
    Err(sqlite::damaged(FILE_NAME, "the greeting is missing").into())
}

/// Parses the word if the checksum is right. Calls `problem` when the text is not a word.
///
/// # Errors
/// When the row cannot be read.
pub(crate) fn check_rows(
    connection: &Connection,
    problem: &mut dyn FnMut(String),
) -> Result<(), StoreError> {
    let query_error = |error| sqlite::query_error(FILE_NAME, "read the greeting", error);
    let sql = format!(
        "SELECT word FROM {}",
        app_database::sound_rows(connection, "greeting")?
    );
    let mut statement = connection.prepare(&sql).map_err(query_error)?;
    let words = statement
        .query_map([], |row| row.get::<_, String>(0))
        .map_err(query_error)?;
    for word in words {
        if let Err(error) = word.map_err(query_error)?.parse::<Word>() {
            problem(format!("the greeting: {error}"));
        }
    }
    Ok(())
}

//! The tables of `station.db`, and how they came to be what they are.

use rusqlite::{Connection, TransactionBehavior};

use super::FILE_NAME;
use crate::error::{StoreError, StoreErrorKind};
use crate::sqlite;

/// Marks the file as ours for `file(1)` and for us: "FSTS".
pub(super) const APPLICATION_ID: i32 = 0x4653_5453;

/// The changes that make the tables, in order; the number of the last one that ran is the file's `user_version`.
pub(super) const MIGRATIONS: &[&str] = &[
    include_str!("../../migrations/sqlite/0001-files.sql"),
    include_str!("../../migrations/sqlite/0002-todos.sql"),
    include_str!("../../migrations/sqlite/0003-greeting.sql"),
    include_str!("../../migrations/sqlite/0004-todo-search.sql"),
    include_str!("../../migrations/sqlite/0005-todo-numbers.sql"),
];

/// Runs the changes that this file has not seen, each in a transaction with its number.
pub(super) fn run(connection: &mut Connection) -> Result<(), StoreError> {
    let failed = |error| sqlite::failed(FILE_NAME, "bring station.db up to date", error);
    let pragma = |connection: &Connection, name: &str| {
        connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0))
    };
    let application = pragma(connection, "application_id").map_err(failed)?;
    let version = pragma(connection, "user_version").map_err(failed)?;
    let ours = application == APPLICATION_ID || (application == 0 && version == 0);
    let seen = usize::try_from(version).ok().filter(|_| ours);
    let Some(seen) = seen else {
        return Err(sqlite::damaged(
            FILE_NAME,
            "it is not a Fieldstation database",
        ));
    };
    let Some(unseen) = MIGRATIONS.get(seen..) else {
        return Err(StoreError::new(
            StoreErrorKind::Damaged,
            format!(
                "{FILE_NAME} has schema version {seen}, and this program knows {}; run the version of fieldstation that \
                 wrote it, or a newer one",
                MIGRATIONS.len()
            ),
        ));
    };
    for (number, change) in (seen + 1..).zip(unseen) {
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(failed)?;
        transaction.execute_batch(change).map_err(failed)?;
        transaction
            .pragma_update(None, "application_id", APPLICATION_ID)
            .and_then(|()| transaction.pragma_update(None, "user_version", number as i64))
            .and_then(|()| transaction.commit())
            .map_err(failed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::data_directory::DataDirectory;
    use crate::station::StationDatabase;

    #[tokio::test]
    async fn todos_that_an_older_version_wrote_are_found_by_their_texts_and_numbers() {
        let directory = tempfile::tempdir().unwrap();
        let older = Connection::open(directory.path().join(FILE_NAME)).unwrap();
        for change in &MIGRATIONS[..3] {
            older.execute_batch(change).unwrap();
        }
        for (pragma, value) in [("application_id", APPLICATION_ID), ("user_version", 3)] {
            older.pragma_update(None, pragma, value).unwrap();
        }
        older
            .execute_batch(
                "INSERT INTO todos (id, title, title_folded, description, description_folded, deadline, status, created_at, updated_at)
                 VALUES ('1', 'Fix TV', 'fix tv', '', '', 0, 'pending', 0, 0), ('2', 'TV', 'tv', 'ok', 'ok', 0, 'pending', 0, 0)",
            )
            .unwrap();
        older.close().unwrap();
        let held = Arc::new(DataDirectory::open(directory.path()).unwrap());
        let database = StationDatabase::open(held).unwrap();
        let keys = |sql: &'static str, what: &'static str| {
            database.read("look for a text", move |transaction| {
                let mut statement = transaction.prepare(sql)?;
                let keys = statement
                    .query_map(rusqlite::params![what, 10], |row| row.get(0))?
                    .collect::<rusqlite::Result<Vec<i64>>>()?;
                Ok(keys)
            })
        };
        let with_trigrams = include_str!("../todos/sql/sqlite/with_trigrams.sql");
        let with_beginning = include_str!("../todos/sql/sqlite/with_beginning.sql");
        assert_eq!(keys(with_trigrams, "\"x t\"").await.unwrap(), [1]);
        assert_eq!(keys(with_beginning, "tv").await.unwrap(), [1, 2]);
        assert_eq!(keys(with_beginning, "k").await.unwrap(), [2]);
        assert!(keys(with_beginning, "vt").await.unwrap().is_empty());
        let numbers = "SELECT number FROM todos WHERE ?1 = '' ORDER BY key LIMIT ?2";
        assert_eq!(keys(numbers, "").await.unwrap(), [268_435_456, 268_435_457]);
        database.close().await;
    }

    #[test]
    fn a_file_that_is_not_ours_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE_NAME);
        Connection::open(&path)
            .unwrap()
            .pragma_update(None, "user_version", 7)
            .unwrap();
        let held = Arc::new(DataDirectory::open(directory.path()).unwrap());
        let error = StationDatabase::open(Arc::clone(&held)).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Damaged, "{error}");
        let connection = Connection::open(&path).unwrap();
        connection
            .pragma_update(None, "application_id", APPLICATION_ID)
            .unwrap();
        connection
            .pragma_update(None, "user_version", 1_000_000)
            .unwrap();
        let error = StationDatabase::open(held).unwrap_err();
        assert!(error.message().contains("1000000"), "{error}");
    }
}

//! The tables of `station.db`, and how they came to be what they are.

use rusqlite::{Connection, TransactionBehavior};

use super::FILE_NAME;
use crate::error::{StoreError, StoreErrorKind};
use crate::storage::sqlite::{self, DatabaseKind};

/// Marks the file as ours for `file(1)` and for us: "FSTS".
const APPLICATION_ID: i32 = 0x4653_5453;

/// The changes that make the tables, in order; the number of the last one that ran is the file's `user_version`.
const MIGRATIONS: &[&str] = &[
    include_str!("../../../migrations/sqlite/0001-files.sql"),
    include_str!("../../../migrations/sqlite/0002-todos.sql"),
    include_str!("../../../migrations/sqlite/0003-greeting.sql"),
    include_str!("../../../migrations/sqlite/0004-todo-search.sql"),
    include_str!("../../../migrations/sqlite/0005-todo-numbers.sql"),
    include_str!("../../../migrations/sqlite/0006-checksums.sql"),
];

/// What a file has to be for this program to read it.
pub(super) const KIND: DatabaseKind = DatabaseKind {
    file_name: FILE_NAME,
    application_id: APPLICATION_ID,
    version_max: MIGRATIONS.len() as i32,
};

/// Runs the changes that this file has not seen, each in a transaction with its number.
pub(super) fn run(connection: &mut Connection) -> Result<(), StoreError> {
    let failed = |error| sqlite::failed(FILE_NAME, "bring station.db up to date", error);
    let seen = match KIND.check(connection)? {
        false => 0,
        true => seen(connection)?.len(),
    };
    for (number, change) in (seen + 1..).zip(MIGRATIONS.iter().skip(seen)) {
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
    check_schema(connection)
}

/// Refuses a database that has to be brought up to date, and may not be.
pub(super) fn check_up_to_date(connection: &Connection) -> Result<(), StoreError> {
    let seen = match KIND.check(connection)? {
        false => 0,
        true => seen(connection)?.len(),
    };
    if seen == MIGRATIONS.len() {
        return check_schema(connection);
    }
    Err(StoreError::new(
        StoreErrorKind::Unavailable,
        format!(
            "{FILE_NAME} has schema version {seen}, and this program reads {}; it is brought up to date by a server that may write: \
             start one without --read-only once, on a copy if need be",
            MIGRATIONS.len()
        ),
    ))
}

/// The changes that a file of this sort has seen.
pub(super) fn seen(connection: &Connection) -> Result<&'static [&'static str], StoreError> {
    connection
        .pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0))
        .map_err(|error| sqlite::failed(FILE_NAME, "read station.db", error))
        .map(|version| usize::try_from(version).ok())?
        .and_then(|version| MIGRATIONS.get(..version))
        .ok_or_else(|| sqlite::damaged(FILE_NAME, "its schema version is none"))
}

/// The definitions of the tables are data on disk like any other: they are what the changes make that the file has seen.
pub(super) fn check_schema(connection: &Connection) -> Result<(), StoreError> {
    let failed = |error| sqlite::failed(FILE_NAME, "read the schema", error);
    let expected = made_by(seen(connection)?).map_err(failed)?;
    if definitions(connection).map_err(failed)? == expected {
        return Ok(());
    }
    Err(sqlite::damaged(
        FILE_NAME,
        "its tables are not the ones that this program makes",
    ))
}

fn made_by(changes: &[&str]) -> rusqlite::Result<Vec<Definition>> {
    let connection = Connection::open_in_memory()?;
    sqlite::checksums::register(&connection)?;
    for change in changes {
        connection.execute_batch(change)?;
    }
    definitions(&connection)
}

/// Type, name, table and SQL.
type Definition = (String, String, String, Option<String>);

/// All of them but for what SQLite keeps for itself: how the tables below an index of texts are written is its own affair.
fn definitions(connection: &Connection) -> rusqlite::Result<Vec<Definition>> {
    connection
        .prepare(
            "SELECT type, name, tbl_name, CASE WHEN name NOT LIKE 'todos\\_trigrams\\_%' ESCAPE '\\' THEN sql END
             FROM sqlite_schema WHERE name NOT LIKE 'sqlite\\_stat%' ESCAPE '\\' ORDER BY type, name",
        )?
        .query_map([], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })?
        .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::error::StoreErrorKind;
    use crate::storage::app_database::AppDatabase;
    use crate::storage::data_directory::DataDirectory;

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
        let database = AppDatabase::open(held).unwrap();
        let keys = |sql: &'static str, what: &'static str| {
            database.read("look for a text", move |transaction| {
                let mut statement = transaction.prepare(sql)?;
                let keys = statement
                    .query_map(rusqlite::params![what, 10], |row| row.get(0))?
                    .collect::<rusqlite::Result<Vec<i64>>>()?;
                Ok(keys)
            })
        };
        let with_trigrams = include_str!("../../todos/sql/sqlite/with_trigrams.sql");
        let with_beginning = include_str!("../../todos/sql/sqlite/with_beginning.sql");
        assert_eq!(keys(with_trigrams, "\"x t\"").await.unwrap(), [1]);
        assert_eq!(keys(with_beginning, "tv").await.unwrap(), [1, 2]);
        assert_eq!(keys(with_beginning, "k").await.unwrap(), [2]);
        assert!(keys(with_beginning, "vt").await.unwrap().is_empty());
        let numbers = "SELECT number FROM todos WHERE ?1 = '' ORDER BY key LIMIT ?2";
        assert_eq!(keys(numbers, "").await.unwrap(), [268_435_456, 268_435_457]);
        database.close().await;
    }

    #[tokio::test]
    async fn what_an_older_version_wrote_gets_checksums_and_is_as_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let older = Connection::open(directory.path().join(FILE_NAME)).unwrap();
        for change in &MIGRATIONS[..5] {
            older.execute_batch(change).unwrap();
        }
        for (pragma, value) in [("application_id", APPLICATION_ID), ("user_version", 5)] {
            older.pragma_update(None, pragma, value).unwrap();
        }
        older
            .execute_batch(
                "INSERT INTO todos (id, title, title_folded, description, description_folded, deadline, status, created_at, updated_at)
                 SELECT printf('00000000-0000-7000-8000-%012d', value), 'Fix TV', 'fix tv', '', '', value, 'pending', 0, 0
                 FROM json_each('[1, 2, 3]');
                 DELETE FROM todos WHERE deadline = 2;
                 INSERT INTO todos_moved VALUES ('00000000-0000-7000-8000-000000000001', 0, 'elsewhere');
                 INSERT INTO greeting VALUES (1, 'Ahoy');
                 INSERT INTO files VALUES ('202', 'x', 0, 'text/plain', NULL, zeroblob(32), 0)",
            )
            .unwrap();
        let rows = |connection: &Connection| -> Vec<String> {
            let sql = "SELECT printf('%s %s %d', id, title, number) FROM todos
                 UNION ALL SELECT printf('%d', last) FROM todo_numbers
                 UNION ALL SELECT printf('%s %s', id, origin) FROM todos_moved
                 UNION ALL SELECT word FROM greeting UNION ALL SELECT printf('%s %s', device, blob) FROM files";
            let mut statement = connection.prepare(sql).unwrap();
            let rows = statement.query_map([], |row| row.get(0)).unwrap();
            rows.map(Result::unwrap).collect()
        };
        let before = rows(&older);
        older.close().unwrap();
        let path = directory.path().join(FILE_NAME);
        let checked = |path: &std::path::Path| {
            let connection = crate::storage::app_database::open_copy(path).unwrap();
            let mut problems = Vec::new();
            let mut problem = |problem| problems.push(problem);
            let counted =
                crate::storage::app_database::check(&connection, &mut problem, &mut |_| {})
                    .unwrap();
            assert_eq!(problems, [""; 0]);
            assert_eq!((counted.todos, counted.files), (2, 1));
            assert_eq!(rows(&connection), before);
            counted.have_checksums
        };
        // As it is in a backup of that time.
        assert!(!checked(&path));
        let held = Arc::new(DataDirectory::open(directory.path()).unwrap());
        AppDatabase::open(held).unwrap().close().await;
        assert!(checked(&path));
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
        let error = AppDatabase::open(Arc::clone(&held)).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Damaged, "{error}");
        let connection = Connection::open(&path).unwrap();
        connection
            .pragma_update(None, "application_id", APPLICATION_ID)
            .unwrap();
        connection
            .pragma_update(None, "user_version", 1_000_000)
            .unwrap();
        let error = AppDatabase::open(held).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unsupported, "{error}");
        assert!(error.message().contains("1000000"), "{error}");
    }
}

//! The tables of `station.db`, and the settings of the connections to this file.

use super::FILE_NAME;
use crate::storage::sqlite::DatabaseDefinition;

/// The first schema version with todos.
pub(super) const TODOS_SINCE: usize = 2;

/// The first schema version with checksums of rows.
pub(super) const CHECKSUMS_SINCE: usize = 6;

pub(super) static DATABASE: DatabaseDefinition = DatabaseDefinition {
    file_name: FILE_NAME,
    // "FSTS".
    application_id: 0x4653_5453,
    migrations: &[
        include_str!("../../../migrations/sqlite/0001-files.sql"),
        include_str!("../../../migrations/sqlite/0002-todos.sql"),
        include_str!("../../../migrations/sqlite/0003-greeting.sql"),
        include_str!("../../../migrations/sqlite/0004-todo-search.sql"),
        include_str!("../../../migrations/sqlite/0005-todo-numbers.sql"),
        include_str!("../../../migrations/sqlite/0006-checksums.sql"),
    ],
    first_rows: |_| Ok(()),
    pragmas: "PRAGMA foreign_keys = ON",
    writer_pragmas: "",
    prepared_statements_max: 64,
    checkpoint_pages: 1_000,
};

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rusqlite::Connection;

    use super::*;
    use crate::error::StoreErrorKind;
    use crate::storage::app_database::AppDatabase;
    use crate::storage::data_directory::DataDirectory;

    #[tokio::test]
    async fn todos_that_an_older_version_wrote_are_found_by_their_texts_and_numbers() {
        let directory = tempfile::tempdir().unwrap();
        let older = Connection::open(directory.path().join(FILE_NAME)).unwrap();
        for change in &DATABASE.migrations[..3] {
            older.execute_batch(change).unwrap();
        }
        for (pragma, value) in [
            ("application_id", DATABASE.application_id),
            ("user_version", 3),
        ] {
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
        for change in &DATABASE.migrations[..5] {
            older.execute_batch(change).unwrap();
        }
        for (pragma, value) in [
            ("application_id", DATABASE.application_id),
            ("user_version", 5),
        ] {
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
        // An old backup has such a file: without checksums.
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
            .pragma_update(None, "application_id", DATABASE.application_id)
            .unwrap();
        connection
            .pragma_update(None, "user_version", 1_000_000)
            .unwrap();
        let error = AppDatabase::open(held).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unsupported, "{error}");
        assert!(error.message().contains("1000000"), "{error}");
    }
}

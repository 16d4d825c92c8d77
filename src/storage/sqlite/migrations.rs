//! Numbered migrations of a database: reads the schema version of a file, runs the missing migrations, and checks the tables.

use rusqlite::{Connection, TransactionBehavior};

use super::definition::DatabaseDefinition;
use super::{checksums, newer};
use crate::error::{StoreError, StoreErrorKind};

/// An object of a schema: type, name, table, and SQL.
type SchemaObject = (String, String, String, Option<String>);

impl DatabaseDefinition {
    /// The newest schema version that this program knows.
    pub(crate) fn newest_version(&self) -> usize {
        self.migrations.len()
    }

    /// The schema version of a file: the number of finished migrations. 0 for an empty file. If a server is killed during the first start,
    /// an empty file remains.
    ///
    /// # Errors
    /// [`StoreErrorKind::Damaged`] when the file belongs to another program; [`StoreErrorKind::Unsupported`] when a newer version wrote the
    /// file.
    pub(crate) fn version_of(&self, connection: &Connection) -> Result<usize, StoreError> {
        let number = |sql: &str| {
            connection
                .query_row(sql, [], |row| row.get::<_, i64>(0))
                .map_err(|error| self.error(&format!("read {}", self.file_name), error))
        };
        let application_id = number("PRAGMA application_id")?;
        let version = number("PRAGMA user_version")?;
        let objects = number("SELECT count(*) FROM main.sqlite_schema")?;
        if application_id == 0 && version == 0 && objects == 0 {
            return Ok(0);
        }
        if application_id != i64::from(self.application_id) {
            return Err(self.damaged("it is not a Fieldstation database"));
        }
        match usize::try_from(version) {
            Ok(version) if version <= self.newest_version() => Ok(version),
            Ok(_) => Err(newer(self.file_name, version, self.newest_version())),
            Err(_) => Err(self.damaged(format!("its schema version, {version}, is negative"))),
        }
    }

    /// Runs the missing migrations in one transaction, and checks the tables before and after.
    ///
    /// # Errors
    /// Those of [`Self::version_of`] and [`Self::check_tables`]; when a migration fails. The file is then unchanged.
    pub(super) fn migrate(&self, connection: &mut Connection) -> Result<(), StoreError> {
        let name = self.file_name;
        let migration_error =
            |error| self.error(&format!("bring the tables of {name} up to date"), error);
        let newest = self.newest_version();
        let version = self.version_of(connection)?;
        self.check_tables(connection)?;
        if version == newest {
            return Ok(());
        }
        if version > 0 {
            tracing::info!(
                file = name,
                version,
                newest,
                "bringing the tables up to date"
            );
        }
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(migration_error)?;
        for migration in self.migrations.iter().skip(version) {
            transaction
                .execute_batch(migration)
                .map_err(migration_error)?;
        }
        if version == 0 {
            (self.first_rows)(&transaction).map_err(migration_error)?;
        }
        transaction
            .pragma_update(None, "application_id", self.application_id)
            .and_then(|()| transaction.pragma_update(None, "user_version", newest as i64))
            .and_then(|()| transaction.commit())
            .map_err(migration_error)?;
        self.check_tables(connection)
    }

    /// Compares the tables, indexes, views and triggers with the result of the migrations up to the version of the file. Definitions are data
    /// on the disk, and may be damaged like other data.
    ///
    /// # Errors
    /// [`StoreErrorKind::Damaged`] when they differ; the errors of [`Self::version_of`].
    pub(crate) fn check_tables(&self, connection: &Connection) -> Result<(), StoreError> {
        let schema_error = |error| self.error("read the schema", error);
        let seen = self.migrations.iter().take(self.version_of(connection)?);
        let expected = objects_made_by(seen).map_err(schema_error)?;
        if objects(connection).map_err(schema_error)? == expected {
            return Ok(());
        }
        Err(self.damaged("its tables are not the ones that this program makes"))
    }

    /// Refuses a file with missing migrations, for a directory that is only read.
    ///
    /// # Errors
    /// [`StoreErrorKind::Unavailable`] when migrations are missing; the errors of [`Self::check_tables`].
    pub(crate) fn check_up_to_date(&self, connection: &Connection) -> Result<(), StoreError> {
        let (version, newest) = (self.version_of(connection)?, self.newest_version());
        if version == newest {
            return self.check_tables(connection);
        }
        Err(StoreError::new(
            StoreErrorKind::Unavailable,
            format!(
                "{} has schema version {version}, and this program reads {newest}; it is brought up to date by a server that may write: \
                 start one without --read-only once, on a copy if need be",
                self.file_name
            ),
        ))
    }
}

fn objects_made_by<'a>(
    migrations: impl Iterator<Item = &'a &'static str>,
) -> rusqlite::Result<Vec<SchemaObject>> {
    let connection = Connection::open_in_memory()?;
    checksums::register(&connection)?;
    for migration in migrations {
        connection.execute_batch(migration)?;
    }
    objects(&connection)
}

/// The objects of a database, without the SQL of shadow tables: how SQLite writes the tables below a full-text index may change with
/// the version of SQLite.
fn objects(connection: &Connection) -> rusqlite::Result<Vec<SchemaObject>> {
    connection
        .prepare(
            "SELECT type, name, tbl_name,
                CASE WHEN name NOT IN (SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'shadow') THEN sql END
             FROM main.sqlite_schema WHERE name NOT LIKE 'sqlite\\_stat%' ESCAPE '\\' ORDER BY type, name",
        )?
        .query_map([], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })?
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str = "CREATE TABLE words (word TEXT)";

    const fn definition(migrations: &'static [&'static str]) -> DatabaseDefinition {
        DatabaseDefinition {
            file_name: "words.db",
            application_id: 7,
            migrations,
            first_rows: |connection| {
                connection.execute_batch("INSERT INTO words (word) VALUES ('first')")
            },
            pragmas: "",
            writer_pragmas: "",
            prepared_statements_max: 1,
            checkpoint_pages: 1,
        }
    }

    fn words(connection: &Connection) -> Vec<String> {
        let mut statement = connection.prepare("SELECT word FROM words").unwrap();
        let words = statement.query_map([], |row| row.get(0)).unwrap();
        words.map(Result::unwrap).collect()
    }

    #[test]
    fn a_file_gets_the_migrations_that_it_has_not_seen_and_first_rows_only_when_it_is_new() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("words.db");
        let older = definition(&[FIRST]);
        let newer = definition(&[
            FIRST,
            "UPDATE words SET word = word || '!'",
            "ALTER TABLE words ADD COLUMN number INTEGER",
        ]);
        let connection = older.open_writer(&path).unwrap();
        assert_eq!(words(&connection), ["first"]);
        drop(connection);
        let refused = newer.check_up_to_date(&newer.open_reader(&path).unwrap());
        assert_eq!(refused.unwrap_err().kind(), StoreErrorKind::Unavailable);
        for _ in 0..2 {
            let connection = newer.open_writer(&path).unwrap();
            assert_eq!(words(&connection), ["first!"]);
            assert_eq!(newer.version_of(&connection).unwrap(), 3);
        }
        let error = older.open_writer(&path).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unsupported, "{error}");
        let connection = newer.open_reader(&path).unwrap();
        newer.check_up_to_date(&connection).unwrap();
    }

    #[test]
    fn a_migration_that_fails_leaves_the_file_as_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("words.db");
        let older = definition(&[FIRST]);
        drop(older.open_writer(&path).unwrap());
        let broken = definition(&[FIRST, "DROP TABLE words", "SELECT * FROM missing"]);
        broken.open_writer(&path).unwrap_err();
        let connection = older.open_writer(&path).unwrap();
        assert_eq!(words(&connection), ["first"]);
    }

    #[test]
    fn a_file_with_other_tables_is_refused_as_damaged() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("words.db");
        let definition = definition(&[FIRST]);
        let connection = definition.open_writer(&path).unwrap();
        let refused = |sql: &str| {
            connection.execute_batch(sql).unwrap();
            let error = definition.open_writer(&path).unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Damaged, "{sql}: {error}");
        };
        refused("CREATE TABLE another (number INTEGER)");
        refused("DROP TABLE another; PRAGMA user_version = -1");
        refused("PRAGMA user_version = 1; PRAGMA application_id = 8");
        refused("PRAGMA user_version = 0; PRAGMA application_id = 0");
    }
}

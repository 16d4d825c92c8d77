//! Inspects the schema before anything is created in the schema: the tables may exist, and another program may use their names.

use sqlx_core::arguments::Arguments as _;
use sqlx_core::error::Error;
use sqlx_core::row::Row as _;
use sqlx_postgres::{PgArguments, PgConnection, PgRow};

use super::errors::{Cause, PostgresError};
use super::statement::read_all;

/// The columns from the first change. This program needs all these columns.
const COLUMNS: [&str; 9] = [
    "id uuid",
    "title text",
    "title_folded text",
    "description text",
    "description_folded text",
    "deadline bigint",
    "status text",
    "created_at bigint",
    "updated_at bigint",
];
/// The identifying columns of the table of the older todo app.
const OLDER_COLUMNS: [&str; 5] = ["id", "title", "description", "deadline", "status"];
/// The names of all other results of the changes.
const OTHER_NAMES: [&str; 5] = [
    "todos_in_order",
    "todos_of_status",
    "todos_trigrams",
    "todos_by_number",
    "todos_moved",
];
const TABLE: &str = "todos";
const CHANGES_TABLE: &str = "fieldstation_migrations";
const ACTION: &str = "look at the tables in PostgreSQL";

/// The schema of the tables, and the rights of the user in the schema.
#[derive(Clone, Debug)]
pub(super) struct TargetSchema {
    pub(super) schema: String,
    pub(super) database: String,
    /// Whether the schema exists.
    pub(super) exists: bool,
    /// Whether the tables of this program exist.
    pub(super) has_tables: bool,
    /// Warnings for the operator. The tables can be used.
    pub(super) warnings: Vec<String>,
    user: String,
    may_use: bool,
    may_create: bool,
    may_create_schemas: bool,
    encoding: String,
    is_read_only: bool,
    owner: Option<String>,
    is_owner: bool,
}

/// A table, index or other relation with a name from this program.
#[derive(Clone, Debug)]
pub(super) struct Relation {
    pub(super) name: String,
    kind: String,
    owner: String,
    is_owner: bool,
    pub(super) columns: Vec<String>,
    /// The table of an index; empty for other relations.
    indexed_table: String,
    missing_rights: Vec<String>,
}

/// Finds the schema, and every relation in the schema with a name from this program. Changes nothing.
///
/// # Errors
/// [`Cause::PermissionDenied`] or [`Cause::TablesMissing`] when the tables must not be made or used: the error names the relation in the
/// way, and gives advice.
pub(super) async fn inspect(
    connection: &mut PgConnection,
    schema: Option<&str>,
) -> Result<TargetSchema, PostgresError> {
    let sqlx_error = |error| PostgresError::from_sqlx(ACTION, error);
    let mut values = PgArguments::default();
    let added = values.add(schema).map_err(Error::Encode);
    added.map_err(sqlx_error)?;
    let sql = include_str!("../sql/postgres/target_schema.sql").to_owned();
    let found = read_all(connection, sql, values)
        .await
        .map_err(sqlx_error)?;
    let row = found
        .first()
        .ok_or_else(|| sqlx_error(Error::RowNotFound))?;
    let mut target = parse_target(row, schema).map_err(sqlx_error)??;
    let names: Vec<&str> = [TABLE, CHANGES_TABLE]
        .into_iter()
        .chain(OTHER_NAMES)
        .collect();
    let relations = relations(connection, &target.schema, &names)
        .await
        .map_err(sqlx_error)?;
    target.check_relations(&relations)?;
    Ok(target)
}

/// The relations of a schema with these names.
pub(super) async fn relations(
    connection: &mut PgConnection,
    schema: &str,
    names: &[&str],
) -> Result<Vec<Relation>, Error> {
    let mut values = PgArguments::default();
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let added = values.add(schema).and_then(|()| values.add(names));
    added.map_err(Error::Encode)?;
    let sql = include_str!("../sql/postgres/relations.sql").to_owned();
    let rows = read_all(connection, sql, values).await?;
    rows.iter().map(relation).collect()
}

fn relation(row: &PgRow) -> Result<Relation, Error> {
    Ok(Relation {
        name: row.try_get(0)?,
        kind: row.try_get(1)?,
        owner: row.try_get(2)?,
        is_owner: row.try_get(3)?,
        columns: row.try_get(4)?,
        indexed_table: row.try_get(5)?,
        missing_rights: row.try_get(6)?,
    })
}

fn parse_target(
    row: &PgRow,
    schema: Option<&str>,
) -> Result<Result<TargetSchema, PostgresError>, Error> {
    let name: Option<String> = row.try_get(0)?;
    let user: String = row.try_get(5)?;
    let Some(name) = name.or_else(|| schema.map(str::to_owned)) else {
        return Ok(Err(needs_decision(format!(
            "the user {user} has no schema in the database {}: its search_path names none that is there; name one with \
             ?schema=NAME in the URL, or with the key schema in manifest.json",
            row.try_get::<String, _>(6)?
        ))));
    };
    Ok(Ok(TargetSchema {
        schema: name,
        exists: row.try_get(1)?,
        may_use: row.try_get(2)?,
        may_create: row.try_get(3)?,
        may_create_schemas: row.try_get(4)?,
        user,
        database: row.try_get(6)?,
        encoding: row.try_get(7)?,
        is_read_only: row.try_get(8)?,
        has_tables: false,
        warnings: Vec::new(),
        owner: None,
        is_owner: true,
    }))
}

impl Relation {
    fn has(&self, column: &str) -> bool {
        self.columns.iter().any(|other| other == column)
    }

    /// Whether the relation is the table of the older todo app: with an integer id, and without the columns of this program.
    pub(super) fn is_older_app(&self) -> bool {
        let has_id = ["integer", "bigint", "smallint"]
            .iter()
            .any(|kind| self.has(&format!("id {kind}")));
        let names: Vec<&str> = self
            .columns
            .iter()
            .filter_map(|column| column.split(' ').next())
            .collect();
        has_id
            && self.is_table()
            && OLDER_COLUMNS.iter().all(|name| names.contains(name))
            && !names.contains(&"title_folded")
    }

    /// Whether the relation is the table of this version of this program.
    pub(super) fn is_current(&self) -> bool {
        self.is_table()
            && COLUMNS.iter().all(|column| self.has(column))
            && self.has("number bigint")
    }

    fn is_table(&self) -> bool {
        matches!(self.kind.as_str(), "r" | "p")
    }

    fn kind_name(&self) -> &'static str {
        match self.kind.as_str() {
            "r" | "p" => "a table",
            "v" => "a view",
            "m" => "a materialized view",
            "f" => "a foreign table",
            "S" => "a sequence",
            "i" | "I" => "an index",
            _ => "a type",
        }
    }
}

impl TargetSchema {
    /// The schema and the database, for a message.
    pub(super) fn description(&self) -> String {
        format!(
            "the schema {} of the database {}",
            self.schema, self.database
        )
    }

    /// Checks whether the relations belong to this program and can be used.
    fn check_relations(&mut self, relations: &[Relation]) -> Result<(), PostgresError> {
        let named = |name: &str| relations.iter().find(|relation| relation.name == name);
        let (todos, changes) = (named(TABLE), named(CHANGES_TABLE));
        if self.exists && !self.may_use {
            return Err(self.permission_denied(format!(
                "the user {} may not use {}: as its owner run GRANT USAGE, CREATE ON SCHEMA {} TO {}",
                self.user,
                self.description(),
                self.schema,
                self.user
            )));
        }
        match (changes, todos) {
            (None, None) => {
                if let Some(other) = relations.iter().find(|relation| !relation.name.is_empty()) {
                    return Err(self.in_the_way(other));
                }
            }
            (None, Some(todos)) => return Err(self.not_ours(todos)),
            (Some(changes), _) if !changes.is_table() || !changes.has("checksum bytea") => {
                return Err(self.in_the_way(changes));
            }
            (Some(_), None) => {
                return Err(PostgresError::new(
                    Cause::TablesMissing,
                    format!(
                        "the table todos is missing in {}, where fieldstation_migrations says that it was made: restore it \
                         from a backup; to begin with no todos, drop fieldstation_migrations and todos_moved there",
                        self.description()
                    ),
                ));
            }
            (Some(_), Some(todos)) => self.use_table(todos)?,
        }
        if self.encoding != "UTF8" {
            let message = format!(
                "the database {} has the encoding {}, and todos may hold any text: make a database with CREATE DATABASE … ENCODING \
                 'UTF8' TEMPLATE template0",
                self.database, self.encoding
            );
            // A working store continues with a warning.
            match self.has_tables {
                true => self.warnings.push(message),
                false => return Err(needs_decision(message)),
            }
        }
        Ok(())
    }

    /// Checks the columns and the rights of the table, and notes the owner.
    fn use_table(&mut self, todos: &Relation) -> Result<(), PostgresError> {
        let missing: Vec<&str> = COLUMNS
            .into_iter()
            .filter(|column| !todos.has(column))
            .collect();
        if !todos.is_table() || !missing.is_empty() {
            return Err(PostgresError::new(
                Cause::TablesMissing,
                format!(
                    "todos in {} is {} that lacks columns which fieldstation_migrations says were made ({}): restore it from \
                     a backup, or run the version of fieldstation that it belongs to",
                    self.description(),
                    todos.kind_name(),
                    missing.join(", ")
                ),
            ));
        }
        if !todos.missing_rights.is_empty() {
            let (rights, user) = (todos.missing_rights.join(", "), &self.user);
            return Err(self.permission_denied(format!(
                "the user {user} lacks rights on the table todos in {}: as {} run GRANT {rights} ON {}.todos TO {user}",
                self.description(),
                todos.owner,
                self.schema
            )));
        }
        self.has_tables = true;
        self.owner = Some(todos.owner.clone());
        self.is_owner = todos.is_owner;
        Ok(())
    }

    /// Checks whether the user may make or change the tables.
    pub(super) fn check_rights(&self) -> Result<(), PostgresError> {
        let (user, schema, database) = (&self.user, &self.schema, &self.database);
        if self.is_read_only {
            return Err(PostgresError::new(
                Cause::ReadOnly,
                format!(
                    "PostgreSQL takes no writes at the moment, and the tables of the todos are not made yet: the database \
                     {database} is a standby, or read-only"
                ),
            ));
        }
        if !self.exists && !self.may_create_schemas {
            return Err(self.permission_denied(format!(
                "there is no schema {schema} in the database {database}, and the user {user} may not make one: as the owner of the database \
                 run CREATE SCHEMA \"{schema}\" AUTHORIZATION {user}"
            )));
        }
        if self.exists && !self.may_create {
            return Err(self.permission_denied(format!(
                "the user {user} may not make tables in {} (since PostgreSQL 15 only the owner of a database may, in public): \
                 as the owner run GRANT CREATE ON SCHEMA {schema} TO {user}, or name another schema with ?schema=NAME",
                self.description()
            )));
        }
        match &self.owner {
            Some(owner) if !self.is_owner => Err(self.permission_denied(format!(
                "this version has to change the tables of the todos in {}, which belong to {owner}: start this version \
                 once as {owner}, or run ALTER TABLE {schema}.todos OWNER TO {user} and the same for fieldstation_migrations",
                self.description()
            ))),
            _ => Ok(()),
        }
    }

    fn permission_denied(&self, message: String) -> PostgresError {
        PostgresError::new(Cause::PermissionDenied, message)
    }

    /// The error for a relation of another program.
    fn in_the_way(&self, relation: &Relation) -> PostgresError {
        let index = match relation.indexed_table.as_str() {
            "" => String::new(),
            table => format!(" on {table}"),
        };
        needs_decision(format!(
            "{} in {} is {}{index} of another program (owner {}), and todos need that name: use a schema of its own, with \
             ?schema=fieldstation in the URL or \"schema\": \"fieldstation\" in manifest.json",
            relation.name,
            self.description(),
            relation.kind_name(),
            relation.owner
        ))
    }

    /// The error for a relation `todos` in a schema without the list of changes.
    fn not_ours(&self, todos: &Relation) -> PostgresError {
        let of = format!(
            "todos in {} is {} of another program (owner {}; columns: {})",
            self.description(),
            todos.kind_name(),
            todos.owner,
            todos.columns.join(", ")
        );
        if todos.is_older_app() {
            return needs_decision(format!(
                "{of}: a todo app with integer ids. It is left as it is. To take its todos over run fieldstation migrate --from \
                 'postgres://…/{0}' --to 'postgres://…/{0}?schema=fieldstation'. Then, or to leave them alone, start the \
                 server with ?schema=fieldstation in the URL of --todos, or with \"schema\": \"fieldstation\" in manifest.json",
                self.database
            ));
        }
        if COLUMNS.iter().all(|column| todos.has(column)) {
            return PostgresError::new(
                Cause::TablesMissing,
                format!(
                    "todos in {} is a table of fieldstation, and the list of its changes, fieldstation_migrations, is missing \
                     or not to be seen: restore that, too",
                    self.description()
                ),
            );
        }
        needs_decision(format!(
            "{of}. It is left as it is: use a schema of its own, with ?schema=fieldstation in the URL of --todos or \"schema\": \
             \"fieldstation\" in manifest.json"
        ))
    }
}

/// An error for the operator to resolve. The cause is a missing right, because another attempt fails in the same way.
fn needs_decision(message: String) -> PostgresError {
    PostgresError::new(Cause::PermissionDenied, message)
}

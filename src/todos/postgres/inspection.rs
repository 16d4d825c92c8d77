//! What is in the database already, before anything is made there: tables of ours, of another program, or something odd.

use sqlx_core::arguments::Arguments as _;
use sqlx_core::error::Error;
use sqlx_core::row::Row as _;
use sqlx_postgres::{PgArguments, PgConnection, PgRow};

use super::errors::{Cause, Failure};
use super::migrations::rows;
use crate::error::StoreErrorKind;

/// The columns of the table as the first change made it: those that this program cannot do without.
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
/// The columns of the older todo app, by which its table is known.
const OLDER: [&str; 5] = ["id", "title", "description", "deadline", "status"];
/// Whatever else the changes make.
const OTHERS: [&str; 5] = [
    "todos_in_order",
    "todos_of_status",
    "todos_trigrams",
    "todos_by_number",
    "todos_moved",
];
const TABLE: &str = "todos";
const LIST: &str = "fieldstation_migrations";
const WHAT: &str = "look at the tables in PostgreSQL";

/// Where the tables are or are to be, and what this user may do there.
#[derive(Clone, Debug)]
pub(super) struct TargetSchema {
    pub(super) schema: String,
    pub(super) database: String,
    /// Whether the schema is there.
    pub(super) exists: bool,
    /// Whether there are tables of ours.
    pub(super) has_tables: bool,
    /// What works, and should be known.
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

/// Something that has one of our names.
#[derive(Clone, Debug)]
pub(super) struct Relation {
    pub(super) name: String,
    kind: String,
    owner: String,
    is_owner: bool,
    pub(super) columns: Vec<String>,
    /// The table that it is an index of.
    indexed: String,
    missing_rights: Vec<String>,
}

/// Looks at everything that has a name of ours.
///
/// # Errors
/// That the tables are not to be made, or not to be used, because of what is there: says what it is, and what to do.
pub(super) async fn look(
    connection: &mut PgConnection,
    schema: Option<&str>,
) -> Result<TargetSchema, Failure> {
    let failed = |error| Failure::of(WHAT, error);
    let mut values = PgArguments::default();
    let added = values.add(schema).map_err(Error::Encode);
    added.map_err(failed)?;
    let sql = include_str!("../sql/postgres/place.sql").to_owned();
    let found = rows(connection, sql, values).await.map_err(failed)?;
    let row = found.first().ok_or_else(|| failed(Error::RowNotFound))?;
    let mut schema_target = schema_target(row, schema).map_err(failed)??;
    let names: Vec<&str> = [TABLE, LIST].into_iter().chain(OTHERS).collect();
    let relations = relations(connection, &schema_target.schema, &names)
        .await
        .map_err(failed)?;
    schema_target.judge(&relations)?;
    Ok(schema_target)
}

/// What has one of these names in a schema.
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
    let rows = rows(connection, sql, values).await?;
    rows.iter().map(relation).collect()
}

fn relation(row: &PgRow) -> Result<Relation, Error> {
    Ok(Relation {
        name: row.try_get(0)?,
        kind: row.try_get(1)?,
        owner: row.try_get(2)?,
        is_owner: row.try_get(3)?,
        columns: row.try_get(4)?,
        indexed: row.try_get(5)?,
        missing_rights: row.try_get(6)?,
    })
}

fn schema_target(
    row: &PgRow,
    schema: Option<&str>,
) -> Result<Result<TargetSchema, Failure>, Error> {
    let name: Option<String> = row.try_get(0)?;
    let user: String = row.try_get(5)?;
    let Some(name) = name.or_else(|| schema.map(str::to_owned)) else {
        return Ok(Err(refused(format!(
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

    /// Whether it is the table of the older todo app: an integer for an id, and no column of ours.
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
            && OLDER.iter().all(|name| names.contains(name))
            && !names.contains(&"title_folded")
    }

    /// Whether it is a table of ours, of this version.
    pub(super) fn is_ours(&self) -> bool {
        self.is_table()
            && COLUMNS.iter().all(|column| self.has(column))
            && self.has("number bigint")
    }

    fn is_table(&self) -> bool {
        matches!(self.kind.as_str(), "r" | "p")
    }

    fn what(&self) -> &'static str {
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
    /// The schema and the database, in words.
    pub(super) fn shown(&self) -> String {
        format!(
            "the schema {} of the database {}",
            self.schema, self.database
        )
    }

    /// Whether what is there is ours, and can be used.
    fn judge(&mut self, relations: &[Relation]) -> Result<(), Failure> {
        let named = |name: &str| relations.iter().find(|relation| relation.name == name);
        let (todos, list) = (named(TABLE), named(LIST));
        if self.exists && !self.may_use {
            return Err(self.no_right(&format!(
                "the user {} may not use {}: as its owner run GRANT USAGE, CREATE ON SCHEMA {} TO {}",
                self.user,
                self.shown(),
                self.schema,
                self.user
            )));
        }
        match (list, todos) {
            (None, None) => {
                if let Some(other) = relations.iter().find(|relation| !relation.name.is_empty()) {
                    return Err(self.in_the_way(other));
                }
            }
            (None, Some(todos)) => return Err(self.not_ours(todos)),
            (Some(list), _) if !list.is_table() || !list.has("checksum bytea") => {
                return Err(self.in_the_way(list));
            }
            (Some(_), None) => {
                return Err(Failure::new(
                    Cause::NoTables,
                    format!(
                        "the table todos is missing in {}, where fieldstation_migrations says that it was made: restore it \
                         from a backup; to begin with no todos, drop fieldstation_migrations and todos_moved there",
                        self.shown()
                    ),
                ));
            }
            (Some(_), Some(todos)) => self.ours(todos)?,
        }
        if self.encoding != "UTF8" {
            let what = format!(
                "the database {} has the encoding {}, and todos may hold any text: make one with CREATE DATABASE … ENCODING \
                 'UTF8' TEMPLATE template0",
                self.database, self.encoding
            );
            // What works goes on.
            match self.has_tables {
                true => self.warnings.push(what),
                false => return Err(refused(what)),
            }
        }
        Ok(())
    }

    fn ours(&mut self, todos: &Relation) -> Result<(), Failure> {
        let missing: Vec<&str> = COLUMNS
            .into_iter()
            .filter(|column| !todos.has(column))
            .collect();
        if !todos.is_table() || !missing.is_empty() {
            return Err(Failure::new(
                Cause::NoTables,
                format!(
                    "todos in {} is {} that lacks columns which fieldstation_migrations says were made ({}): restore it from \
                     a backup, or run the version of fieldstation that it belongs to",
                    self.shown(),
                    todos.what(),
                    missing.join(", ")
                ),
            ));
        }
        if !todos.missing_rights.is_empty() {
            let (rights, user) = (todos.missing_rights.join(", "), &self.user);
            return Err(self.no_right(&format!(
                "the user {user} lacks rights on the table todos in {}: as {} run GRANT {rights} ON {}.todos TO {user}",
                self.shown(),
                todos.owner,
                self.schema
            )));
        }
        self.has_tables = true;
        self.owner = Some(todos.owner.clone());
        self.is_owner = todos.is_owner;
        Ok(())
    }

    /// Whether the tables can be made or changed.
    pub(super) fn check_rights(&self) -> Result<(), Failure> {
        let (user, schema, database) = (&self.user, &self.schema, &self.database);
        if self.is_read_only {
            return Err(Failure::new(
                Cause::ReadOnly,
                format!(
                    "PostgreSQL takes no writes at the moment, and the tables of the todos are not made yet: the database \
                     {database} is a standby, or read-only"
                ),
            ));
        }
        if !self.exists && !self.may_create_schemas {
            return Err(self.no_right(&format!(
                "there is no schema {schema} in the database {database}, and the user {user} may not make one: as its owner \
                 run CREATE SCHEMA \"{schema}\" AUTHORIZATION {user}"
            )));
        }
        if self.exists && !self.may_create {
            return Err(self.no_right(&format!(
                "the user {user} may not make tables in {} (since PostgreSQL 15 only the owner of a database may, in public): \
                 as the owner run GRANT CREATE ON SCHEMA {schema} TO {user}, or name another schema with ?schema=NAME",
                self.shown()
            )));
        }
        match &self.owner {
            Some(owner) if !self.is_owner => Err(self.no_right(&format!(
                "the tables of the todos in {} are to be changed for this version, and belong to {owner}: start this version \
                 once as {owner}, or run ALTER TABLE {schema}.todos OWNER TO {user} and the same for fieldstation_migrations",
                self.shown()
            ))),
            _ => Ok(()),
        }
    }

    fn no_right(&self, what: &str) -> Failure {
        Failure::new(Cause::NoRight, what)
    }

    fn in_the_way(&self, relation: &Relation) -> Failure {
        let index = match relation.indexed.as_str() {
            "" => String::new(),
            table => format!(" on {table}"),
        };
        refused(format!(
            "{} in {} is {}{index} of another program (owner {}), and todos need that name: use a schema of its own, with \
             ?schema=fieldstation in the URL or \"schema\": \"fieldstation\" in manifest.json",
            relation.name,
            self.shown(),
            relation.what(),
            relation.owner
        ))
    }

    /// Something that is called `todos` where no change of ours was made.
    fn not_ours(&self, todos: &Relation) -> Failure {
        let of = format!(
            "todos in {} is {} of another program (owner {}; columns: {})",
            self.shown(),
            todos.what(),
            todos.owner,
            todos.columns.join(", ")
        );
        if todos.is_older_app() {
            return refused(format!(
                "{of}: a todo app with integer ids. It is left as it is. To take its todos over run fieldstation migrate --from \
                 'postgres://…/{0}' --to 'postgres://…/{0}?schema=fieldstation'. Then, or to leave them alone, start the \
                 server with ?schema=fieldstation in the URL of --todos, or with \"schema\": \"fieldstation\" in manifest.json",
                self.database
            ));
        }
        if COLUMNS.iter().all(|column| todos.has(column)) {
            return Failure::new(
                Cause::NoTables,
                format!(
                    "todos in {} is a table of fieldstation, and the list of its changes, fieldstation_migrations, is missing \
                     or not to be seen: restore that, too",
                    self.shown()
                ),
            );
        }
        refused(format!(
            "{of}. It is left as it is: use a schema of its own, with ?schema=fieldstation in the URL of --todos or \"schema\": \
             \"fieldstation\" in manifest.json"
        ))
    }
}

/// What somebody has to decide. The cause counts as the lack of a right: trying again changes nothing.
fn refused(what: String) -> Failure {
    let failure = Failure::new(Cause::NoRight, what);
    debug_assert_eq!(failure.for_log().kind(), StoreErrorKind::Denied);
    failure
}

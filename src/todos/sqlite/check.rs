//! Whether rows of todos are what this program writes.

use rusqlite::Connection;

use super::row;
use crate::error::StoreError;
use crate::storage::app_database::{self, FILE_NAME};
use crate::storage::sqlite;

/// Reads every todo that matches its checksum; `problem` is told of each that is none.
///
/// # Errors
/// When they cannot be read.
pub(crate) fn check_rows(
    connection: &Connection,
    problem: &mut dyn FnMut(String),
) -> Result<(), StoreError> {
    let failed = |error| sqlite::query_error(FILE_NAME, "read todos", error);
    let todos = app_database::sound_rows(connection, "todos")?;
    let sql = format!(
        "SELECT id, title, description, deadline, status, created_at, updated_at FROM {todos}"
    );
    let mut statement = connection.prepare(&sql).map_err(failed)?;
    let mut rows = statement.query([]).map_err(failed)?;
    while let Some(found) = rows.next().map_err(failed)? {
        match row(found).map_err(failed)?.into_todo() {
            Ok(_) => {}
            Err(reason) => problem(reason),
        }
    }
    Ok(())
}

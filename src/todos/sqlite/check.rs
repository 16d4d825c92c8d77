//! Checks the rows of todos.

use rusqlite::Connection;

use super::row;
use crate::error::StoreError;
use crate::storage::app_database::{self, FILE_NAME};
use crate::storage::sqlite;

/// Parses every row with a right checksum. Calls `problem` for each row that this program never writes.
///
/// # Errors
/// When the rows cannot be read.
pub(crate) fn check_rows(
    connection: &Connection,
    problem: &mut dyn FnMut(String),
) -> Result<(), StoreError> {
    let query_error = |error| sqlite::query_error(FILE_NAME, "read todos", error);
    let todos = app_database::sound_rows(connection, "todos")?;
    let sql = format!(
        "SELECT id, title, description, deadline, status, created_at, updated_at FROM {todos}"
    );
    let mut statement = connection.prepare(&sql).map_err(query_error)?;
    let mut rows = statement.query([]).map_err(query_error)?;
    while let Some(found) = rows.next().map_err(query_error)? {
        match row(found).map_err(query_error)?.into_todo() {
            Ok(_) => {}
            Err(reason) => problem(reason),
        }
    }
    Ok(())
}

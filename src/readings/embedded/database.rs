//! Opens connections to `readings.db`.

use rusqlite::Connection;

use super::schema::{self, DATABASE};
use crate::error::StoreError;
use crate::storage::data_directory::DataDirectory;

/// Opens another read-only connection. Fails if the files of the database are no longer the opened files.
pub(crate) fn open_reader_of(directory: &DataDirectory) -> Result<Connection, StoreError> {
    let connection = directory.open_reader(&DATABASE)?;
    if directory.is_read_only() {
        schema::check_reader(&connection)?;
    }
    Ok(connection)
}

//! How the databases of a data directory are opened.

use std::fs;

use rusqlite::Connection;

use super::{DataDirectory, io_error, unavailable};
use crate::error::{StoreError, StoreErrorKind};
use crate::storage::sqlite::{self, DatabaseDefinition, write_ahead_log};

impl DataDirectory {
    /// Opens the writing connection of a database, and empties the write-ahead log. Creates a missing file. Opening may use the reserve if
    /// the disk is full. From then on the presence of the files is watched.
    ///
    /// # Errors
    /// Those of [`DatabaseDefinition::open_writer`]; when the disk is full or fails.
    pub(crate) fn open_writer(
        &self,
        database: &DatabaseDefinition,
    ) -> Result<Connection, StoreError> {
        let name = database.file_name;
        let path = self.join(name);
        let is_new = !fs::metadata(&path).is_ok_and(|found| found.len() > 0);
        let opened = self.disk.with_reserve(|| {
            let connection =
                database.open_writer(&path).map_err(
                    |error| match sqlite::may_lack_room_to_open(&error) {
                        true if self.disk.lacks_room() => self.disk.full().with_source(error),
                        _ => error,
                    },
                )?;
            match self.without_room(write_ahead_log::checkpoint(name, &connection))? {
                // The first checkpoint flushes the first page of a new file. Without this page SQLite ignores the log.
                Some(error) if is_new => Err(error),
                _ => Ok(connection),
            }
        })?;
        let look_failed = |error| io_error(&self.path, "cannot look at the data directory", error);
        self.presence.expect(path).map_err(look_failed)?;
        let log = self.join(&format!("{name}-wal"));
        if log.exists() {
            self.presence.expect(log).map_err(look_failed)?;
        }
        self.sync()?;
        Ok(opened)
    }

    /// Opens another connection for reads only, if the path still leads to the database that was opened first. In a directory that is only
    /// read, the connection makes and changes no file.
    ///
    /// # Errors
    /// [`StoreErrorKind::Unavailable`] when the database is not there; when it cannot be opened.
    pub(crate) fn open_reader(
        &self,
        database: &DatabaseDefinition,
    ) -> Result<Connection, StoreError> {
        let path = self.join(database.file_name);
        if self.is_read_only {
            return database.open_untouched(&path);
        }
        self.check_database(database.file_name)?;
        database.open_reader(&path)
    }

    /// Checks that the paths of a database still lead to the opened files. To be called before another connection is opened.
    ///
    /// # Errors
    /// [`StoreErrorKind::Unavailable`] when a file is missing or replaced.
    fn check_database(&self, name: &str) -> Result<(), StoreError> {
        self.confirm_files(name).map_err(|what| unavailable(&what))
    }

    /// Separates a lack of room from the other errors of a checkpoint. `Some` is a lack of room: nothing is lost, and a later checkpoint
    /// copies the log.
    ///
    /// # Errors
    /// When the checkpoint failed for another reason.
    pub(crate) fn without_room(
        &self,
        checkpoint: Result<(), StoreError>,
    ) -> Result<Option<StoreError>, StoreError> {
        match checkpoint.map_err(|error| self.explain(error)) {
            Ok(()) => Ok(None),
            Err(error) if error.kind() == StoreErrorKind::StorageFull => Ok(Some(error)),
            Err(error) => Err(error),
        }
    }
}

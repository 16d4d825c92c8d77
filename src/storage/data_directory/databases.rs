//! How the databases of a data directory are opened.

use std::fs;

use rusqlite::Connection;

use super::{DataDirectory, io_error, unavailable};
use crate::error::{StoreError, StoreErrorKind};
use crate::storage::sqlite::{self, DatabaseDefinition, write_ahead_log};

impl DataDirectory {
    /// Opens the connection that writes to a database, with an empty write-ahead log; creates the file if it is missing. Opening may take
    /// from the reserve if the disk is full. From then on the presence of the files is watched.
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
                // The first checkpoint flushes the first page of a new file. Without that page its log is ignored.
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

    /// Opens one more connection that only reads a database, if the database is still where it was opened first. In a directory that is
    /// only read, it makes and changes no file.
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

    /// Whether the files of a database are still the ones that were opened. To be called before one more connection is opened.
    ///
    /// # Errors
    /// [`StoreErrorKind::Unavailable`] when they are not.
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

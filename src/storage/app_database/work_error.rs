//! The error of the work in a transaction.

use crate::error::StoreError;

/// Why the work of a transaction failed.
#[derive(Debug)]
pub enum WorkError {
    /// An error of SQLite.
    Sqlite(rusqlite::Error),
    /// An error of the slice that runs the transaction.
    Store(StoreError),
}

impl WorkError {
    /// The error for the caller. `query_error` names an error of SQLite.
    pub(super) fn into_store(
        self,
        query_error: impl FnOnce(rusqlite::Error) -> StoreError,
    ) -> StoreError {
        match self {
            Self::Sqlite(error) => query_error(error),
            Self::Store(error) => error,
        }
    }
}

impl From<rusqlite::Error> for WorkError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<StoreError> for WorkError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

//! Snapshots: a read transaction on the file, and the matching state of the index.

use std::time::Duration;

use rusqlite::Connection;

use crate::error::StoreError;
use crate::readings::embedded::format::file::failed;
use crate::readings::embedded::format::ledger::Ledger;
use crate::readings::embedded::index::Index;
use crate::readings::embedded::shared::Shared;
use crate::storage::sqlite::Reader;

/// A snapshot: a read transaction, and the data copied from the index.
#[derive(Debug)]
pub(crate) struct Snapshot<T> {
    reader: Reader,
    /// The result of `look`.
    pub(crate) data: T,
}

impl<T> Snapshot<T> {
    /// The read transaction.
    pub(crate) fn connection(&self) -> Result<&Connection, StoreError> {
        self.reader.connection()
    }

    /// Ends the read transaction. Afterwards the connection can be used for another snapshot.
    pub(crate) fn end(self) -> Result<Reader, StoreError> {
        self.reader
            .connection()?
            .execute_batch("ROLLBACK")
            .map_err(|error| failed("read again", error))?;
        Ok(self.reader)
    }

    /// The connection; returned to the pool later.
    pub(crate) fn reader(&self) -> &Reader {
        &self.reader
    }

    /// Takes a snapshot: calls `look` with the index, and begins a read transaction that sees the matching chunks.
    ///
    /// A commit that seals becomes visible in the file shortly before the tails drop the sealed points. In between, the
    /// generations of the file and of the index differ, and the snapshot is taken again.
    pub(crate) fn take(
        reader: Reader,
        shared: &Shared,
        look: impl Fn(&Index) -> T,
    ) -> Result<Self, StoreError> {
        Self::take_prepared(reader, shared, |_, _| Ok(()), |index, ()| look(index))
    }

    /// As [`Snapshot::take`], but `prepare` reads the file first. `prepare` may be called more than once.
    pub(crate) fn take_prepared<P>(
        reader: Reader,
        shared: &Shared,
        prepare: impl Fn(&Connection, &Ledger) -> Result<P, StoreError>,
        look: impl Fn(&Index, P) -> T,
    ) -> Result<Self, StoreError> {
        loop {
            reader.check()?;
            let connection = reader.connection()?;
            connection
                .execute_batch("BEGIN")
                .map_err(|error| failed("begin to read", error))?;
            let ledger = Ledger::read(connection)?;
            let prepared = prepare(connection, &ledger)?;
            let index = shared.index.read();
            if index.generation == ledger.generation {
                let data = look(&index, prepared);
                drop(index);
                return Ok(Self { reader, data });
            }
            drop(index);
            connection
                .execute_batch("ROLLBACK")
                .map_err(|error| failed("read again", error))?;
            std::thread::sleep(Duration::from_micros(100));
        }
    }
}

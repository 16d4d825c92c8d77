//! Reads that see one moment: a read transaction on the chunks, and the tails that go with it.

use std::time::Duration;

use rusqlite::Connection;

use crate::error::StoreError;
use crate::readings::embedded::format::file::failed;
use crate::readings::embedded::format::ledger::Ledger;
use crate::readings::embedded::index::Index;
use crate::readings::embedded::shared::Shared;
use crate::storage::sqlite::Reader;

/// A moment: the chunks as they were, and what was taken from the index to go with them.
#[derive(Debug)]
pub(crate) struct Snapshot<T> {
    reader: Reader,
    /// What `look` returned.
    pub(crate) seen: T,
}

impl<T> Snapshot<T> {
    /// The read transaction.
    pub(crate) fn connection(&self) -> Result<&Connection, StoreError> {
        self.reader.connection()
    }

    /// Ends the read transaction; the connection can look at another moment then.
    pub(crate) fn end(self) -> Result<Reader, StoreError> {
        self.reader
            .connection()?
            .execute_batch("ROLLBACK")
            .map_err(|error| failed("read again", error))?;
        Ok(self.reader)
    }

    /// The connection on loan.
    pub(crate) fn reader(&self) -> &Reader {
        &self.reader
    }

    /// Takes what `look` picks from the index, together with a read transaction that sees the chunks of that same moment.
    ///
    /// A commit that seals becomes visible in the file a little before the tails let go of what was sealed. In between the
    /// generations differ, and both are looked at again.
    pub(crate) fn take(
        reader: Reader,
        shared: &Shared,
        look: impl Fn(&Index) -> T,
    ) -> Result<Self, StoreError> {
        Self::take_prepared(reader, shared, |_, _| Ok(()), |index, ()| look(index))
    }

    /// The same, where `prepare` has a look at the file first. It may have to more than once.
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
                let seen = look(&index, prepared);
                drop(index);
                return Ok(Self { reader, seen });
            }
            drop(index);
            connection
                .execute_batch("ROLLBACK")
                .map_err(|error| failed("read again", error))?;
            std::thread::sleep(Duration::from_micros(100));
        }
    }
}

//! Reads that see one moment: a read transaction on the chunks, and the tails that go with it.

use std::time::Duration;

use rusqlite::Connection;

use super::committer::Shared;
use super::database::{Ledger, failed};
use super::index::Index;
use crate::error::StoreError;
use crate::sqlite::Reader;

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
        loop {
            reader.check()?;
            let connection = reader.connection()?;
            connection
                .execute_batch("BEGIN")
                .map_err(|error| failed("begin to read", error))?;
            let generation = Ledger::read(connection)?.generation;
            let index = shared.index.read();
            if index.generation == generation {
                let seen = look(&index);
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

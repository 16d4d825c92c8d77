//! The one row of the table `ledger`: what the file says of itself as a whole.

use rusqlite::{Connection, OptionalExtension, params};

use super::codec;
use super::file::{damaged, failed, signed, unsigned};
use crate::error::StoreError;

/// What the file says of itself as a whole; updated in every transaction that seals. A row that vanished from `chunks`
/// shows by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ledger {
    /// How many transactions have sealed.
    pub(crate) generation: u64,
    /// Every reading in log rows up to this sequence is in chunks, or again in a later row.
    pub(crate) log_sealed: u64,
    /// How many chunks there are.
    pub(crate) chunks: u64,
    /// The wrapping sum of their checksums.
    pub(crate) chunk_checksums: u64,
    /// What of the log is in `periods`; `None` while these cannot be used.
    pub(crate) counted: Option<Counted>,
}

/// A row of the log, where there is none.
const NO_ROW: i64 = -1;

impl Ledger {
    pub(crate) fn of_new_file() -> Self {
        Self {
            counted: Some(Counted::default()),
            ..Self::default()
        }
    }

    fn checksum(&self) -> u64 {
        let columns = [
            self.generation,
            self.log_sealed,
            self.chunks,
            self.chunk_checksums,
        ];
        // In schema version 1 there were no others. How many they are is part of it.
        let Some(_) = self.counted else {
            return codec::hash_integers(&columns);
        };
        let counted = self.counted_columns().map(unsigned);
        codec::hash_integers(&[&columns[..], &counted].concat())
    }

    fn counted_columns(&self) -> [i64; 5] {
        let Some(counted) = self.counted else {
            return [NO_ROW, NO_ROW, 0, 0, 0];
        };
        let (mark, before) = counted.folding.map_or((NO_ROW, 0), |folding| {
            (signed(folding.mark), folding.before)
        });
        [
            signed(counted.through),
            mark,
            before,
            signed(counted.days.rows),
            signed(counted.days.checksums),
        ]
    }

    fn counted_of(columns: [i64; 5]) -> Option<Counted> {
        let [through, mark, before, rows, checksums] = columns;
        (through != NO_ROW).then(|| Counted {
            through: unsigned(through),
            folding: (mark != NO_ROW).then(|| Folding {
                mark: unsigned(mark),
                before,
            }),
            days: DayRows {
                rows: unsigned(rows),
                checksums: unsigned(checksums),
            },
        })
    }

    pub(crate) fn read(connection: &Connection) -> Result<Self, StoreError> {
        let row = connection
            .prepare_cached(
                "SELECT generation, log_sealed, chunks, chunk_checksums, counted_through, folding_mark, folding_before, day_rows, \
                 day_checksums, checksum FROM ledger",
            )
            .and_then(|mut statement| {
                statement
                    .query_row([], |row| {
                        let ledger = Self {
                            generation: unsigned(row.get(0)?),
                            log_sealed: unsigned(row.get(1)?),
                            chunks: unsigned(row.get(2)?),
                            chunk_checksums: unsigned(row.get(3)?),
                            counted: Self::counted_of([
                                row.get(4)?,
                                row.get(5)?,
                                row.get(6)?,
                                row.get(7)?,
                                row.get(8)?,
                            ]),
                        };
                        Ok((ledger, unsigned(row.get(9)?)))
                    })
                    .optional()
            })
            .map_err(|error| failed("read the ledger", error))?;
        match row {
            Some((ledger, checksum)) if checksum == ledger.checksum() => Ok(ledger),
            _ => Err(damaged(
                "the ledger is missing or does not match its checksum",
            )),
        }
    }

    pub(crate) fn write(&self, connection: &Connection) -> rusqlite::Result<()> {
        let [through, mark, before, rows, checksums] = self.counted_columns();
        connection
            .prepare_cached(
                "INSERT OR REPLACE INTO ledger VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            )?
            .execute(params![
                signed(self.generation),
                signed(self.log_sealed),
                signed(self.chunks),
                signed(self.chunk_checksums),
                through,
                mark,
                before,
                rows,
                checksums,
                signed(self.checksum()),
            ])?;
        Ok(())
    }
}

/// What of the log is in `periods`, as the ledger tells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    /// All readings in log rows up to this one.
    pub(crate) through: u64,
    /// Of the rows after these, what is being folded.
    pub(crate) folding: Option<Folding>,
    pub(crate) days: DayRows,
}

/// Up to which row readings are being counted, and before which moment, the start of a second, those are that have been.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Folding {
    pub(crate) mark: u64,
    pub(crate) before: i64,
}

/// How many rows of days there are, and the wrapping sum of their checksums. The other rows are vouched for by the longer
/// period that they divide.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct DayRows {
    pub(crate) rows: u64,
    pub(crate) checksums: u64,
}

impl DayRows {
    pub(crate) fn add(&mut self, checksum: u64) {
        self.rows += 1;
        self.checksums = self.checksums.wrapping_add(checksum);
    }

    pub(crate) fn remove(&mut self, checksum: u64) {
        self.rows = self.rows.wrapping_sub(1);
        self.checksums = self.checksums.wrapping_sub(checksum);
    }
}

//! The table `ledger`: a single row with counts and checksums of the whole file.

use rusqlite::{Connection, OptionalExtension, params};

use super::codec;
use super::file::{damaged, failed, signed, unsigned};
use crate::error::StoreError;

/// Counts and checksums of the whole file. Every transaction that seals updates the ledger, so that a missing row of `chunks` is
/// detected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ledger {
    /// The number of transactions that have sealed.
    pub(crate) generation: u64,
    /// Every reading in log rows up to this sequence is in chunks, or again in a later row.
    pub(crate) log_sealed: u64,
    /// The number of chunks.
    pub(crate) chunks: u64,
    /// The wrapping sum of the checksums of all chunks.
    pub(crate) chunk_checksums: u64,
    /// How far the log is counted into `periods`; `None` while the table cannot be used.
    pub(crate) counted: Option<Counted>,
}

/// Stands for a missing log row.
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
        // Schema version 1 had no further columns. The number of columns is a part of the checksum.
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
        let (log_end, before) = counted.folding.map_or((NO_ROW, 0), |folding| {
            (signed(folding.log_end), folding.before)
        });
        [
            signed(counted.through),
            log_end,
            before,
            signed(counted.days.rows),
            signed(counted.days.checksums),
        ]
    }

    fn counted_of(columns: [i64; 5]) -> Option<Counted> {
        let [through, log_end, before, rows, checksums] = columns;
        (through != NO_ROW).then(|| Counted {
            through: unsigned(through),
            folding: (log_end != NO_ROW).then(|| Folding {
                log_end: unsigned(log_end),
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
        let [through, log_end, before, rows, checksums] = self.counted_columns();
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
                log_end,
                before,
                rows,
                checksums,
                signed(self.checksum()),
            ])?;
        Ok(())
    }
}

/// How far the log is counted into `periods`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    /// All readings in log rows up to this sequence are counted.
    pub(crate) through: u64,
    /// The progress of folding the rows after `through`.
    pub(crate) folding: Option<Folding>,
    pub(crate) days: DayRows,
}

/// The progress of folding: folding counts the readings in log rows up to `log_end`; readings earlier than `before` (the start of a
/// second) are already counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Folding {
    pub(crate) log_end: u64,
    pub(crate) before: i64,
}

/// The number of day rows in `periods`, and the wrapping sum of their checksums. Every row for a shorter period is checked against
/// the longer period around the shorter period.
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

//! `readings.db`: how it is opened, what it says of itself as a whole, and what its errors mean.

use rusqlite::{Connection, OptionalExtension, params};

use super::codec;
use super::codec::CodecError;
use super::periods::{Counted, DayRows, Folding};
use super::schema::{self, DATABASE};
use crate::error::{StoreError, StoreErrorKind};
use crate::storage::data_directory::DataDirectory;

/// The file's name in the data directory.
pub(crate) const FILE_NAME: &str = "readings.db";

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

/// SQLite's integers are signed; checksums and counters keep their bits.
pub(crate) fn signed(value: u64) -> i64 {
    value.cast_signed()
}

pub(crate) fn unsigned(value: i64) -> u64 {
    value.cast_unsigned()
}

/// Opens one more connection that only reads, while the database is where it was opened first.
pub(crate) fn open_reader_of(directory: &DataDirectory) -> Result<Connection, StoreError> {
    let connection = directory.open_reader(&DATABASE)?;
    if directory.is_read_only() {
        schema::check_reader(&connection)?;
    }
    Ok(connection)
}

/// What is on disk is not what was written.
pub(crate) fn damaged(what: impl AsRef<str>) -> StoreError {
    DATABASE.damaged(what)
}

/// An error of SQLite while doing something.
pub(crate) fn failed(what: &str, error: rusqlite::Error) -> StoreError {
    DATABASE.error(what, error)
}

/// Bytes that a codec does not read: damaged, or in a format that a later version has added.
pub(crate) fn unreadable(what: &str, error: CodecError) -> StoreError {
    match error {
        CodecError::Format(format) => StoreError::new(
            StoreErrorKind::Unsupported,
            format!(
                "{FILE_NAME} was written by a newer version of fieldstation: {what} is in format {format}, which this program does \
                 not know; use the version that wrote it, or a newer one"
            ),
        ),
        error => damaged(format!("in {what}, {error}")),
    }
}

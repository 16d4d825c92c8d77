//! The tables `chunks` and `chunk_data`: a chunk is a few thousand readings of a sensor, compressed, with their statistics as
//! columns.
//!
//! A sensor's chunks do not overlap in time. The statistics of a window are the sum of two parts: the columns of the chunks inside
//! the window, and the decoded readings of the chunks at the edges of the window.

use rusqlite::{CachedStatement, Connection, OptionalExtension, Row, params};

use super::codec;
use super::file::{damaged, decode_error, failed, signed, unsigned};
use super::points;
use super::run::{self, Part};
use crate::error::StoreError;
use crate::readings::{Point, Stats, Temperature, Timestamp, Window};

/// The columns of a chunk, checked against their checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub(crate) sensor: u32,
    pub(crate) first: Timestamp,
    pub(crate) last: Timestamp,
    pub(crate) stats: Stats,
    /// The temperature at `last`.
    pub(crate) latest: Temperature,
    /// The row of `chunk_data` with the points. A chunk written later has a higher row number.
    pub(crate) data: i64,
    /// When this chunk was written, every reading of the sensor in log rows up to this sequence was in chunks, or again in a
    /// later row. 0 if only a part of the tail was sealed. The largest value among the chunks of a sensor counts.
    pub(crate) sealed_through: u64,
}

/// A query of whole rows. A macro, because prepared statements are cached by their text.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT sensor, first, last, count, sum, minimum, maximum, latest, data, sealed_through, checksum FROM chunks ",
            $rest
        )
    };
}

impl Chunk {
    /// The checksum of the columns.
    pub(crate) fn checksum(&self) -> u64 {
        let stats = &self.stats;
        let columns = [
            u64::from(self.sensor),
            unsigned(self.first.micros()),
            unsigned(self.last.micros()),
            stats.count(),
            stats.sum_micro_degrees() as u64,
            stats.minimum().map_or(0, |t| unsigned(t.micro_degrees())),
            stats.maximum().map_or(0, |t| unsigned(t.micro_degrees())),
            unsigned(self.latest.micro_degrees()),
            unsigned(self.data),
            self.sealed_through,
        ];
        // Chunks of schema version 1 have a checksum of fewer columns. The number of columns is a part of the checksum.
        match self.sealed_through {
            0 => codec::hash_integers(&columns[..columns.len() - 1]),
            _ => codec::hash_integers(&columns),
        }
    }

    /// The seed that binds the checksum of the data to the chunk.
    fn data_seed(&self) -> u64 {
        codec::hash_integers(&[u64::from(self.sensor), unsigned(self.first.micros())])
    }

    fn from_row(row: &Row<'_>) -> rusqlite::Result<Result<Self, StoreError>> {
        let numbers: [i64; 11] = [
            row.get(0)?,
            row.get(1)?,
            row.get(2)?,
            row.get(3)?,
            row.get(4)?,
            row.get(5)?,
            row.get(6)?,
            row.get(7)?,
            row.get(8)?,
            row.get(9)?,
            row.get(10)?,
        ];
        Ok(Self::from_numbers(&numbers).ok_or_else(|| {
            damaged(format!(
                "the columns of a chunk of sensor number {} starting at {} do not match their checksum",
                numbers[0],
                Timestamp::from_micros(numbers[1]).map_or_else(|| "?".to_owned(), |t| t.to_string()),
            ))
        }))
    }

    fn from_numbers(numbers: &[i64; 11]) -> Option<Self> {
        let [
            sensor,
            first,
            last,
            count,
            sum,
            minimum,
            maximum,
            latest,
            data,
            sealed_through,
            checksum,
        ] = *numbers;
        let chunk = Self {
            sensor: u32::try_from(sensor).ok()?,
            first: Timestamp::from_micros(first)?,
            last: Timestamp::from_micros(last)?,
            stats: Stats::from_parts(unsigned(count), i128::from(sum), minimum, maximum)?,
            latest: Temperature::from_micro_degrees(latest)?,
            data,
            sealed_through: unsigned(sealed_through),
        };
        (chunk.checksum() == unsigned(checksum)).then_some(chunk)
    }

    fn describe(&self) -> String {
        format!(
            "the chunk of sensor number {} from {} to {}",
            self.sensor, self.first, self.last
        )
    }
}

/// Calls `visit` with each chunk of a sensor that ends at or after `from` and starts before `to`, in order of time, until `visit`
/// returns `false`.
pub(crate) fn visit(
    connection: &Connection,
    sensor: u32,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    mut visit: impl FnMut(Chunk) -> Result<bool, StoreError>,
) -> Result<(), StoreError> {
    // The chunks do not overlap, so only the last chunk with a start before `from` can reach into the window.
    let start = match from {
        None => i64::MIN,
        Some(from) => match at_or_before(connection, sensor, from)? {
            Some(chunk) if chunk.last >= from => chunk.first.micros(),
            _ => from.micros(),
        },
    };
    let end = to.map_or(i64::MAX, Timestamp::micros);
    let mut statement = prepare(
        connection,
        select!("WHERE sensor = ? AND first >= ? AND first < ? ORDER BY first"),
    )?;
    let mut rows = statement
        .query(params![sensor, start, end])
        .map_err(read_error)?;
    while let Some(row) = rows.next().map_err(read_error)? {
        if !visit(Chunk::from_row(row).map_err(read_error)??)? {
            break;
        }
    }
    Ok(())
}

/// Calls `visit` with every chunk, ordered by sensor number and time.
pub(crate) fn visit_all(
    connection: &Connection,
    mut visit: impl FnMut(Result<Chunk, StoreError>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut statement = prepare(connection, select!("ORDER BY sensor, first"))?;
    let mut rows = statement.query([]).map_err(read_error)?;
    while let Some(row) = rows.next().map_err(read_error)? {
        visit(Chunk::from_row(row).map_err(read_error)?)?;
    }
    Ok(())
}

/// The last chunk of a sensor with a start at or before a timestamp.
pub(crate) fn at_or_before(
    connection: &Connection,
    sensor: u32,
    timestamp: Timestamp,
) -> Result<Option<Chunk>, StoreError> {
    query_chunk(
        connection,
        select!("WHERE sensor = ? AND first <= ? ORDER BY first DESC LIMIT 1"),
        sensor,
        timestamp,
    )
}

/// The first chunk of a sensor with a start after a timestamp.
pub(crate) fn after(
    connection: &Connection,
    sensor: u32,
    timestamp: Timestamp,
) -> Result<Option<Chunk>, StoreError> {
    query_chunk(
        connection,
        select!("WHERE sensor = ? AND first > ? ORDER BY first LIMIT 1"),
        sensor,
        timestamp,
    )
}

fn query_chunk(
    connection: &Connection,
    sql: &str,
    sensor: u32,
    timestamp: Timestamp,
) -> Result<Option<Chunk>, StoreError> {
    prepare(connection, sql)?
        .query_row(params![sensor, timestamp.micros()], Chunk::from_row)
        .optional()
        .map_err(read_error)?
        .transpose()
}

/// Reads the points of a chunk. Checks them against the checksum and the columns.
pub(crate) fn points(connection: &Connection, chunk: &Chunk) -> Result<Vec<Point>, StoreError> {
    part(connection, chunk, Window::ALL).map(|part| part.points)
}

/// Reads the points of a chunk in a window. Decodes few points outside the window.
pub(crate) fn points_within(
    connection: &Connection,
    chunk: &Chunk,
    window: Window,
) -> Result<Vec<Point>, StoreError> {
    let mut held = part(connection, chunk, window)?.points;
    let inside = points::within(&held, window);
    if inside.len() < held.len() {
        held = inside.to_vec();
    }
    Ok(held)
}

/// Decodes the pages of a chunk that reach into a window, at least one page. Checks the checksum of all of the data, and the
/// decoded points against the columns.
pub(crate) fn part(
    connection: &Connection,
    chunk: &Chunk,
    window: Window,
) -> Result<Part, StoreError> {
    let mut statement = prepare(connection, "SELECT data FROM chunk_data WHERE id = ?")?;
    let mut rows = statement.query([chunk.data]).map_err(read_error)?;
    let Some(row) = rows.next().map_err(read_error)? else {
        return Err(damaged(format!(
            "the data of {} is missing",
            chunk.describe()
        )));
    };
    let bytes = row
        .get_ref(0)
        .map_err(read_error)?
        .as_blob()
        .map_err(|_| damaged(format!("the data of {} is not a blob", chunk.describe())))?;
    let part = codec::checked(bytes, chunk.data_seed())
        .and_then(|bytes| run::decode_within(bytes, window))
        .map_err(|error| decode_error(&format!("the data of {}", chunk.describe()), error))?;
    if part.count == chunk.stats.count()
        && part.first == chunk.first
        && (part.next.is_some() || part.points.last().map(|p| p.timestamp) == Some(chunk.last))
    {
        Ok(part)
    } else {
        Err(damaged(format!(
            "the data of {} does not match its columns",
            chunk.describe()
        )))
    }
}

/// Compares the columns of a chunk with its points.
pub(crate) fn check_columns(chunk: &Chunk, points: &[Point]) -> Result<(), StoreError> {
    let stats: Stats = points.iter().map(|point| point.temperature).collect();
    if stats == chunk.stats && points.last().map(|point| point.temperature) == Some(chunk.latest) {
        Ok(())
    } else {
        Err(damaged(format!(
            "the statistics of {} are not those of its data",
            chunk.describe()
        )))
    }
}

/// Writes points as a new chunk, with the data in row `data` of `chunk_data`. `points` is not empty and in strictly ascending
/// order of time.
pub(crate) fn insert(
    connection: &Connection,
    sensor: u32,
    data: i64,
    sealed_through: u64,
    points: &[Point],
) -> Result<Chunk, StoreError> {
    let (Some(first), Some(last)) = (points.first(), points.last()) else {
        return Err(damaged("a chunk without readings was about to be written"));
    };
    let chunk = Chunk {
        sensor,
        first: first.timestamp,
        last: last.timestamp,
        stats: points.iter().map(|point| point.temperature).collect(),
        latest: last.temperature,
        data,
        sealed_through,
    };
    let mut bytes = run::encode_run(points)
        .map_err(|error| damaged(format!("{} cannot be encoded: {error}", chunk.describe())))?;
    codec::append_checksum(&mut bytes, chunk.data_seed());
    let write = || -> rusqlite::Result<()> {
        connection
            .prepare_cached("INSERT INTO chunk_data VALUES (?, ?)")?
            .execute(params![data, bytes])?;
        connection
            .prepare_cached("INSERT INTO chunks VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")?
            .execute(params![
                sensor,
                chunk.first.micros(),
                chunk.last.micros(),
                signed(chunk.stats.count()),
                // A chunk holds a few thousand readings of at most 10¹² µ° each.
                chunk.stats.sum_micro_degrees() as i64,
                chunk.stats.minimum().map(Temperature::micro_degrees),
                chunk.stats.maximum().map(Temperature::micro_degrees),
                chunk.latest.micro_degrees(),
                data,
                signed(sealed_through),
                signed(chunk.checksum()),
            ])?;
        Ok(())
    };
    write().map_err(|error| failed("write a chunk", error))?;
    Ok(chunk)
}

/// Deletes a chunk. The points of the chunk are written again in another chunk.
pub(crate) fn delete(connection: &Connection, chunk: &Chunk) -> Result<(), StoreError> {
    let write = || -> rusqlite::Result<usize> {
        connection
            .prepare_cached("DELETE FROM chunk_data WHERE id = ?")?
            .execute(params![chunk.data])?;
        connection
            .prepare_cached("DELETE FROM chunks WHERE sensor = ? AND first = ?")?
            .execute(params![chunk.sensor, chunk.first.micros()])
    };
    match write().map_err(|error| failed("remove a merged chunk", error))? {
        1 => Ok(()),
        _ => Err(damaged(format!(
            "{} was not there to be merged",
            chunk.describe()
        ))),
    }
}

/// The highest row number in `chunk_data`; 0 if the table is empty.
pub(crate) fn last_data(connection: &Connection) -> Result<i64, StoreError> {
    prepare(connection, "SELECT coalesce(max(id), 0) FROM chunk_data")?
        .query_row([], |row| row.get(0))
        .map_err(read_error)
}

fn prepare<'c>(connection: &'c Connection, sql: &str) -> Result<CachedStatement<'c>, StoreError> {
    connection.prepare_cached(sql).map_err(read_error)
}

fn read_error(error: rusqlite::Error) -> StoreError {
    failed("read chunks", error)
}

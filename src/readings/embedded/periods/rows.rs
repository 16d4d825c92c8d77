//! The table `periods`: a block per row.

use std::sync::Once;

use rusqlite::{Connection, OptionalExtension, params};
use tracing::warn;

use super::block::Block;
use super::level::{Level, Span};
use super::total::{Aggregate, Total};
use crate::error::{StoreError, StoreErrorKind};
use crate::readings::Timestamp;
use crate::readings::embedded::format::file::{damaged, failed};

/// Reads the block of a level at `start`, and the checksum of the row.
pub(crate) fn load(
    connection: &Connection,
    level: Level,
    start: i64,
) -> Result<Option<(Block, u64)>, StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT data FROM periods WHERE key = ?")
        .map_err(read_error)?;
    statement
        .query_row([Block::key(level, start)], |row| {
            Ok(row
                .get_ref(0)?
                .as_blob()
                .map(|data| decode(level, start, data)))
        })
        .optional()
        .map_err(read_error)?
        .map(|data| data.unwrap_or_else(|_| Err(damaged(describe(level, start, "is not a blob")))))
        .transpose()
}

/// Reads the shorter periods within the divided period at `start`. Checks that the sum of the shorter periods is `total`.
pub(crate) fn load_finer(
    connection: &Connection,
    finer: Level,
    start: i64,
    total: &Total,
) -> Result<Block, StoreError> {
    let Some((block, _)) = load(connection, finer, start)? else {
        return Err(damaged(describe(finer, start, "is missing")));
    };
    let Aggregate { count, sum, .. } = block.sum();
    if (count, sum) == (total.sum.count, total.sum.sum) {
        Ok(block)
    } else {
        let what = "does not add up to the longer period that it divides";
        Err(damaged(describe(finer, start, what)))
    }
}

/// Damage is logged once, so that repeated queries do not fill the log.
static NAMED: Once = Once::new();

/// As [`load_finer`], but logs damage and returns `None`: the readings give the same answer, only more slowly.
pub(crate) fn load_finer_if_sound(
    connection: &Connection,
    finer: Level,
    start: i64,
    total: &Total,
) -> Result<Option<Block>, StoreError> {
    match load_finer(connection, finer, start, total) {
        Ok(block) => Ok(Some(block)),
        Err(error) if error.kind() == StoreErrorKind::Damaged => {
            NAMED.call_once(|| {
                warn!(%error, "totals of a period are damaged; its readings are counted instead; `fieldstation verify` names all such");
            });
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Calls `visit` for each block of a level that touches a span, in order of time. Passes the block and the checksum of the row.
pub(crate) fn visit(
    connection: &Connection,
    level: Level,
    span: Span,
    mut visit: impl FnMut(Block, u64) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    if span.is_empty() {
        return Ok(());
    }
    let mut statement = connection
        .prepare_cached("SELECT key, data FROM periods WHERE key BETWEEN ? AND ? ORDER BY key")
        .map_err(read_error)?;
    let first = level.block_start(span.from);
    let mut rows = statement
        .query([
            Block::key(level, first),
            Block::key(level, level.block_start(span.to - 1)),
        ])
        .map_err(read_error)?;
    while let Some(row) = rows.next().map_err(read_error)? {
        let key: i64 = row.get(0).map_err(read_error)?;
        let start = first + (key - Block::key(level, first)) * Level::Minute.micros();
        let data = row.get_ref(1).map_err(read_error)?;
        let data = data
            .as_blob()
            .map_err(|_| damaged(describe(level, start, "is not a blob")))?;
        if level.block_start(start) != start {
            return Err(damaged(describe(level, start, "is not where one can be")));
        }
        let (block, checksum) = decode(level, start, data)?;
        visit(block, checksum)?;
    }
    Ok(())
}

/// Writes or replaces a block. Returns the checksum of the row.
pub(crate) fn write(connection: &Connection, block: &Block) -> Result<u64, StoreError> {
    let data = block.encode();
    connection
        .prepare_cached("INSERT OR REPLACE INTO periods VALUES (?, ?)")
        .and_then(|mut statement| {
            statement.execute(params![Block::key(block.level, block.start), data])
        })
        .map_err(|error| failed("write totals of periods", error))?;
    Ok(Block::checksum(&data))
}

/// Removes the blocks of a level and of the shorter levels within a span.
pub(crate) fn remove(connection: &Connection, level: Level, span: Span) -> Result<(), StoreError> {
    for level in Level::ALL.into_iter().filter(|&other| other >= level) {
        let (first, last) = (level.block_start(span.from), level.block_start(span.to - 1));
        connection
            .prepare_cached("DELETE FROM periods WHERE key BETWEEN ? AND ?")
            .and_then(|mut statement| {
                statement.execute([Block::key(level, first), Block::key(level, last)])
            })
            .map_err(|error| failed("remove totals of periods", error))?;
    }
    Ok(())
}

fn decode(level: Level, start: i64, data: &[u8]) -> Result<(Block, u64), StoreError> {
    let block = Block::decode(level, start, data)
        .map_err(|error| damaged(describe(level, start, &format!("is damaged: {error}"))))?;
    Ok((block, Block::checksum(data)))
}

fn describe(level: Level, start: i64, what: &str) -> String {
    let start = Timestamp::from_micros(start.max(Timestamp::MIN.micros()))
        .map_or_else(|| "?".to_owned(), |start| start.to_string());
    format!(
        "the row of `periods` with the {}s from {start} on {what}",
        level.name()
    )
}

fn read_error(error: rusqlite::Error) -> StoreError {
    failed("read totals of periods", error)
}

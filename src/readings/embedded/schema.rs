//! The tables of `readings.db`, and the settings of the connections.

use rusqlite::Connection;

use super::format::file::FILE_NAME;
use super::format::ledger::Ledger;
use crate::error::StoreError;
use crate::storage::sqlite::DatabaseDefinition;

/// How many pages the write-ahead log has before a checkpoint. A checkpoint costs two flushes. A page written several times is
/// copied only once.
const CHECKPOINT_PAGES: i32 = 4_000;

/// Pages of removed log rows can be given back to the disk: `auto_vacuum` takes effect in a new file only. The log file is cut to
/// twice the pages (of 4 KiB) between two checkpoints.
const WRITER_PRAGMAS: &str = "PRAGMA cache_size = -8192; PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_size_limit = 32768000";

pub(crate) static DATABASE: DatabaseDefinition = DatabaseDefinition {
    file_name: FILE_NAME,
    // "FSTN".
    application_id: 0x4653_544e,
    migrations: &[
        include_str!("../../../migrations/readings/0001-readings.sql"),
        include_str!("../../../migrations/readings/0002-periods.sql"),
    ],
    first_rows: |connection| Ledger::of_new_file().write(connection),
    pragmas: "PRAGMA cache_size = -1024",
    writer_pragmas: WRITER_PRAGMAS,
    prepared_statements_max: 32,
    checkpoint_pages: CHECKPOINT_PAGES,
};

/// Views of the tables of schema version 1 with the columns of version 2, with the same values as after the migration.
const VERSION_1_AS_2: &str = "
    CREATE TEMP VIEW chunks AS SELECT sensor, first, last, count, sum, minimum, maximum, latest, data, 0 AS sealed_through, checksum
        FROM main.chunks;
    CREATE TEMP VIEW ledger AS SELECT id, generation, log_sealed, chunks, chunk_checksums, -1 AS counted_through, -1 AS folding_mark,
        0 AS folding_before, 0 AS day_rows, 0 AS day_checksums, checksum FROM main.ledger;
";

/// Checks the tables of a read-only file. Afterwards the tables of an older version can be read like migrated tables.
pub(crate) fn check_reader(connection: &Connection) -> Result<(), StoreError> {
    match DATABASE.version_of(connection)? {
        0 => return Err(DATABASE.damaged("there is nothing in it")),
        1 => connection
            .execute_batch(VERSION_1_AS_2)
            .map_err(|error| DATABASE.error("read an older version", error))?,
        _ => {}
    }
    DATABASE.check_tables(connection)
}

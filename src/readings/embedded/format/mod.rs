//! The bytes and the rows of `readings.db`: codecs, tables, and the ledger. The lowest layer: this layer knows SQLite and the types
//! of readings, and no state in memory.

pub(crate) mod chunks;
pub(crate) mod codec;
pub(crate) mod file;
pub(crate) mod ledger;
pub(crate) mod log_row;
pub(crate) mod log_table;
pub(crate) mod points;
pub(crate) mod run;
pub(crate) mod sensor_rows;

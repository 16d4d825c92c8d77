//! The bytes and the rows of `readings.db`. Knows SQLite and the types of readings; nothing here knows a sensor's state in memory.

pub(crate) mod chunks;
pub(crate) mod codec;
pub(crate) mod file;
pub(crate) mod ledger;
pub(crate) mod log_row;
pub(crate) mod log_table;
pub(crate) mod points;
pub(crate) mod run;
pub(crate) mod sensor_rows;

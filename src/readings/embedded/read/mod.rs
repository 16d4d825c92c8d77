//! Reads from a snapshot: a read transaction on the file, and the matching state of the index.

mod all_sensors;
pub(crate) mod export;
pub(crate) mod selection;
pub(crate) mod series;
pub(crate) mod snapshot;

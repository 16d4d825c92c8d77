//! Answers reads from a snapshot: a read transaction on the file, and what the index held at that time.

mod all_sensors;
pub(crate) mod export;
pub(crate) mod selection;
pub(crate) mod series;
pub(crate) mod snapshot;

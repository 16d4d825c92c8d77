//! Writes: looks up the stored readings for late readings (repeated or replacing), decides the changes, commits, and makes the
//! commit visible.

pub(crate) mod committer;
mod deferred;
mod lookups;
mod pending;
mod publish;
mod stored_readings;
mod transaction;
pub(crate) mod writer;

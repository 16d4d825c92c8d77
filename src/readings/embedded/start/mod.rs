//! The start: recovers the index from disk, and creates the writer.

pub(crate) mod opening;
pub(crate) mod recovery;
mod replay;

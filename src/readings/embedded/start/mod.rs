//! The start: reads what is on disk into memory, and hands it to the readers and the writer.

pub(crate) mod opening;
pub(crate) mod recovery;
mod replay;

//! Writes: looks up what late readings meet, decides what changes, commits, and makes the commit visible.

pub(crate) mod committer;
mod deferred;
mod lookup;
mod pending;
mod publish;
mod survey;
pub(crate) mod writer;

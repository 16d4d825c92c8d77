//! The two tables: their client, their keys and items, their setup, and the rights of this program.

pub(crate) mod backoff;
pub(crate) mod client;
pub(crate) mod connection;
pub(crate) mod denial;
pub(crate) mod items;
pub(crate) mod key_schema;
pub(crate) mod keys;
pub(crate) mod names;
pub(crate) mod probe;
pub(crate) mod scan;
pub(crate) mod setup;

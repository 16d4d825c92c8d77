//! The local disk: the data directory, free space, the app database, and the common parts of both SQLite databases. Imports no slice.

pub mod app_database;
pub(crate) mod backup_names;
pub mod data_directory;
pub(crate) mod database_snapshot;
pub(crate) mod disk;
pub(crate) mod durable_file;
pub(crate) mod sqlite;

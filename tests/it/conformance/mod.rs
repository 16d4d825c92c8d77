//! The promises of every backend. Each promise is a test, and runs on each backend.

mod files;
mod greeting;
pub mod oracle;
mod readings;
mod todos;

pub use oracle::Oracle;

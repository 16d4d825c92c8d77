//! What every backend promises, each behaviour a test by name on each backend.

mod files;
mod greeting;
pub mod oracle;
mod readings;
mod todos;

pub use oracle::Oracle;

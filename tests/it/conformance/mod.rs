//! What every backend promises, each behaviour a test by name on each backend.

mod files;
pub mod oracle;
mod readings;

pub use oracle::Oracle;

//! What every backend promises, each behaviour a test by name on each backend.

mod files;
mod greeting;
pub mod oracle;
mod readings;
mod todo_numbers;
mod todos;

pub use oracle::Oracle;

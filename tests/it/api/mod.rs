//! The real server over HTTP: the answers, and the stored data.

mod files;
mod greeting;
mod readings;
mod server;
mod todos;

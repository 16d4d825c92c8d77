//! The real server over HTTP: its answers, and the data that it stores.

mod files;
mod greeting;
mod readings;
mod server;
mod todos;

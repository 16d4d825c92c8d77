//! The real server, over HTTP: what it answers, what it must not answer, and what it keeps.

mod files;
mod greeting;
mod readings;
mod server;
mod todos;

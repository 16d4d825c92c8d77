//! The task list over HTTP.

mod bodies;
mod list;
mod older;

//! The greeting over HTTP, on each backend.

mod outage;
mod redis;
mod warnings;
mod word;

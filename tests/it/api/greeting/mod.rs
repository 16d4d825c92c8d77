//! The greeting over HTTP, on each of its backends.

mod outage;
mod redis;
mod warnings;
mod word;

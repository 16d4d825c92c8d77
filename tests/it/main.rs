//! All tests in a single binary, because the linking of each test binary takes much time.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    unreachable_pub
)]

mod api;
mod app_database;
mod backup;
mod cli;
mod conformance;
mod crash;
mod disk;
mod docs;
#[cfg(feature = "cloud")]
mod dynamodb;
mod embedded;
#[cfg(feature = "cloud")]
mod postgres;
#[cfg(feature = "cloud")]
mod reliability;
mod support;

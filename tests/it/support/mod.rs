//! What tests need to drive the real server.

mod bodies;
mod client;
#[cfg(feature = "cloud")]
mod faults;
#[cfg(feature = "cloud")]
mod postgres;
mod random;
mod raw;
#[cfg(feature = "cloud")]
mod redis;
mod server;

pub use bodies::{gzip, lines, reading, zstd};
pub use client::{Answer, Client};
#[cfg(feature = "cloud")]
pub use faults::{Fault, FaultProxy};
#[cfg(feature = "cloud")]
pub use postgres::Database;
pub use random::Random;
pub use raw::{Raw, RawAnswer};
#[cfg(feature = "cloud")]
pub use redis::RedisServer;
#[cfg(feature = "cloud")]
pub use server::Exited;
pub use server::{Server, run};

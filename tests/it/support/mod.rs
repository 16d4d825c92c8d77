//! What tests need to drive the real server.

mod bodies;
mod client;
#[cfg(feature = "cloud")]
mod dynamodb;
#[cfg(feature = "cloud")]
mod faults;
mod random;
mod raw;
#[cfg(feature = "cloud")]
mod redis;
mod server;
#[cfg(feature = "cloud")]
mod wire;

pub use bodies::{gzip, lines, reading, zstd};
pub use client::{Answer, Client};
#[cfg(feature = "cloud")]
pub use dynamodb::DynamoServer;
#[cfg(feature = "cloud")]
pub use faults::{Fault, FaultProxy};
pub use random::Random;
pub use raw::{Raw, RawAnswer};
#[cfg(feature = "cloud")]
pub use redis::RedisServer;
pub use server::{Server, run};
#[cfg(feature = "cloud")]
pub use wire::CountingProxy;

//! What tests need to drive the real server.

mod bodies;
mod client;
mod dynamodb;
mod faults;
mod random;
mod raw;
mod server;
mod wire;

pub use bodies::{gzip, lines, reading, zstd};
pub use client::{Answer, Client};
pub use dynamodb::DynamoServer;
pub use faults::{Fault, FaultProxy};
pub use random::Random;
pub use raw::{Raw, RawAnswer};
pub use server::{Server, run};
pub use wire::CountingProxy;

//! What tests need to drive the real server.

mod bodies;
mod client;
mod faults;
mod files;
mod random;
mod raw;
mod s3;
mod server;

pub use bodies::{gzip, lines, reading, zstd};
pub use client::{Answer, Client};
pub use faults::{Fault, FaultProxy};
pub use files::{FileBackend, FolderBackend, S3Backend};
pub use random::Random;
pub use raw::{Raw, RawAnswer};
pub use s3::S3Server;
pub use server::{Server, run};

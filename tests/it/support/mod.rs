//! What tests need to drive the real server.

mod bodies;
mod client;
mod faults;
mod files;
mod random;
mod raw;
mod s3;
mod server;
mod transfer;

pub use bodies::{gzip, lines, reading, zstd};
pub use client::{Answer, Client};
pub use faults::{Fault, FaultProxy};
pub use files::{FileBackend, FolderBackend, S3Backend};
pub use random::{Random, setting};
pub use raw::{Raw, RawAnswer};
pub use s3::S3Server;
pub use server::{Server, run};
pub use transfer::{BOUNDARY, endless, form, random_bytes};

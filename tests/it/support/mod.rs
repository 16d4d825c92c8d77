//! Support for tests: the real server, clients, backends, and proxies and disks with failures.

mod bodies;
mod client;
#[cfg(feature = "cloud")]
mod counting_proxy;
mod description;
mod disk;
#[cfg(feature = "cloud")]
mod dynamodb;
#[cfg(feature = "cloud")]
mod dynamodb_proxy;
#[cfg(feature = "cloud")]
mod emulator;
mod faults;
mod file_storage;
mod files;
#[cfg(feature = "cloud")]
mod pgbouncer;
#[cfg(feature = "cloud")]
mod port;
#[cfg(feature = "cloud")]
mod postgres;
mod process;
mod random;
mod raw;
#[cfg(feature = "cloud")]
mod redis;
#[cfg(feature = "cloud")]
mod s3;
#[cfg(feature = "cloud")]
mod s3_files;
#[cfg(feature = "cloud")]
mod s3_proxy;
mod server;
mod small_disk;
mod transfer;

pub use bodies::{gzip, lines, reading, zstd};
pub use client::{Answer, Client, http2};
#[cfg(feature = "cloud")]
pub use counting_proxy::{AgeingProxy, CountingProxy};
pub use description::{Description, Operation, Request};
pub use disk::{Disk, Unflushed};
#[cfg(feature = "cloud")]
pub use dynamodb::{DynamoKind, DynamoServer};
#[cfg(feature = "cloud")]
pub use dynamodb_proxy::{DynamoProxy, InterceptedRequest, Reaction};
pub use faults::{Fault, FaultProxy};
#[cfg(feature = "cloud")]
pub use file_storage::S3Storage;
pub use file_storage::{FileStorage, FolderStorage, wait_for_files, wait_for_partial_files};
pub use files::{FileBackend, FolderBackend};
#[cfg(feature = "cloud")]
pub use pgbouncer::PgBouncer;
#[cfg(feature = "cloud")]
pub use postgres::Database;
pub use process::Exited;
pub use random::{Random, setting};
pub use raw::{Raw, RawAnswer};
#[cfg(feature = "cloud")]
pub use redis::RedisServer;
#[cfg(feature = "cloud")]
pub use s3::{S3Kind, S3Server};
#[cfg(feature = "cloud")]
pub use s3_files::{MinistackBackend, S3Backend};
#[cfg(feature = "cloud")]
pub use s3_proxy::S3Proxy;
pub use server::{Server, run, run_on, run_on_small};
pub use small_disk::{DISK_BYTES, Refusal, SmallDisk};
pub use transfer::{BOUNDARY, FileBytes, endless, form, random_bytes};

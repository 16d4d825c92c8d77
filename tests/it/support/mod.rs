//! What tests need to drive the real server.

mod bodies;
mod client;
mod description;
mod disk;
#[cfg(feature = "cloud")]
mod dynamodb;
#[cfg(feature = "cloud")]
mod emulator;
mod faults;
mod file_place;
mod files;
#[cfg(feature = "cloud")]
mod gate;
mod pgbouncer;
#[cfg(feature = "cloud")]
mod port;
#[cfg(feature = "cloud")]
mod postgres;
mod random;
mod raw;
#[cfg(feature = "cloud")]
mod redis;
#[cfg(feature = "cloud")]
mod s3;
#[cfg(feature = "cloud")]
mod s3_files;
#[cfg(feature = "cloud")]
mod s3_gate;
mod server;
mod small_disk;
mod transfer;
#[cfg(feature = "cloud")]
mod wire;

pub use bodies::{gzip, lines, reading, zstd};
pub use client::{Answer, Client, http2};
pub use description::{Description, Operation, Request};
pub use disk::{Disk, Unflushed};
#[cfg(feature = "cloud")]
pub use dynamodb::{DynamoKind, DynamoServer};
pub use faults::{Fault, FaultProxy};
#[cfg(feature = "cloud")]
pub use file_place::S3Place;
pub use file_place::{FilePlace, FolderPlace, more_in_pieces, settles_at};
pub use files::{FileBackend, FolderBackend};
#[cfg(feature = "cloud")]
pub use gate::{Asked, Gate, Verdict};
pub use pgbouncer::PgBouncer;
#[cfg(feature = "cloud")]
pub use postgres::Database;
pub use random::{Random, setting};
pub use raw::{Raw, RawAnswer};
#[cfg(feature = "cloud")]
pub use redis::RedisServer;
#[cfg(feature = "cloud")]
pub use s3::{S3Kind, S3Server};
#[cfg(feature = "cloud")]
pub use s3_files::{MinistackBackend, S3Backend};
#[cfg(feature = "cloud")]
pub use s3_gate::S3Gate;
pub use server::{Exited, Server, run, run_on, run_on_small};
pub use small_disk::{DISK_BYTES, Refusal, SmallDisk};
pub use transfer::{BOUNDARY, FileBytes, endless, form, random_bytes};
#[cfg(feature = "cloud")]
pub use wire::{AgeingProxy, CountingProxy};

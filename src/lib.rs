//! Fieldstation: a telemetry server for fleets of devices.
//!
//! The binary is a thin shell around this library; ARCHITECTURE.md in the repository is the map.

pub mod app;
#[cfg(feature = "cloud")]
mod aws_profile;
pub mod backend_url;
pub mod backup;
pub mod cli;
pub mod config;
pub mod data_directory;
mod disk;
mod durable;
pub mod error;
pub mod files;
pub mod front;
pub mod greeting;
pub mod health;
pub mod http;
pub mod instance;
pub mod openapi;
pub mod readings;
pub mod router;
pub mod server;
mod sqlite;
pub mod station;
pub mod timestamp;
pub mod todos;
pub mod trouble;
pub mod verify;

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
pub mod ecs_metadata;
pub mod error;
pub mod files;
pub mod greeting;
pub mod health;
pub mod http;
pub mod openapi;
pub mod outage_log;
pub mod pages;
pub mod random;
pub mod readings;
pub mod router;
pub mod server;
pub mod storage;
pub mod timestamp;
pub mod todos;
pub mod verify;

//! Fieldstation: a telemetry server for fleets of devices.
//!
//! The binary is a thin shell around this library; ARCHITECTURE.md in the repository is the map.

pub mod cli;
pub mod data_directory;
pub mod error;
pub mod readings;

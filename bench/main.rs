//! `cargo bench --bench server`: measures the server beside a floor that stores nothing. README.md here explains the figures.

mod add_todo;
mod control;
mod disk;
#[cfg(feature = "cloud")]
mod dynamodb;
mod files;
mod fleet;
mod floor;
mod floor_files;
mod greeting;
mod late;
mod load;
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    unreachable_pub,
    missing_docs,
    dead_code,
    reason = "shared with the tests, which may"
)]
#[path = "../tests/it/support/port.rs"]
mod port;
#[cfg(feature = "cloud")]
#[path = "../tests/it/support/postgres.rs"]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    unreachable_pub,
    dead_code
)]
mod postgres;
mod proc;
mod report;
mod restart;
mod rounds;
mod scenarios;
mod server;
mod todos;
mod windows;

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::{Parser, ValueEnum};

use report::Report;
use scenarios::Run;

/// Measures the server beside a floor that stores nothing, and fails if a single acknowledged reading is missing.
#[derive(Parser)]
#[command(name = "cargo bench --bench server --")]
pub(crate) struct Options {
    /// The length of a round.
    #[arg(long, default_value_t = 4.0, value_name = "SECONDS")]
    seconds: f64,
    /// The number of rounds per server, in turn; figures are medians.
    #[arg(long, default_value_t = 3, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Runs only these scenarios; may be given more than once.
    #[arg(long, value_enum, value_name = "SCENARIO")]
    only: Vec<Scenario>,
    /// The number of readings stored before reads are measured (todos: a tenth of it), and of each part of `late`.
    #[arg(long, default_value_t = 1_000_000, value_name = "NUMBER")]
    fill: u64,
    /// The number of readings of 1,000 sensors stored before windows are measured. Larger fleets get 10 per sensor, and no more than this.
    #[arg(long, default_value_t = 17_000_000, value_name = "NUMBER")]
    window_readings: u64,
    /// The number of sensors in the fleets whose starts are timed; may be given more than once.
    #[arg(long, default_values_t = [1_000, 100_000, 1_000_000], value_name = "NUMBER")]
    fleet: Vec<usize>,
    /// The directory of the data, on the disk to measure; by default below the build's directory.
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
    /// Also writes all figures to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Given by `cargo bench`; ignored.
    #[arg(long, hide = true)]
    bench: bool,
}

/// The scenarios.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Scenario {
    /// Single readings over 64 connections.
    #[value(name = "put-64")]
    Put64,
    /// Single readings over one connection, beside fdatasync.
    #[value(name = "put-1")]
    Put1,
    /// Batches with 1,000 sensors.
    #[value(name = "batch-1k")]
    Batch1k,
    /// Batches with 100,000 sensors.
    #[value(name = "batch-100k")]
    Batch100k,
    /// Single readings at a steady rate beside batches.
    Steady,
    /// History beside live readings, in several orders, and the latency for single devices.
    Late,
    /// Statistics and series of stored readings, and a start with them.
    Read,
    /// Statistics of a window over all sensors: 1,000, 100,000 and a million.
    Windows,
    /// File uploads and downloads.
    Files,
    /// The greeting in SQLite and in Redis, and the front page.
    Greeting,
    /// Starts in an empty directory.
    Start,
    /// Starts and stops with fleets of different sizes.
    Restart,
    /// Todos, in SQLite and in a PostgreSQL of its own.
    Todos,
    /// Readings on DynamoDB, on an emulator: requests and CPU per reading, beside the embedded store.
    #[cfg(feature = "cloud")]
    Dynamodb,
}

fn main() -> Result<()> {
    if std::env::args().nth(1).as_deref() == Some(floor::ARGUMENT) {
        return floor::serve();
    }
    let options = Options::parse();
    ensure!(
        (0.01..=3600.0).contains(&options.seconds),
        "--seconds takes 0.01 to 3600"
    );
    let directory = match &options.directory {
        Some(directory) => tempfile::tempdir_in(directory),
        None => tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")),
    }
    .context("cannot make a folder for the data")?;
    let scenarios = match options.only.as_slice() {
        [] => Scenario::value_variants().to_vec(),
        only => only.to_vec(),
    };
    let mut run = Run {
        options,
        directory: directory.path().to_owned(),
        report: Report::default(),
    };
    // One thread: the client should cost little, and behave the same in every run.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    for scenario in scenarios {
        runtime.block_on(run.scenario(scenario))?;
    }
    if let Some(path) = &run.options.json {
        run.report
            .save(path)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

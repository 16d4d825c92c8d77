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
    /// How long a round takes.
    #[arg(long, default_value_t = 4.0, value_name = "SECONDS")]
    seconds: f64,
    /// How many rounds each server gets, in turn; figures are medians.
    #[arg(long, default_value_t = 3, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Only these scenarios; may be given more than once.
    #[arg(long, value_enum, value_name = "SCENARIO")]
    only: Vec<Scenario>,
    /// How many readings are stored before reads are measured; a tenth of it for todos; each part of late readings.
    #[arg(long, default_value_t = 1_000_000, value_name = "NUMBER")]
    fill: u64,
    /// How many readings of 1,000 sensors are stored before windows are measured; larger fleets get no more, and 10 a sensor.
    #[arg(long, default_value_t = 17_000_000, value_name = "NUMBER")]
    window_readings: u64,
    /// How many sensors the fleets have whose starts are timed; may be given more than once.
    #[arg(long, default_values_t = [1_000, 100_000, 1_000_000], value_name = "NUMBER")]
    fleet: Vec<usize>,
    /// Where the data goes, on the disk that is to be measured; the build's own folder by default.
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
    /// Writes all figures to this file too.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Given by `cargo bench`; means nothing.
    #[arg(long, hide = true)]
    bench: bool,
}

/// What can be measured.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Scenario {
    /// Single readings over 64 connections.
    #[value(name = "put-64")]
    Put64,
    /// Single readings over one connection, beside fdatasync.
    #[value(name = "put-1")]
    Put1,
    /// Batches, 1,000 sensors.
    #[value(name = "batch-1k")]
    Batch1k,
    /// Batches, 100,000 sensors.
    #[value(name = "batch-100k")]
    Batch100k,
    /// Single readings at a steady rate beside batches.
    Steady,
    /// History beside live readings, in several orders, and what single devices notice of it.
    Late,
    /// Statistics and series of stored readings, and a start with them.
    Read,
    /// Statistics of a window over all sensors, of 1,000, 100,000 and a million.
    Windows,
    /// Files up and down.
    Files,
    /// The word of the greeting in SQLite and in Redis, and the front page.
    Greeting,
    /// Starts in an empty folder.
    Start,
    /// Starts and stops of fleets of different sizes.
    Restart,
    /// Todos, in SQLite and in a PostgreSQL of its own.
    Todos,
    /// Readings on DynamoDB, on an emulator: requests and CPU a reading, beside the embedded store.
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
    // One thread: the client is to cost little, and to be the same in every run.
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

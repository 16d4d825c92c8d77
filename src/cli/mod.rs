//! The command line. Each command has its own file.

mod backup;
mod client;
mod download;
mod duration;
#[cfg(feature = "cloud")]
mod dynamodb;
mod export;
mod failure;
mod format;
mod healthcheck;
mod import;
mod migrate;
mod progress;
mod restore;
mod retry;
mod runtime;
mod serve;
mod server_url;
mod simulate;
mod standard_output;
mod target;
mod todo;
mod upload;
mod verify;

use std::ffi::OsString;

use clap::{Parser, Subcommand};

pub use failure::{Failure, FailureKind};

/// The arguments of `fieldstation`.
#[derive(Debug, Parser)]
#[command(
    name = "fieldstation",
    version,
    about = "A telemetry server for a fleet of devices: durable readings, exact statistics. One binary: the server and its tools.",
    after_help = failure::EXIT_CODES,
    after_long_help = LONG_HELP,
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server. This is the default command.
    Serve(Box<serve::Arguments>),
    /// Import readings from CSV and NDJSON files.
    Import(Box<import::Arguments>),
    /// Export readings to a file or to standard output.
    Export(export::Arguments),
    /// Upload a file to a server as the file of a device.
    Upload(upload::Arguments),
    /// Download the file of a device from a server.
    Download(download::Arguments),
    /// Check that a server is ready, and tell the result by the exit code.
    Healthcheck(healthcheck::Arguments),
    /// Verify a data directory: check all stored data and recount the statistics.
    Verify(verify::Arguments),
    /// Back up a data directory, also while a server writes to it.
    Backup(backup::Arguments),
    /// Restore a data directory from a backup, and verify it.
    Restore(restore::Arguments),
    /// Send simulated readings, and prove that the server counts them correctly.
    Simulate(Box<simulate::Arguments>),
    /// List, add, complete and remove todos of a server.
    Todo(todo::Arguments),
    /// Copy the data of one store into another store, and compare the two.
    Migrate(Box<migrate::Arguments>),
    /// Create or recount the DynamoDB tables of the readings.
    #[cfg(feature = "cloud")]
    Dynamodb(Box<dynamodb::Arguments>),
}

const LONG_HELP: &str = "\
The default command is `serve`: `fieldstation --listen 0.0.0.0:5000` means
`fieldstation serve --listen 0.0.0.0:5000`. `fieldstation serve --help` lists the settings of the server.

Try:
  fieldstation
  curl -X PUT localhost:5000/api/temperature -d '{\"sensorId\":\"202\",\"temperature\":18}'
  curl localhost:5000/api/stats

Exit codes: 0 success; 2 bad usage or configuration; 3 initialization failed (port in use, data directory locked or
damaged); 4 the store failed while running; 1 any other failure.";

/// Runs the command that the arguments name.
///
/// # Errors
/// [`Failure`] holds the message for standard error and the exit code.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> Result<(), Failure> {
    let cli = Cli::try_parse_from(with_default_command(arguments.into_iter().collect()))?;
    match cli.command {
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Import(arguments) => import::run(*arguments),
        Command::Export(arguments) => export::run(arguments),
        Command::Upload(arguments) => upload::run(arguments),
        Command::Download(arguments) => download::run(arguments),
        Command::Healthcheck(arguments) => healthcheck::run(arguments),
        Command::Verify(arguments) => verify::run(&arguments),
        Command::Backup(arguments) => backup::run(&arguments),
        Command::Restore(arguments) => restore::run(&arguments),
        Command::Simulate(arguments) => simulate::run(*arguments),
        Command::Todo(arguments) => todo::run(arguments),
        Command::Migrate(arguments) => migrate::run(&arguments),
        #[cfg(feature = "cloud")]
        Command::Dynamodb(arguments) => dynamodb::run(*arguments),
    }
}

/// Inserts the default command `serve` when no command is given.
fn with_default_command(mut arguments: Vec<OsString>) -> Vec<OsString> {
    const GLOBAL_OPTIONS: [&str; 4] = ["-h", "--help", "-V", "--version"];
    let is_default = match arguments.get(1) {
        None => true,
        Some(first) => {
            first.as_encoded_bytes().starts_with(b"-")
                && !GLOBAL_OPTIONS.iter().any(|option| first == option)
        }
    };
    if is_default {
        arguments.insert(arguments.len().min(1), "serve".into());
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_of_all_commands_is_valid() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }

    #[test]
    fn the_default_command_is_serve() {
        let with = |words: &[&str]| {
            let words = words.iter().map(OsString::from).collect();
            with_default_command(words)
        };
        assert_eq!(with(&["fieldstation"]), ["fieldstation", "serve"]);
        assert_eq!(
            with(&["fieldstation", "--listen", "x"]),
            ["fieldstation", "serve", "--listen", "x"]
        );
        assert_eq!(
            with(&["fieldstation", "--help"]),
            ["fieldstation", "--help"]
        );
        assert_eq!(
            with(&["fieldstation", "export"]),
            ["fieldstation", "export"]
        );
    }
}

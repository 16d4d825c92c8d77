//! The command line: one file per command.

mod backup;
mod client;
mod download;
mod duration;
#[cfg(feature = "cloud")]
mod dynamodb;
mod export;
mod failure;
mod healthcheck;
mod import;
mod migrate;
mod progress;
mod restore;
mod runtime;
mod serve;
mod server_url;
mod simulate;
mod standard_output;
mod target;
mod todo;
mod upload;
mod verify;
mod wire;

use std::ffi::OsString;

use clap::{Parser, Subcommand};

pub use failure::{Failure, FailureKind};

/// What `fieldstation` was told to do.
#[derive(Debug, Parser)]
#[command(
    name = "fieldstation",
    version,
    about = "Keeps the temperature readings of a fleet of devices, durably, with exact statistics.",
    after_help = failure::EXIT_CODES,
    after_long_help = LONG_HELP,
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server (what `fieldstation` does without a command).
    Serve(Box<serve::Arguments>),
    /// Record the readings of CSV and NDJSON files.
    Import(Box<import::Arguments>),
    /// Write readings to a file or to standard output.
    Export(export::Arguments),
    /// Send a file to a server, as a device's file.
    Upload(upload::Arguments),
    /// Fetch a device's file from a server.
    Download(download::Arguments),
    /// Ask a server whether it is ready, and exit accordingly.
    Healthcheck(healthcheck::Arguments),
    /// Check everything in a data directory, and recount it.
    Verify(verify::Arguments),
    /// Copy a data directory, also while a server writes to it.
    Backup(backup::Arguments),
    /// Make a data directory from a backup, and check it.
    Restore(restore::Arguments),
    /// Send realistic readings, and prove that the server counts them right.
    Simulate(Box<simulate::Arguments>),
    /// List, add, complete and remove the todos of a server.
    Todo(todo::Arguments),
    /// Copy what a store holds into another store, and compare both.
    Migrate(Box<migrate::Arguments>),
    /// Make or recount the DynamoDB tables of the readings.
    #[cfg(feature = "cloud")]
    Dynamodb(Box<dynamodb::Arguments>),
}

const LONG_HELP: &str = "\
Without a command the server runs, so `fieldstation` and `fieldstation --listen 0.0.0.0:5000` do what
`fieldstation serve` does; `fieldstation serve --help` lists its settings.

Try:
  fieldstation
  curl -X PUT localhost:5000/api/temperature -d '{\"sensorId\":\"202\",\"temperature\":18}'
  curl localhost:5000/api/stats

Exit codes: 0 fine; 2 bad usage or configuration; 3 initialization failed (port taken, data directory locked or
damaged); 4 the store failed while running; 1 any other failure.";

/// Does what the arguments say.
///
/// # Errors
/// [`Failure`] holds the words for standard error and the exit code.
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

/// Puts `serve` before options that no command precedes.
fn with_default_command(mut arguments: Vec<OsString>) -> Vec<OsString> {
    const ABOUT_THE_WHOLE: [&str; 4] = ["-h", "--help", "-V", "--version"];
    let serves = match arguments.get(1) {
        None => true,
        Some(first) => {
            first.as_encoded_bytes().starts_with(b"-")
                && !ABOUT_THE_WHOLE.iter().any(|option| first == option)
        }
    };
    if serves {
        arguments.insert(arguments.len().min(1), "serve".into());
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }

    #[test]
    fn without_a_command_it_serves() {
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

//! `fieldstation serve`: the server.

use clap::Args;

use super::Failure;

/// What the server is told.
#[derive(Debug, Args)]
pub(super) struct Arguments {}

/// Serves until it is told to stop.
pub(super) fn run(_arguments: Arguments) -> Result<(), Failure> {
    Ok(())
}

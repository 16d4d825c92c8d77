//! `fieldstation healthcheck`: checks that a server is ready, for containers without curl.

use std::time::Duration;

use anyhow::anyhow;
use clap::Args;
use reqwest::{Method, Request};

use super::client::Client;
use super::retry::RetryPolicy;
use super::server_url::ServerUrl;
use super::target::DEFAULT_URL;
use super::{Failure, runtime, standard_output};

/// The arguments of `healthcheck`.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The server
    #[arg(long, value_name = "URL", env = "FIELDSTATION_URL", default_value = DEFAULT_URL)]
    url: ServerUrl,

    /// The time limit for the answer, in seconds
    #[arg(
        long,
        value_name = "N",
        default_value_t = 3,
        value_parser = clap::value_parser!(u32).range(1..=3600)
    )]
    timeout_seconds: u32,
}

const EXAMPLES: &str = "\
Examples:
  fieldstation healthcheck
  fieldstation healthcheck --url http://127.0.0.1:8080 --timeout-seconds 1

In a Dockerfile:
  HEALTHCHECK CMD [\"/fieldstation\", \"healthcheck\"]

Exit codes: 0 ready; 1 not ready, or not reachable; 2 bad usage.";

/// Asks once, and prints the result.
pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    runtime::block_on(1, check(arguments))
}

async fn check(arguments: Arguments) -> Result<(), Failure> {
    let timeout = Duration::from_secs(u64::from(arguments.timeout_seconds));
    let client = Client::new(arguments.url, RetryPolicy::once(timeout))?;
    let url = client.server().at(&["readyz"]);
    let request = Request::new(Method::GET, url);
    client
        .call(&request, |_| {})
        .await
        .map_err(|error| anyhow!("not ready: {error}"))?;
    Ok(standard_output::print(&format!(
        "ready: {}\n",
        client.server()
    ))?)
}

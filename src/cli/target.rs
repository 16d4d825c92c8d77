//! Which readings a command works on.

use clap::Args;

use super::client::ServerUrl;

/// `--url`.
#[derive(Clone, Debug, Args)]
pub(super) struct TargetArguments {
    /// A running server
    #[arg(long, value_name = "URL", env = "FIELDSTATION_URL", default_value = DEFAULT_URL)]
    url: ServerUrl,
}

/// Where a server listens when nobody says otherwise.
pub(super) const DEFAULT_URL: &str = "http://127.0.0.1:5000";

/// Where readings are.
#[derive(Clone, Debug)]
pub(super) enum Target {
    /// Behind a server.
    Server(ServerUrl),
}

impl From<TargetArguments> for Target {
    fn from(arguments: TargetArguments) -> Self {
        Self::Server(arguments.url)
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Server(url) => write!(f, "{url}"),
        }
    }
}

//! The readings that a command works on: those of a running server, or those in a data directory that no server holds.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::anyhow;
use clap::Args;

use super::server_url::ServerUrl;
use super::{Failure, FailureKind};
use crate::error::StoreError;
use crate::readings::embedded::{EmbeddedOptions, EmbeddedStore, FILE_NAME};
use crate::storage::data_directory::DataDirectory;

/// The default address of a server.
pub(super) const DEFAULT_URL: &str = "http://127.0.0.1:5000";

/// `--url` or `--data`.
#[derive(Clone, Debug, Args)]
pub(super) struct TargetArguments {
    /// A running server [env: FIELDSTATION_URL] [default: http://127.0.0.1:5000]
    #[arg(long, value_name = "URL", conflicts_with = "data")]
    url: Option<ServerUrl>,

    /// A data directory, opened without a server; refused while a server holds it
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,

    // Separate from `url`, so that `--data` can be used while the variable is set.
    #[arg(long, hide = true, env = "FIELDSTATION_URL", default_value = DEFAULT_URL)]
    default_url: ServerUrl,
}

/// Where readings are.
#[derive(Clone, Debug)]
pub(super) enum Target {
    /// Behind a server.
    Server(ServerUrl),
    /// In a directory.
    Directory(PathBuf),
}

impl From<TargetArguments> for Target {
    fn from(arguments: TargetArguments) -> Self {
        match (arguments.data, arguments.url) {
            (Some(directory), _) => Self::Directory(directory),
            (None, Some(url)) => Self::Server(url),
            (None, None) => Self::Server(arguments.default_url),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(url) => write!(f, "{url}"),
            Self::Directory(directory) => write!(f, "{}", directory.display()),
        }
    }
}

/// Opens the readings in a data directory. Creates a missing directory.
///
/// # Errors
/// Another process holds the directory, or the readings cannot be opened or are damaged.
pub(super) fn open_store(directory: &Path) -> Result<EmbeddedStore, Failure> {
    open(directory, DataDirectory::open(directory))
}

/// Opens the readings in a data directory to read them. If possible nothing is changed, so that a full or read-only disk can be
/// read.
///
/// # Errors
/// As [`open_store`].
pub(super) fn open_store_to_read(directory: &Path) -> Result<EmbeddedStore, Failure> {
    open(
        directory,
        DataDirectory::open_to_read(directory, &[FILE_NAME]),
    )
}

fn open(
    directory: &Path,
    held: Result<DataDirectory, StoreError>,
) -> Result<EmbeddedStore, Failure> {
    let held = held.map_err(|error| Failure::new(FailureKind::Initialization, error))?;
    EmbeddedStore::open(Arc::new(held), EmbeddedOptions::default()).map_err(|error| {
        let error = anyhow!(error).context(format!("cannot open {}", directory.display()));
        Failure::new(FailureKind::Initialization, error)
    })
}

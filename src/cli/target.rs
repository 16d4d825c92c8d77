//! Which readings a command works on: those of a running server, or those in a directory that no server has open.

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

/// Where a server listens when nobody says otherwise.
pub(super) const DEFAULT_URL: &str = "http://127.0.0.1:5000";

/// `--url` or `--data`.
#[derive(Clone, Debug, Args)]
pub(super) struct TargetArguments {
    /// A running server [env: FIELDSTATION_URL] [default: http://127.0.0.1:5000]
    #[arg(long, value_name = "URL", conflicts_with = "data")]
    url: Option<ServerUrl>,

    /// A data directory itself, without a server; refused while a server holds it
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,

    // Apart from `url`, so that the variable can be set for good and `--data` be used all the same.
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

/// Opens the readings in a data directory, which is made if it is missing.
///
/// # Errors
/// Another process holds it; it cannot be opened; it is damaged.
pub(super) fn open_store(directory: &Path) -> Result<EmbeddedStore, Failure> {
    open(directory, DataDirectory::open(directory))
}

/// Opens the readings in a data directory without changing anything there, where that is possible: a disk that is full, or cannot be
/// written to, can be read.
///
/// # Errors
/// Those of [`open_store`].
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

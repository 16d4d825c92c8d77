//! Failures of all kinds of copies.

use std::path::Path;

use anyhow::anyhow;

use crate::backend_url::BackendUrl;
use crate::cli::{Failure, FailureKind};
use crate::error::{StoreError, StoreErrorKind};

/// The failure to open a store.
pub(in crate::cli::migrate) fn open_failure(url: &BackendUrl, error: StoreError) -> Failure {
    let kind = match error.kind() {
        StoreErrorKind::Unsupported => FailureKind::Configuration,
        _ => FailureKind::Initialization,
    };
    Failure::new(kind, anyhow!(error).context(format!("cannot open {url}")))
}

/// The failure of a store during a read or a write.
pub(in crate::cli::migrate) fn store_failure(error: StoreError) -> Failure {
    anyhow!(error).into()
}

/// Refuses a source whose data directory does not exist. Opening a missing directory would create an empty directory.
///
/// # Errors
/// The directory does not exist.
pub(in crate::cli::migrate) fn check_data_exists(data: &Path) -> Result<(), Failure> {
    if data.is_dir() {
        return Ok(());
    }
    let error = anyhow!("there is no directory {}", data.display());
    Err(Failure::new(FailureKind::Initialization, error))
}

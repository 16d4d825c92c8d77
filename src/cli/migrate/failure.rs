//! Failures that all copies have in common.

use std::path::Path;

use anyhow::anyhow;

use crate::backend_url::BackendUrl;
use crate::cli::{Failure, FailureKind};
use crate::error::{StoreError, StoreErrorKind};

/// A store that cannot be opened.
pub(in crate::cli::migrate) fn open_failure(url: &BackendUrl, error: StoreError) -> Failure {
    let kind = match error.kind() {
        StoreErrorKind::Unsupported => FailureKind::Configuration,
        _ => FailureKind::Initialization,
    };
    Failure::new(kind, anyhow!(error).context(format!("cannot open {url}")))
}

/// A store that failed while it was read or written.
pub(in crate::cli::migrate) fn store_failure(error: StoreError) -> Failure {
    anyhow!(error).into()
}

/// Refuses a data directory that does not exist as a source, because opening it would create an empty one.
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

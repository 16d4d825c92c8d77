//! The asynchronous runtime of all commands except the server.

use std::future::Future;

use anyhow::Context;
use tokio::runtime::Builder;

use super::Failure;

/// Runs a command to its end. A thread that still waits for input, such as a silent pipe, does not delay the exit.
///
/// # Errors
/// The failure of the command, or threads that cannot be started.
pub(super) fn block_on<T>(
    worker_threads: usize,
    command: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let runtime = Builder::new_multi_thread()
        .worker_threads(worker_threads)
        .enable_all()
        .build()
        .context("cannot start threads")?;
    let result = runtime.block_on(command);
    runtime.shutdown_background();
    result
}

//! Printing the result of a command.

use std::io::{ErrorKind, Write, stdout};

use anyhow::{Context, Result};

/// Prints to standard output. A closed pipe, as in `| head`, is no error.
///
/// # Errors
/// Standard output cannot be written, for example on a full disk.
pub(super) fn print(text: &str) -> Result<()> {
    let mut out = stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(error).context("cannot write standard output")
        }
        _ => Ok(()),
    }
}

//! Printing the result of a command.

use std::io::{ErrorKind, Write, stdout};

use anyhow::{Context, Result};

/// Prints to standard output. A reader that went away (`| head`) has what it wants.
///
/// # Errors
/// It cannot be written: the disk is full, say.
pub(super) fn print(text: &str) -> Result<()> {
    let mut out = stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(error).context("cannot write standard output")
        }
        _ => Ok(()),
    }
}

//! The errors of stores. Independent of HTTP.

use std::error::Error;
use std::fmt::{self, Write as _};

/// What a client is told while the server stops.
pub const SHUTTING_DOWN: &str = "the server is shutting down; send this to another one";

/// The kinds of errors that callers treat differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreErrorKind {
    /// Too many requests wait. The caller can try again soon.
    Overloaded,
    /// The store is closed, or the backend cannot be reached. The caller can try again later.
    Unavailable,
    /// The backend denies access: the rights or the credentials of this server are wrong. Trying again helps only after an operator has
    /// corrected them.
    Denied,
    /// The limit of sensors is reached. Readings of new sensors are refused, readings of known sensors are accepted.
    TooManySensors,
    /// Stored data does not match its checksum, or has a form that this program does not write.
    Damaged,
    /// The disk is full. Nothing was stored, and nothing was lost.
    StorageFull,
    /// The data was written, but the file was removed, moved or replaced meanwhile. Whether the data stays is unknown.
    Unconfirmed,
    /// This server only reads. Nothing was stored.
    ReadOnly,
    /// The program cannot do what was asked: the configuration is wrong, or a newer version wrote the stored data.
    Unsupported,
    /// Anything else: a fault of the machine or of this program.
    Internal,
}

/// The error of an operation of a store. The operation has changed nothing, unless the error says otherwise.
#[derive(Debug)]
pub struct StoreError {
    kind: StoreErrorKind,
    message: String,
    unstored: Vec<usize>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl StoreError {
    /// An error with a message that a person can act on. Clients may see the message: it must hold no secrets, and only paths that an
    /// operator has to look at.
    pub fn new(kind: StoreErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            unstored: Vec::new(),
            source: None,
        }
    }

    /// The server is stopping, and takes this no more.
    pub fn shutting_down() -> Self {
        Self::new(StoreErrorKind::Unavailable, SHUTTING_DOWN)
    }

    /// A task has panicked or was cancelled before its end. `what` is the work that it did, such as "work on a file".
    pub fn cut_off(what: &str, error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(StoreErrorKind::Internal, format!("{what} was cut off")).with_source(error)
    }

    /// Names the items of a batch, by their indices, that are not known to be stored. The others are stored.
    #[must_use]
    pub fn with_unstored(mut self, indices: Vec<usize>) -> Self {
        self.unstored = indices;
        self
    }

    /// Adds the cause, for the log.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The kind of the error.
    pub const fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    /// The items that are not known to be stored, by their indices, after a write that ended half-way; empty when that is true of all
    /// items.
    pub fn unstored(&self) -> &[usize] {
        &self.unstored
    }

    /// The message, without the causes.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source
            .as_deref()
            .map(|source| source as &(dyn Error + 'static))
    }
}

/// An error and the errors below it, in one line. An error that the one above it has quoted already is left out.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut below = error.source();
    while let Some(error) = below {
        let quoted = error.to_string();
        if !text.ends_with(&quoted) {
            // Writing to a text cannot fail.
            let _ = write!(text, ": {quoted}");
        }
        below = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn an_error_is_reported_with_the_errors_below_it() {
        let below = io::Error::other("no route to host");
        let error = StoreError::new(StoreErrorKind::Unavailable, "Redis cannot be reached");
        assert_eq!(
            chain(&error.with_source(below)),
            "Redis cannot be reached: no route to host"
        );
    }

    #[test]
    fn an_error_that_is_quoted_already_is_not_repeated() {
        let below = io::Error::from(io::ErrorKind::PermissionDenied);
        let message = format!("cannot write to the data directory /srv: {below}");
        let error = StoreError::new(StoreErrorKind::Internal, message.clone()).with_source(below);
        assert_eq!(chain(&error), message);
    }
}

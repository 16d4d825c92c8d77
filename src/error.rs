//! What can go wrong in a store. Knows nothing of HTTP.

use std::error::Error;
use std::fmt;

/// What a caller can act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreErrorKind {
    /// More is waiting than the store takes in: try again soon.
    Overloaded,
    /// The store is closed, or what it depends on cannot be reached: try again later.
    Unavailable,
    /// The backend answers that this server may not do it: its rights or its credentials are wrong. Trying again changes nothing
    /// until somebody corrects them.
    Denied,
    /// The bound on the number of sensors is reached: a new one is refused, known ones are not.
    TooManySensors,
    /// What is stored does not match its checksum, or is not what this program writes.
    Damaged,
    /// The disk is full: nothing was stored, nothing was lost.
    StorageFull,
    /// It was written, and where it was written to has been removed, moved or replaced meanwhile: nobody knows whether it stays.
    Unconfirmed,
    /// This server only reads: nothing was stored.
    ReadOnly,
    /// What was asked for is not something this program can do: the configuration is wrong, or a newer version wrote what is
    /// stored.
    Unsupported,
    /// Anything else: a fault of the machine or of this program.
    Internal,
}

/// A store's operation that failed, with nothing of it done unless it says otherwise.
#[derive(Debug)]
pub struct StoreError {
    kind: StoreErrorKind,
    message: String,
    unstored: Vec<usize>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl StoreError {
    /// An error with a message that a person can act on. It may be shown to a client: no secrets, and no paths but those of what an
    /// operator has to look at.
    pub fn new(kind: StoreErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            unstored: Vec::new(),
            source: None,
        }
    }

    /// Names the items, by their indices in what was to be written, that are not known to be stored; the others are.
    #[must_use]
    pub fn with_unstored(mut self, indices: Vec<usize>) -> Self {
        self.unstored = indices;
        self
    }

    /// Adds the error below it, for the log.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What a caller can act on.
    pub const fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    /// The items that are not known to be stored, by their indices, when a write ended half-way; empty when it is all of them.
    pub fn unstored(&self) -> &[usize] {
        &self.unstored
    }

    /// The message without the errors below it.
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
